"""What every model of the shared language has in common."""

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

_YEARS = 1900, 2200


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


def _written(value: Any) -> Any:
    """Times and dates are written out; a number would silently mean 1970."""
    if isinstance(value, int | float) or (isinstance(value, str) and value.strip().lstrip("+-").isdigit()):
        raise ValueError("write it as in RFC 3339, for example 2021-03-04T17:30:00+01:00 or 2021-03-04")
    return value


def _storable(value: str) -> str:
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("leave out NUL and half characters: they cannot be stored")
    return value


def _of_this_age(value: datetime) -> datetime:
    """Far beyond a life the arithmetic of calendars and databases ends, and only typing errors lie there."""
    if not _YEARS[0] <= value.year < _YEARS[1]:
        raise ValueError(f"write a year from {_YEARS[0]} to {_YEARS[1] - 1}")
    return value


Instant = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_of_this_age)]
Day = Annotated[date, BeforeValidator(_written)]
Skill = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
"""What somebody can do, in a word that an installation chooses: `first_aid`, `dog_handler`."""
ShortText = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable)]
LongText = Annotated[str, Field(min_length=1, max_length=8000), AfterValidator(_storable)]
Reference = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9./-]{2,39}$")]
"""The file or ticket that justifies something: capitals and digits, so that no name fits in."""
Age = Annotated[int, Field(ge=0, le=130)]
"""Whole years."""
PostalCode = Annotated[str, Field(pattern=r"^[1-9][0-9]{3}$")]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2."""
