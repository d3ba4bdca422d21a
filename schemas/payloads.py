"""What partners receive: the body of a signed webhook."""

from typing import Literal
from uuid import UUID

from schemas.base import Instant, Strict
from schemas.commands import Text
from schemas.vocabulary import AlertKind, Language, Mode


class PersonShown(Strict):
    """What is needed to recognise the child."""

    name: str | None = None
    age: int | None = None
    age_min: int | None = None
    age_max: int | None = None
    gender: str | None = None
    description: str | None = None


class MediaShown(Strict):
    """A picture to show. `language` of what is written on it; a photo has none."""

    rel: Literal["poster", "screen", "photo"]
    url: str
    type: str
    width: int
    height: int
    language: Language | None = None


class AlertBody(Strict):
    """An alert's revision. A withdrawal has no texts, persons or media; a standby has no persons or media."""

    alert_id: UUID
    revision: int
    kind: AlertKind
    case_ref: str
    status: Mode
    issued_at: Instant
    expires_at: Instant | None = None
    display_for_s: int | None = None
    areas: list[str] | None = None
    texts: dict[Language, Text] | None = None
    persons: list[PersonShown] | None = None
    media: list[MediaShown] | None = None
    content_url: str | None = None
    case_number: str | None = None
    criteria: list[str] | None = None
    contact: str = "116 000"
    receipts_url: str | None = None


class RenewedAlert(Strict):
    """May be shown for so many seconds more, counted from the signed `webhook-timestamp`, if it is this revision."""

    alert_id: UUID
    revision: int
    display_for_s: int


class DisplayRenewed(Strict):
    """What a display may go on showing. An alert that is not shown, or not in this revision, is to be ignored."""

    alerts: list[RenewedAlert]


class PingBody(Strict):
    """Nothing: only whether somebody answers."""


class AlertMessage(Strict):
    """A Standard Webhooks body."""

    type: Literal["alert.issued", "alert.updated", "alert.withdrawn", "display.renewed", "ping"]
    timestamp: Instant
    data: AlertBody | DisplayRenewed | PingBody
