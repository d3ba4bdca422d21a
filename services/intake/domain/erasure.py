"""An erasure: asked for by one person, approved by another; what it takes along, and what forbids it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from schemas.events import (
    ErasureApproved,
    ErasureCompleted,
    ErasureExecuted,
    ErasurePartnerGivenUp,
    ErasureRequested,
    ErasureWithdrawn,
)
from schemas.vocabulary import ErasureReason, GivenUp
from services.eventlog.store import Recorded
from services.intake.domain.case import Case
from services.intake.domain.errors import NotAllowedError, StateRuleError

BY_POLICY = "policy"
"""Who asks and approves when the time of an identity is over: people decided that policy before."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is forgotten: these children, and every text of these cases, since texts name whom they are about."""

    children: frozenset[UUID]
    cases: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure at a version; version 0: there is none. `given_up`: who decided it for a recipient, and why."""

    erasure_id: UUID
    version: int = 0
    case_id: UUID | None = None
    child_id: UUID | None = None
    reason: ErasureReason | None = None
    reference: str = ""
    requested_by: str = ""
    requested_at: datetime | None = None
    withdrawn_by: str | None = None
    withdrawn_at: datetime | None = None
    approved_by: str | None = None
    approved_at: datetime | None = None
    scope: Scope | None = None
    executed_at: datetime | None = None
    erased: Mapping[str, int] | None = None
    keys_in_backups_until: date | None = None
    given_up: tuple[tuple[UUID, str, GivenUp], ...] = ()
    completed_at: datetime | None = None

    @property
    def stream(self) -> str:
        """Where its events are."""
        return erasure_stream(self.erasure_id)

    @property
    def subject(self) -> str:
        """What it was asked for: the case or the child."""
        return str(self.case_id or self.child_id)

    @property
    def state(self) -> str:
        """How far it has come."""
        if self.completed_at:
            return "completed"
        if self.executed_at:
            return "executed"
        if self.withdrawn_at:
            return "withdrawn"
        return "approved" if self.approved_at else "requested"


def erasure_stream(erasure_id: UUID) -> str:
    """Owned by intake."""
    return f"erasure-{erasure_id}"


def folded(erasure_id: UUID, events: Iterable[Recorded]) -> Erasure:
    """The erasure from its events."""
    erasure = Erasure(erasure_id)
    for event in events:
        erasure = _evolve(replace(erasure, version=event.version), event)
    return erasure


def _evolve(erasure: Erasure, event: Recorded) -> Erasure:
    by, at = event.cause.actor, event.time
    told: dict[str, Any] = {}
    match event.data:
        case ErasureRequested() as data:
            told = {"case_id": data.case_id, "child_id": data.child_id, "reason": data.reason}
            told |= {"reference": data.reference, "requested_by": by, "requested_at": at}
        case ErasureWithdrawn():
            told = {"withdrawn_by": by, "withdrawn_at": at}
        case ErasureApproved() as data:
            scope = Scope(frozenset(data.children), frozenset(data.cases))
            told = {"approved_by": by, "approved_at": at, "scope": scope}
        case ErasureExecuted() as data:
            until = data.keys_in_backups_until
            told = {"executed_at": at, "erased": data.erased, "keys_in_backups_until": until}
        case ErasurePartnerGivenUp() as data:
            told = {"given_up": (*erasure.given_up, (data.recipient, by, data.reason))}
        case ErasureCompleted():
            told = {"completed_at": at}
        case _:
            pass
    return replace(erasure, **told)


def decide_scope(asked: Case | None, children: Collection[UUID], cases: Iterable[Case]) -> Scope:
    """What an erasure takes along: the children, and all their cases. `asked`: the case it was asked for, if any.

    An open case is erased when it is the one asked for, or when the child is erased everywhere; not while it helps to
    find somebody else. Raises StateRuleError.
    """
    if asked and asked.merged_into:
        raise StateRuleError(
            "merged",
            "this case is a duplicate that was merged into another: erase that one, this one goes with it",
            merged_into=str(asked.merged_into),
        )
    found = list(cases)
    searched = [case for case in found if case.open and asked and case.case_id != asked.case_id]
    if searched:
        raise StateRuleError(
            "child-in-open-case",
            "a child of this case is in another open case too: close that one first, or erase the child everywhere",
            cases=[case.number for case in searched],
        )
    others = [case for case in found if case.open and any(c.child_id not in children for c in case.missing)]
    if others:
        raise StateRuleError(
            "others-missing",
            "in an open case somebody else is still missing, and its texts help to find them: close it first",
            cases=[case.number for case in others],
        )
    return Scope(frozenset(children), frozenset(case.case_id for case in found))


def check_approval(erasure: Erasure, actor: str, *, by_policy: bool = False) -> None:
    """Raises StateRuleError when it was approved or withdrawn before, NotAllowedError for whoever asked for it.

    With `by_policy` nobody approves, so four eyes are not asked.
    """
    check_undecided(erasure)
    if actor == erasure.requested_by and not by_policy:
        raise NotAllowedError("four-eyes", "whoever asked for an erasure cannot approve it: ask a colleague")


def check_undecided(erasure: Erasure) -> None:
    """Raises StateRuleError when the request was approved, or withdrawn, before."""
    if erasure.approved_at:
        raise StateRuleError("already-approved", "this erasure is approved already: it cannot be stopped")
    if erasure.withdrawn_at:
        raise StateRuleError("withdrawn", "this request was withdrawn: ask for the erasure anew")
