"""The events of an alert, of its deliveries and of the receipts for them."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from schemas.base import Instant
from schemas.events.event import DELIVERY_EVENTS, EventData
from schemas.vocabulary import AlertKind, Audience, ReceiptState


class AlertFact(EventData):
    """What was planned in one publish: a revision of an alert, how many recipients get it, `to` which displays."""

    alert_id: UUID
    revision: int
    kind: AlertKind
    campaign_id: UUID | None = None
    recipients: int
    displays: int
    to: tuple[UUID, ...] = ()
    expires_at: Instant | None = None


class AlertIssued(AlertFact):
    """Revision 1."""

    TYPE = "alert.issued.v1"


class AlertUpdated(AlertFact):
    """A later revision."""

    TYPE = "alert.updated.v1"


class AlertWithdrawn(AlertFact):
    """The last revision; nothing is shown any more."""

    TYPE = "alert.withdrawn.v1"
    reason: str


class DeliveryFact(EventData):
    """What happened to one revision at one recipient. `content` is what the revision did."""

    TOPIC = DELIVERY_EVENTS
    alert_id: UUID
    revision: int
    content: Literal["issued", "updated", "withdrawn"]
    kind: AlertKind
    recipient: UUID
    audience: Audience
    attempts: int


class DeliveryDelivered(DeliveryFact):
    """The recipient answered 2xx at `at`."""

    TYPE = "delivery.delivered.v1"
    at: Instant


class DeliveryHeld(DeliveryFact):
    """The recipient cannot be reached this way; a person was paged."""

    TYPE = "delivery.held.v1"
    error_class: str


class ReceiptRecorded(EventData):
    """A display partner says what its screens do."""

    TYPE = "receipt.recorded.v1"
    TOPIC = DELIVERY_EVENTS
    alert_id: UUID
    revision: int
    recipient: UUID
    state: ReceiptState
    screens: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    at: Instant
