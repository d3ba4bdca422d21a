"""What the rules need to know of a case: a pure fold over the events of its stream, of bounded size."""

from functools import singledispatch
from typing import Any
from uuid import UUID

from schemas.base import Age, Instant, Strict
from schemas.events import (
    AbductionDetails,
    CaseClosed,
    CaseMerged,
    CaseOpened,
    CaseReopened,
    ChildLocated,
    ChildRecord,
    ChildrenJoined,
    Circumstance,
    CircumstanceReported,
    CircumstanceRetracted,
    Details,
    DetailsCorrected,
    EventData,
    Override,
    OverrideWithdrawn,
    Place,
    Reclassified,
    WorryingOverridden,
)
from schemas.vocabulary import AbductionStatus, Answer, CaseKind, Criterion, Mode, Origin
from services.eventlog.store import Recorded

REPORTS_KEPT = 8
"""How many reports about one criterion and one child are remembered, so that retracting the last one brings back the
one before. A case of any length therefore has a state of bounded size."""


class Child(Strict):
    """A child of the case: its age at the disappearance in whole years, and the event that gave it."""

    index: int
    age_min: Age | None = None
    age_max: Age | None = None
    age_event: UUID
    located: bool = False


class Report(Strict):
    """What was said about one criterion; `child` None: about every child."""

    criterion: Criterion
    child: int | None
    value: Answer
    event_id: UUID
    next_due: Instant | None = None


class CaseState(Strict):
    """What the rules need to know of a case after `version` events of its stream.

    `reports` are in order, the newest last. `live`: something about the case happened live, so its timers count.
    """

    version: int = 0
    case_number: str = ""
    kind: CaseKind | None = None
    abduction: AbductionStatus | None = None
    postal_code: str | None = None
    municipality: str | None = None
    is_open: bool = False
    children: tuple[Child, ...] = ()
    reports: tuple[Report, ...] = ()
    override: Override | None = None
    live: bool = False
    mode: Mode = Mode.ACTUAL

    @property
    def missing(self) -> tuple[Child, ...]:
        """The children who are still missing: none of a case that is closed or merged."""
        return tuple(c for c in self.children if not c.located) if self.is_open else ()

    def says_the_same_as(self, other: "CaseState") -> bool:
        """Whether nothing but the version has changed since the other, of which this one is a later state."""
        return all(getattr(self, name) is getattr(other, name) for name in _SAID)

    def report(self, criterion: Criterion, child: int) -> Report | None:
        """The report that counts for a child: the newest about it or about all."""
        for report in reversed(self.reports):
            if report.criterion is criterion and report.child in (None, child):
                return report
        return None


initial = CaseState()
_SAID = tuple(name for name in CaseState.model_fields if name != "version")


def evolve(state: CaseState, event: Recorded) -> CaseState:
    """The state after the next event of the case's stream."""
    update = _update(event.data, state, event)
    update["version"] = event.version
    update["mode"] = event.cause.mode
    if event.cause.origin is Origin.LIVE:
        update["live"] = True
    return state.model_copy(update=update)


@singledispatch
def _update(_data: EventData, _state: CaseState, _event: Recorded) -> dict[str, Any]:
    """What an event changes; most facts of a case say nothing about the criteria."""
    return {}


@_update.register
def _opened(data: CaseOpened, state: CaseState, event: Recorded) -> dict[str, Any]:
    reports = state.reports
    for circumstance in data.circumstances:
        reports = _with_report(reports, circumstance, event.event_id)
    return {
        "case_number": data.case_number,
        "kind": data.kind,
        "abduction": _abduction(data.details),
        **_place(data.last_seen),
        "is_open": True,
        "children": tuple(_child(child, event) for child in data.children),
        "reports": reports,
    }


@_update.register
def _joined(data: ChildrenJoined, state: CaseState, event: Recorded) -> dict[str, Any]:
    come = {child.index: _child(child, event) for child in data.children}
    return {"children": (*(c for c in state.children if c.index not in come), *come.values())}


@_update.register
def _corrected(data: DetailsCorrected, state: CaseState, event: Recorded) -> dict[str, Any]:
    children = {child.index: child for child in state.children}
    for change in data.children:
        # The two ages are one range: whoever gives one of them gives the range anew.
        if (change.age_min, change.age_max) != (None, None) and change.child in children:
            ages = {"age_min": change.age_min, "age_max": change.age_max, "age_event": event.event_id}
            children[change.child] = children[change.child].model_copy(update=ages)
    update: dict[str, Any] = {"children": tuple(children.values())}
    if data.last_seen is not None:
        update |= _place(data.last_seen)
    if data.details is not None:
        update["abduction"] = _abduction(data.details)
    return update


@_update.register
def _reported(data: CircumstanceReported, state: CaseState, event: Recorded) -> dict[str, Any]:
    return {"reports": _with_report(state.reports, data, event.event_id)}


@_update.register
def _retracted(data: CircumstanceRetracted, state: CaseState, _event: Recorded) -> dict[str, Any]:
    return {"reports": tuple(report for report in state.reports if report.event_id != data.event_id)}


@_update.register
def _reclassified(data: Reclassified, _state: CaseState, _event: Recorded) -> dict[str, Any]:
    return {"kind": data.kind, "abduction": _abduction(data.details)}


@_update.register
def _overridden(data: WorryingOverridden, _state: CaseState, event: Recorded) -> dict[str, Any]:
    return {"override": Override(worrying=data.worrying, by=event.cause.actor, event_id=event.event_id)}


@_update.register
def _override_withdrawn(_data: OverrideWithdrawn, _state: CaseState, _event: Recorded) -> dict[str, Any]:
    return {"override": None}


@_update.register
def _located(data: ChildLocated, state: CaseState, _event: Recorded) -> dict[str, Any]:
    found = {"located": True}
    return {
        "children": tuple(c.model_copy(update=found) if c.index == data.child else c for c in state.children)
    }


@_update.register(CaseClosed)
@_update.register(CaseMerged)
def _closed(_data: EventData, _state: CaseState, _event: Recorded) -> dict[str, Any]:
    return {"is_open": False}


@_update.register
def _reopened(_data: CaseReopened, state: CaseState, _event: Recorded) -> dict[str, Any]:
    # Who was located before stays located; when that leaves nobody to search for, the search is for all of them.
    if any(not child.located for child in state.children):
        return {"is_open": True}
    missing = {"located": False}
    return {"is_open": True, "children": tuple(c.model_copy(update=missing) for c in state.children)}


def _child(record: ChildRecord, event: Recorded) -> Child:
    return Child(index=record.index, age_min=record.age_min, age_max=record.age_max, age_event=event.event_id)


def _place(place: Place) -> dict[str, Any]:
    return {"postal_code": place.postal_code, "municipality": place.municipality}


def _abduction(details: Details) -> AbductionStatus | None:
    return details.status if isinstance(details, AbductionDetails) else None


def _with_report(
    reports: tuple[Report, ...], said: Circumstance | CircumstanceReported, event_id: UUID
) -> tuple[Report, ...]:
    about = (said.criterion, said.child)
    earlier = [n for n, report in enumerate(reports) if (report.criterion, report.child) == about]
    forgotten = earlier[: max(0, len(earlier) + 1 - REPORTS_KEPT)]
    new = Report(
        criterion=said.criterion,
        child=said.child,
        value=said.value,
        event_id=event_id,
        next_due=said.next_due,
    )
    return (*(report for n, report in enumerate(reports) if n not in forgotten), new)
