"""Partners, and what they say back."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AnyHttpUrl, Field, StrictBool

from schemas.areas import Areas
from schemas.base import Instant, ShortText, Strict
from schemas.vocabulary import AlertKind, Audience, Language, Mode, ReceiptState


class NewPartner(Strict):
    """A recipient of alerts. `areas` says where its screens are."""

    name: ShortText
    url: AnyHttpUrl
    format: Literal["json", "cap"] = "json"
    content: Literal["full", "link"] = "full"
    areas: Areas
    languages: Annotated[list[Language], Field(min_length=1, max_length=4)]
    contact: ShortText
    audience: Audience = Audience.DISPLAY
    exercise: StrictBool = False


class ChangePartner(Strict):
    """What changes about a partner; absent fields stay.

    `paused` takes back what the partner shows and sends no appeals until its end, which a ping proves; what is lit
    then is sent again. Withdrawals always go.
    """

    name: ShortText | None = None
    url: AnyHttpUrl | None = None
    content: Literal["full", "link"] | None = None
    areas: Areas | None = None
    languages: Annotated[list[Language], Field(min_length=1, max_length=4)] | None = None
    contact: ShortText | None = None
    paused: StrictBool | None = None


class ExplainAreas(Strict):
    """Ask whom areas select, as if an alert of this kind were issued for them now.

    `audiences`: as the policy names them for this kind; without them the default of the kind is asked about.
    """

    areas: Areas
    kind: AlertKind = AlertKind.PUBLIC
    audiences: tuple[Audience, ...] | None = None
    mode: Mode = Mode.ACTUAL


class Receipt(Strict):
    """A partner says what its screens do."""

    alert_id: UUID
    revision: Annotated[int, Field(ge=1, le=1_000_000)]
    state: ReceiptState
    screens: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    at: Instant
