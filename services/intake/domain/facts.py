"""Decisions about a case: what may be recorded, and what follows from it for the case and its campaigns."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from schemas.commands import (
    AddNote,
    CloseCase,
    Fact,
    InformPolice,
    LocateChild,
    MergeCase,
    NewChild,
    NewCircumstance,
    OpenCase,
    OverrideWorrying,
    Reclassify,
    ReopenCase,
    ReportCircumstance,
    ReportSighting,
    RetractCircumstance,
    Sighted,
    WithdrawOverride,
)
from schemas.events import (
    CaseClosed,
    CaseOpened,
    CaseReopened,
    ChildLocated,
    CircumstanceReported,
    CircumstanceRetracted,
    NoteAdded,
    OverrideWithdrawn,
    PoliceInformed,
    Reclassified,
    SightingReported,
    WorryingOverridden,
)
from schemas.vocabulary import EndReason
from services.geography import municipality_of
from services.intake.domain.ages import age_range, day_of
from services.intake.domain.appeal import Known
from services.intake.domain.campaign import Campaign
from services.intake.domain.campaigns import end_all, show_without
from services.intake.domain.case import Case, Child
from services.intake.domain.corrections import correct, happened_when
from services.intake.domain.drafts import Draft, Secret
from services.intake.domain.errors import ContentError, StateRuleError
from services.intake.domain.identity import identifying, identity_of
from services.kernel.vault import key_name


def decide_open(
    case: Case, number: str, command: OpenCase, child_ids: Sequence[UUID], known: Known
) -> list[Draft]:
    """Opens a case. Raises StateRuleError when it exists, ContentError for a wrong postcode or birth date."""
    if case.version:
        raise StateRuleError("case-exists", "this case is open already: add facts to it")
    _each_once(command.children, child_ids)
    day = day_of(command.disappeared_at or known.now, known.zone)
    fields = {
        "case_number": number,
        "kind": command.kind,
        "reported_by": Secret(key_name("case", case.case_id), command.reported_by),
        "disappeared_at": command.disappeared_at,
        "last_seen": place(case, command.last_seen, "last_seen"),
        "children": [
            _new_child(index, child, child_id, day)
            for index, (child, child_id) in enumerate(zip(command.children, child_ids, strict=True))
        ],
        "circumstances": [_circumstance(case, one) for one in command.circumstances],
        "details": command.details,
    }
    return [Draft(case.stream, CaseOpened, fields)]


def _each_once(children: Sequence[NewChild], child_ids: Sequence[UUID]) -> None:
    """Raises ContentError when a child is told twice: by one id, or by names and birth date."""
    known: set[object] = set()
    for index, (child, child_id) in enumerate(zip(children, child_ids, strict=True)):
        marks = {child_id, identifying(identity_of(child)) or child_id}
        if known & marks:
            raise ContentError(
                f"children.{index}", "child-twice", "this child is in the list already: give each child once"
            )
        known |= marks


def _new_child(index: int, child: NewChild, child_id: UUID, day: date) -> dict[str, Any]:
    least, greatest = age_range(day, child.date_of_birth, child.age_estimate, f"children.{index}")
    return {
        "index": index,
        "child_id": child_id,
        "identity": Secret(key_name("child", child_id), identity_of(child)),
        "age_min": least,
        "age_max": greatest,
        "gender": child.gender,
        "nationality": child.nationality,
    }


def place(case: Case, seen: Sighted, field: str) -> dict[str, Any]:
    """Postcode and municipality in clear, the rest sealed. Raises ContentError for an unknown postcode."""
    municipality = None
    if seen.postal_code is not None:
        municipality = municipality_of(seen.postal_code)
        if municipality is None:
            raise ContentError(
                f"{field}.postal_code".lstrip("."), "unknown-postcode", "no such Belgian postcode: correct it"
            )
    spot = {"place": seen.place, "lat": seen.lat, "lon": seen.lon}
    spot = {key: value for key, value in spot.items() if value is not None}
    return {
        "postal_code": seen.postal_code,
        "municipality": municipality,
        "spot": Secret(key_name("case", case.case_id), spot) if spot else None,
    }


def _text(case: Case, text: str | None) -> Secret | None:
    return None if text is None else Secret(key_name("case", case.case_id), text)


def _circumstance(case: Case, told: NewCircumstance) -> dict[str, Any]:
    return {
        "criterion": told.criterion,
        "value": told.value,
        "child": told.child,
        "note": _text(case, told.note),
        "next_due": told.next_due,
    }


def child_of(case: Case, index: int) -> Child:
    """The child with this index. Raises ContentError."""
    if index >= len(case.children):
        raise ContentError("child", "child-index", f"the case has {len(case.children)} children, from 0")
    return case.children[index]


def takes(case: Case, fact: Fact) -> None:
    """Raises StateRuleError when the case takes no such fact now."""
    if case.merged_into is not None and not isinstance(fact, AddNote):
        raise StateRuleError(
            "case-merged",
            "this case was merged into another: add it there",
            merged_into=str(case.merged_into),
        )
    if not case.open and not isinstance(fact, AddNote | ReopenCase):
        raise StateRuleError("case-closed", "this case is closed: reopen it first, or add a note")


def decide_fact(  # noqa: C901, PLR0911 - one branch per fact
    case: Case, campaigns: Sequence[Campaign], fact: Fact, known: Known
) -> list[Draft]:
    """What is appended for a fact; the case takes it (see `takes`). Merging has a decision of its own.

    Raises ContentError, StateRuleError.
    """
    match fact:
        case LocateChild():
            return _locate(case, campaigns, fact, known)
        case CloseCase():
            return _close(case, campaigns, fact)
        case ReopenCase():
            return _reopen(case, fact)
        case RetractCircumstance():
            return _retract(case, fact)
        case ReportSighting():
            return [_sighting(case, fact)]
        case Reclassify(kind=kind, details=details):
            happened_when(case, details)
            fields = {"kind": kind, "details": details, "reason": _text(case, fact.reason)}
            return [Draft(case.stream, Reclassified, fields)]
        case WithdrawOverride():
            if case.override is None:
                raise StateRuleError("no-override", "no override stands: there is nothing to withdraw")
            return [Draft(case.stream, OverrideWithdrawn, {})]
        case MergeCase():
            raise AssertionError("a merge needs the other case: use decide_merge")
        case ReportCircumstance() | OverrideWorrying() | InformPolice() | AddNote():
            return [_said(case, fact)]
        case _:
            return correct(case, fact, known, place)


def _said(case: Case, fact: ReportCircumstance | OverrideWorrying | InformPolice | AddNote) -> Draft:
    match fact:
        case ReportCircumstance():
            if fact.child is not None:
                child_of(case, fact.child)
            return Draft(case.stream, CircumstanceReported, _circumstance(case, fact))
        case OverrideWorrying():
            fields = {"worrying": fact.worrying, "reason": _text(case, fact.reason)}
            return Draft(case.stream, WorryingOverridden, fields)
        case InformPolice():
            informed = {"at": fact.at, "reference": _text(case, fact.reference)}
            return Draft(case.stream, PoliceInformed, informed)
        case AddNote():
            return Draft(case.stream, NoteAdded, {"text": _text(case, fact.text)})


def _sighting(case: Case, fact: ReportSighting) -> Draft:
    if case.disappeared_at is not None and fact.at < case.disappeared_at:
        raise ContentError(
            "at",
            "sighting-before-disappearance",
            "the sighting is before the disappearance: correct its time, or first the disappearance",
        )
    fields = {"at": fact.at, "where": place(case, fact, ""), "note": _text(case, fact.note)}
    return Draft(case.stream, SightingReported, fields)


def _retract(case: Case, fact: RetractCircumstance) -> list[Draft]:
    if all(told.event_id != fact.event_id for told in case.told):
        raise StateRuleError(
            "no-circumstance",
            "event_id names no circumstance of this case that stands: take it from the case's history",
        )
    fields = {"event_id": fact.event_id, "reason": _text(case, fact.reason)}
    return [Draft(case.stream, CircumstanceRetracted, fields)]


def _locate(case: Case, campaigns: Sequence[Campaign], fact: LocateChild, known: Known) -> list[Draft]:
    child = child_of(case, fact.child)
    if child.outcome is not None:
        raise StateRuleError("child-located", "this child was found already: add a note if there is more")
    if case.disappeared_at is not None and fact.at < case.disappeared_at:
        raise ContentError(
            "at",
            "found-before-disappearance",
            "the child was found before it disappeared: correct the time, or first the disappearance",
        )
    left = [other for other in case.missing if other.index != child.index]
    fields = {"child": fact.child, "outcome": fact.outcome, "at": fact.at}
    located = Draft(case.stream, ChildLocated, fields)
    if not left:
        return [located, *end_all(campaigns, EndReason.CHILD_FOUND)]
    return [located, *show_without(case, campaigns, left, known)]


def _close(case: Case, campaigns: Sequence[Campaign], fact: CloseCase) -> list[Draft]:
    told = {outcome.child: outcome.outcome for outcome in fact.outcomes}
    if len(told) < len(fact.outcomes):
        raise ContentError("outcomes", "outcome-twice", "give each child one outcome")
    for outcome in fact.outcomes:
        child_of(case, outcome.child)
    missing = [str(child.index) for child in case.missing if child.index not in told]
    if missing:
        raise StateRuleError(
            "outcome-missing", f"say what became of each child; add an outcome for child {', '.join(missing)}"
        )
    outcomes = [
        {"child": child.index, "outcome": told.get(child.index, child.outcome)} for child in case.children
    ]
    closed = Draft(case.stream, CaseClosed, {"outcomes": outcomes}, ("case", case.case_id))
    return [closed, *end_all(campaigns, EndReason.CHILD_FOUND)]


def _reopen(case: Case, fact: ReopenCase) -> list[Draft]:
    if case.open:
        raise StateRuleError("case-open", "this case is open already: add facts to it")
    return [Draft(case.stream, CaseReopened, {"reason": _text(case, fact.reason)})]
