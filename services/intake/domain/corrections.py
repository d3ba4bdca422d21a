"""Corrections of a case's details; ages follow a corrected birth date or disappearance."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from schemas.commands import ChildChange, CorrectDetails, Sighted, details_of, feared
from schemas.events import Details, DetailsCorrected
from services.intake.domain.ages import age_range, day_of
from services.intake.domain.appeal import Known
from services.intake.domain.case import Case, Child
from services.intake.domain.drafts import Draft, Secret
from services.intake.domain.errors import ContentError, StateRuleError
from services.intake.domain.identity import born, corrected
from services.kernel.vault import key_name

_IN_CLEAR = {"gender", "nationality"}


def correct(
    case: Case, fact: CorrectDetails, known: Known, place: Callable[[Case, Sighted, str], dict[str, Any]]
) -> list[Draft]:
    """Corrects what is given. Raises ContentError, and StateRuleError for a child whose identity is erased."""
    _check(case, fact)
    since = fact.disappeared_at or case.since or known.now
    day = day_of(since, known.zone)
    changes = {change.child: change for change in fact.children}
    # A corrected disappearance changes the ages of the other children too.
    affected = range(len(case.children)) if fact.disappeared_at else sorted(changes)
    children = [
        row
        for index in affected
        if (row := _child(case.children[index], changes.get(index), fact, day, known)) is not None
    ]
    fields = {
        "children": children,
        "last_seen": place(case, fact.last_seen, "last_seen") if fact.last_seen else None,
        "disappeared_at": fact.disappeared_at,
        "details": fact.details,
    }
    return [Draft(case.stream, DetailsCorrected, fields)]


def _check(case: Case, fact: CorrectDetails) -> None:
    if not fact.children and fact.last_seen is None and fact.disappeared_at is None and fact.details is None:
        raise ContentError(
            "body", "nothing-corrected", "say what changed: children, last_seen, disappeared_at or details"
        )
    if len({change.child for change in fact.children}) < len(fact.children):
        raise ContentError("children", "child-twice", "put all changes of a child together")
    for place, change in enumerate(fact.children):
        field = f"children.{place}"
        if change.child >= len(case.children):
            raise ContentError(
                f"{field}.child", "child-index", f"the case has {len(case.children)} children, from 0"
            )
        if change.date_of_birth and change.age_estimate:
            raise ContentError(field, "one-age", "give date_of_birth or age_estimate, not both")
    if fact.details is not None:
        try:
            details_of(case.kind, fact.details)
        except ValueError as error:
            raise ContentError("details", "details-of-kind", str(error)) from error
        happened_when(case, fact.details, fact.disappeared_at)


def happened_when(case: Case, details: Details, disappeared_at: datetime | None = None) -> None:
    """Raises StateRuleError when what was feared is said to have happened, and nobody says when."""
    if case.disappeared_at is None and disappeared_at is None and not feared(details):
        raise StateRuleError(
            "disappearance-unknown",
            "this child was at home so far: say since when it is missing, with disappeared_at in details_corrected",
        )


def _child(
    child: Child, change: ChildChange | None, fact: CorrectDetails, day: date, known: Known
) -> dict[str, Any] | None:
    """The row of the event for one child; None when nothing about it changes."""
    identity = known.identities.get(child.child_id)
    field = f"children.{child.index}"
    if change is None:
        if born(identity) is None:
            return None
        least, greatest = age_range(day, born(identity), None, field)
        return {"child": child.index, "age_min": least, "age_max": greatest}
    row: dict[str, Any] = {
        "child": child.index,
        "gender": change.gender,
        "nationality": change.nationality,
    }
    if not change.model_fields_set - _IN_CLEAR - {"child"}:
        return row | _ages(identity, change, fact, day, field)
    if identity is None:
        raise StateRuleError("erased", "this child's identity is erased and takes no new data")
    renewed = corrected(identity, change)
    row["identity"] = Secret(key_name("child", child.child_id), renewed)
    return row | _ages(renewed, change, fact, day, field)


def _ages(
    identity: dict[str, Any] | None, change: ChildChange, fact: CorrectDetails, day: date, field: str
) -> dict[str, Any]:
    if not (change.date_of_birth or change.age_estimate or fact.disappeared_at):
        return {}
    least, greatest = age_range(day, born(identity), change.age_estimate, field)
    return {"age_min": least, "age_max": greatest}
