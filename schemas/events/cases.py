"""The events of a case, and the facts they are made of."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from schemas.base import Age, Country, Instant, PostalCode, Sealed, Strict
from schemas.events.event import EventData
from schemas.vocabulary import (
    AbductingParent,
    AbductionStatus,
    Answer,
    CaseKind,
    Criterion,
    Direction,
    Gender,
    Outcome,
    UndefinedSubject,
)

ChildIndex = Annotated[int, Field(ge=0, le=99)]
"""Which child of the case, from 0."""


class ChildRecord(Strict):
    """One child of a case. `identity` seals names, birth date, description; ages are at the disappearance."""

    index: int
    child_id: UUID
    identity: Sealed
    age_min: Age | None = None
    age_max: Age | None = None
    gender: Gender = Gender.UNKNOWN
    nationality: Country | None = None


class ChildCorrection(Strict):
    """What changed about a child; `identity` seals the whole corrected identity. Absent fields stay."""

    child: int
    identity: Sealed | None = None
    age_min: Age | None = None
    age_max: Age | None = None
    gender: Gender | None = None
    nationality: Country | None = None


class Place(Strict):
    """Where: municipality (REFNIS) and postcode in clear, place text and coordinates sealed."""

    postal_code: PostalCode | None = None
    municipality: str | None = None
    spot: Sealed | None = None


class Circumstance(Strict):
    """What was reported about one criterion. `child` None: it holds for every child of the case."""

    criterion: Criterion
    value: Answer
    child: int | None = None
    note: Sealed | None = None
    next_due: Instant | None = None


class AbductionDetails(Strict):
    """International parental abduction."""

    status: AbductionStatus
    abducting_parent: AbductingParent | None = None
    country: Country | None = None
    direction: Direction | None = None
    helped_return: bool | None = None


class UndefinedDetails(Strict):
    """Undefined and other disappearances."""

    subject: UndefinedSubject


class NoDetails(Strict):
    """Kinds that need nothing more."""


Details = AbductionDetails | UndefinedDetails | NoDetails


class ChildOutcome(Strict):
    """What became of one child."""

    child: ChildIndex
    outcome: Outcome


class CaseOpened(EventData):
    """A disappearance was reported to 116 000 and became a case."""

    TYPE = "case.opened.v1"
    case_number: str
    kind: CaseKind
    reported_by: Sealed
    disappeared_at: Instant | None = None
    last_seen: Place
    children: tuple[ChildRecord, ...]
    circumstances: tuple[Circumstance, ...] = ()
    details: Details


class DetailsCorrected(EventData):
    """Facts of the case were wrong or incomplete; absent fields stay as they were."""

    TYPE = "case.details_corrected.v1"
    children: tuple[ChildCorrection, ...] = ()
    last_seen: Place | None = None
    disappeared_at: Instant | None = None
    details: Details | None = None


class CircumstanceReported(EventData):
    """Replaces the earlier value of that criterion for that child (or for all)."""

    TYPE = "case.circumstance_reported.v1"
    criterion: Criterion
    value: Answer
    child: int | None = None
    note: Sealed | None = None
    next_due: Instant | None = None


class CircumstanceRetracted(EventData):
    """An earlier circumstance (by the id of the event that reported it) no longer counts."""

    TYPE = "case.circumstance_retracted.v1"
    event_id: UUID
    reason: Sealed


class SightingReported(EventData):
    """Somebody says to have seen the child."""

    TYPE = "case.sighting_reported.v1"
    at: Instant
    where: Place
    note: Sealed | None = None


class Reclassified(EventData):
    """The case turned out to be of another kind."""

    TYPE = "case.reclassified.v1"
    kind: CaseKind
    details: Details
    reason: Sealed


class WorryingOverridden(EventData):
    """A person decides, against the rules, in either direction; holds until withdrawn."""

    TYPE = "case.worrying_overridden.v1"
    worrying: bool
    reason: Sealed


class OverrideWithdrawn(EventData):
    """The rules decide again."""

    TYPE = "case.override_withdrawn.v1"


class PoliceInformed(EventData):
    """The police know of the disappearance."""

    TYPE = "case.police_informed.v1"
    at: Instant
    reference: Sealed | None = None


class ChildLocated(EventData):
    """One of the children was found; the case may go on for the others."""

    TYPE = "case.child_located.v1"
    child: int
    outcome: Outcome
    at: Instant


class CaseClosed(EventData):
    """Never without news: says what became of each child."""

    TYPE = "case.closed.v1"
    outcomes: tuple[ChildOutcome, ...]


class CaseReopened(EventData):
    """The search goes on."""

    TYPE = "case.reopened.v1"
    reason: Sealed


class CaseMerged(EventData):
    """The case was a duplicate; its children move to `case_id`."""

    TYPE = "case.merged_into.v1"
    case_id: UUID


class ChildrenJoined(EventData):
    """Children of a duplicate, which was merged into this case, that this case did not have yet."""

    TYPE = "case.children_joined.v1"
    from_case: UUID
    children: tuple[ChildRecord, ...]


class NoteAdded(EventData):
    """A note for the colleagues."""

    TYPE = "case.note_added.v1"
    text: Sealed


class PhotoAdded(EventData):
    """A photo of a child. It is kept sealed elsewhere; `size` and `sha256` are those of the sealed bytes."""

    TYPE = "case.photo_added.v1"
    media_id: UUID
    child: int
    child_id: UUID
    type: str
    width: int
    height: int
    size: int
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
