"""The events of an erasure. None of them says who was erased: ids, counts and the names of staff."""

from uuid import UUID

from schemas.base import Day, Reference
from schemas.events.counters import Count
from schemas.events.event import OPS_EVENTS, EventData
from schemas.vocabulary import ErasureReason, GivenUp


class ErasureRequested(EventData):
    """Somebody asks that a case, or a child in all its cases, be forgotten."""

    TYPE = "erasure.requested.v1"
    TOPIC = OPS_EVENTS
    erasure_id: UUID
    case_id: UUID | None = None
    child_id: UUID | None = None
    reason: ErasureReason
    reference: Reference


class ErasureWithdrawn(EventData):
    """Whoever asked takes it back, or a colleague declines, before anybody approved it; nothing was erased."""

    TYPE = "erasure.withdrawn.v1"
    TOPIC = OPS_EVENTS
    erasure_id: UUID


class ErasureApproved(EventData):
    """Somebody else agrees. From now on it cannot be stopped: `children` and the texts of `cases` are forgotten."""

    TYPE = "erasure.approved.v1"
    TOPIC = OPS_EVENTS
    erasure_id: UUID
    children: tuple[UUID, ...]
    cases: tuple[UUID, ...]


class ErasureExecuted(EventData):
    """The keys are destroyed and the copies gone. `keys_in_backups_until`: when the last backup of the keys is gone."""

    TYPE = "erasure.executed.v1"
    TOPIC = OPS_EVENTS
    erasure_id: UUID
    erased: dict[str, Count]
    keys_in_backups_until: Day


class ErasurePartnerGivenUp(EventData):
    """A named person decides that nobody waits any longer for this recipient to confirm."""

    TYPE = "erasure.partner_given_up.v1"
    TOPIC = OPS_EVENTS
    erasure_id: UUID
    recipient: UUID
    reason: GivenUp


class ErasureCompleted(EventData):
    """Every recipient has confirmed that it deleted what it had, or was given up."""

    TYPE = "erasure.completed.v1"
    TOPIC = OPS_EVENTS
    erasure_id: UUID
    confirmed: Count
    given_up: Count
