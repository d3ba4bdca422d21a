"""A case: what is known of it, folded from its events."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from schemas.base import Sealed
from schemas.events import (
    CaseClosed,
    CaseMerged,
    CaseOpened,
    CaseReopened,
    ChildCorrection,
    ChildLocated,
    ChildOutcome,
    ChildRecord,
    ChildrenJoined,
    CircumstanceReported,
    CircumstanceRetracted,
    Details,
    DetailsCorrected,
    NoDetails,
    OverrideWithdrawn,
    Place,
    Reclassified,
    WorryingOverridden,
)
from schemas.vocabulary import Answer, CaseKind, Criterion, Gender, Mode, Origin, Outcome
from services.eventlog.store import Recorded, case_stream
from services.intake.domain.drafts import SealedAt, at

_NO_DETAILS = NoDetails()

Identity = dict[str, Any]
"""given_name, family_name, date_of_birth (ISO), description; each may be absent."""


@dataclass(frozen=True, slots=True)
class Child:
    """One child of the case. `outcome`: what became of it; None while it is missing.

    `located`: found by itself, before or without the closing of the case.
    """

    index: int
    child_id: UUID
    identity: SealedAt
    age_min: int | None
    age_max: int | None
    gender: Gender
    nationality: str | None
    outcome: Outcome | None = None
    located: bool = False


@dataclass(frozen=True, slots=True)
class Where:
    """The last place the child was seen; `spot` seals place text and coordinates."""

    postal_code: str | None = None
    municipality: str | None = None
    spot: SealedAt | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A circumstance, by the event that reported it."""

    event_id: UUID
    criterion: Criterion
    value: Answer
    child: int | None
    note: SealedAt | None
    next_due: datetime | None


@dataclass(frozen=True, slots=True)
class Overridden:
    """A person's decision that stands."""

    worrying: bool
    reason: SealedAt


@dataclass(frozen=True, slots=True)
class Case:
    """A case at a version; version 0: there is none. `told`: what was not retracted, the newest last."""

    case_id: UUID
    version: int = 0
    number: str = ""
    kind: CaseKind = CaseKind.UNDEFINED
    mode: Mode = Mode.ACTUAL
    origin: Origin = Origin.LIVE
    opened_at: datetime | None = None
    reported_by: SealedAt | None = None
    disappeared_at: datetime | None = None
    last_seen: Where = Where()
    details: Details = _NO_DETAILS
    children: tuple[Child, ...] = ()
    told: tuple[Told, ...] = ()
    override: Overridden | None = None
    open: bool = False
    merged_into: UUID | None = None

    @property
    def stream(self) -> str:
        """Where its events are."""
        return case_stream(self.case_id)

    @property
    def missing(self) -> tuple[Child, ...]:
        """The children nobody has found yet."""
        return tuple(child for child in self.children if child.outcome is None)

    @property
    def circumstances(self) -> tuple[Told, ...]:
        """What counts: the newest about each criterion and child. Retracting it brings back the one before."""
        newest: dict[tuple[Criterion, int | None], Told] = {}
        for told in self.told:
            newest.pop((told.criterion, told.child), None)
            newest[told.criterion, told.child] = told
        return tuple(newest.values())

    @property
    def texts(self) -> tuple[SealedAt, ...]:
        """What goes with the children into another case: notes of circumstances, and the reason of an override."""
        notes = tuple(told.note for told in self.told if told.note is not None)
        return (*notes, self.override.reason) if self.override else notes

    def said(self, criterion: Criterion, child: int) -> Told | None:
        """What counts about a child: the newest about it or about all."""
        about = (told for told in reversed(self.told) if told.criterion is criterion)
        return next((told for told in about if told.child in (None, child)), None)

    @property
    def since(self) -> datetime | None:
        """When ages are taken: at the disappearance, or at the opening when there is none."""
        return self.disappeared_at or self.opened_at


def initial_state(case_id: UUID) -> Case:
    """No case yet."""
    return Case(case_id)


def evolve(case: Case, event: Recorded) -> Case:  # noqa: C901, PLR0911, PLR0912 - one branch per event
    """The case after one more event of its stream; events of other kinds change only the version."""
    case = replace(case, version=event.version)
    match event.data:
        case CaseOpened() as data:
            return _opened(case, event, data)
        case DetailsCorrected() as data:
            return _corrected(case, event, data)
        case CircumstanceReported() as data:
            note = _maybe(event, "note", data.note)
            told = Told(event.event_id, data.criterion, data.value, data.child, note, data.next_due)
            return replace(case, told=(*case.told, told))
        case CircumstanceRetracted() as data:
            return replace(case, told=tuple(told for told in case.told if told.event_id != data.event_id))
        case Reclassified() as data:
            return replace(case, kind=data.kind, details=data.details)
        case WorryingOverridden() as data:
            return replace(case, override=Overridden(data.worrying, at(event, "reason", data.reason)))
        case OverrideWithdrawn():
            return replace(case, override=None)
        case ChildLocated() as data:
            return replace(case, children=_with_outcomes(case, (data,), located=True))
        case ChildrenJoined() as data:
            return replace(case, children=case.children + _children(event, data.children))
        case CaseClosed() as data:
            return replace(case, open=False, children=_with_outcomes(case, data.outcomes))
        case CaseReopened():
            return replace(case, open=True, children=_missing_again(case))
        case CaseMerged() as data:
            return replace(case, open=False, merged_into=data.case_id)
        case _:
            return case


def _opened(case: Case, event: Recorded, data: CaseOpened) -> Case:
    return replace(
        case,
        number=data.case_number,
        kind=data.kind,
        mode=event.cause.mode,
        origin=event.cause.origin,
        opened_at=event.time,
        reported_by=at(event, "reported_by", data.reported_by),
        disappeared_at=data.disappeared_at,
        last_seen=_where(event, data.last_seen),
        details=data.details,
        children=_children(event, data.children),
        told=tuple(
            Told(
                event.event_id,
                one.criterion,
                one.value,
                one.child,
                _maybe(event, f"circumstances.{index}.note", one.note),
                one.next_due,
            )
            for index, one in enumerate(data.circumstances)
        ),
        open=True,
    )


def _children(event: Recorded, records: tuple[ChildRecord, ...]) -> tuple[Child, ...]:
    # A child's index counts within the case, the place of its sealed identity within the event.
    return tuple(
        Child(
            record.index,
            record.child_id,
            at(event, f"children.{place}.identity", record.identity),
            record.age_min,
            record.age_max,
            record.gender,
            record.nationality,
        )
        for place, record in enumerate(records)
    )


def _maybe(event: Recorded, field: str, sealed: Sealed | None) -> SealedAt | None:
    return None if sealed is None else at(event, field, sealed)


def _where(event: Recorded, place: Place) -> Where:
    return Where(place.postal_code, place.municipality, _maybe(event, "last_seen.spot", place.spot))


def _corrected(case: Case, event: Recorded, data: DetailsCorrected) -> Case:
    children = list(case.children)
    for place, change in enumerate(data.children):
        # As known at a moment of an imported history, a correction may precede the merge that brought its child.
        if change.child < len(children):
            children[change.child] = _changed(children[change.child], event, place, change)
    return replace(
        case,
        children=tuple(children),
        last_seen=case.last_seen if data.last_seen is None else _where(event, data.last_seen),
        disappeared_at=data.disappeared_at or case.disappeared_at,
        details=case.details if data.details is None else data.details,
    )


def _changed(child: Child, event: Recorded, place: int, change: ChildCorrection) -> Child:
    ages = change.age_min is not None or change.age_max is not None
    identity = _maybe(event, f"children.{place}.identity", change.identity)
    return replace(
        child,
        identity=identity or child.identity,
        age_min=change.age_min if ages else child.age_min,
        age_max=change.age_max if ages else child.age_max,
        gender=change.gender or child.gender,
        nationality=change.nationality or child.nationality,
    )


def _with_outcomes(
    case: Case, outcomes: tuple[ChildOutcome | ChildLocated, ...], *, located: bool = False
) -> tuple[Child, ...]:
    known = {outcome.child: outcome.outcome for outcome in outcomes}
    return tuple(
        replace(child, outcome=known[child.index], located=located or child.located)
        if child.index in known
        else child
        for child in case.children
    )


def _missing_again(case: Case) -> tuple[Child, ...]:
    """Whom a reopened case is about.

    A child that was located stays located, so that no new appeal shows it; when that leaves nobody to search for, the
    news was wrong about all.
    """
    nobody_left = all(child.located for child in case.children)
    return tuple(
        replace(child, outcome=None, located=False) if nobody_left or not child.located else child
        for child in case.children
    )
