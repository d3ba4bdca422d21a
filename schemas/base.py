"""What every model of the shared language has in common."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """Immutable; unknown fields are refused; a validation error never repeats the value it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Sealed(Strict):
    """A value encrypted with the key of a child, a case or an alert; unreadable once that key is destroyed.

    `key` names the key (`child:<uuid>`, `case:<uuid>`, `alert:<uuid>`); `box` is base64 of
    nonce + AES-256-GCM ciphertext, authenticated with stream, event id and field.
    """

    key: str
    box: str


Instant = AwareDatetime
ShortText = Annotated[str, Field(min_length=1, max_length=200)]
LongText = Annotated[str, Field(min_length=1, max_length=8000)]
Age = Annotated[int, Field(ge=0, le=130)]
"""Whole years."""
PostalCode = Annotated[str, Field(pattern=r"^[1-9][0-9]{3}$")]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2."""
