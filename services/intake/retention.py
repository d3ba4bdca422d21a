"""What is forgotten by itself: children whose last case was closed as long ago as the policy says."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from schemas.commands import RequestErasure
from schemas.vocabulary import ErasureReason
from services.intake.domain.erasure import BY_POLICY
from services.intake.handlers import erasures
from services.intake.handlers.steps import Ask, IntakeDeps
from services.intake.store import SQL
from services.kernel.principals import Principal, Role
from services.kernel.problems import Problem

EVERY_S = 3600.0
"""Also before the first time: whoever has just imported a history can look first at what is due."""
AT_ONCE = 100

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Due:
    """A child whose time is over. `closed_at`: when its last case was closed; `cases`: how many it had."""

    child_id: UUID
    closed_at: datetime
    cases: int


async def due(deps: IntakeDeps, limit: int = AT_ONCE) -> Sequence[Due]:
    """Whose time is over, the longest first; nobody when the policy keeps identities until somebody asks."""
    months = deps.policy.retention.months
    if not months:
        return []
    return [Due(**row) for row in await deps.pool.fetch(SQL["due_children"], months, limit)]


async def erase_due(deps: IntakeDeps, limit: int = AT_ONCE) -> int:
    """Asks for and approves the erasure of everybody whose time is over, by the policy; returns of how many."""
    done = 0
    for one in await due(deps, limit):
        ask = Ask(Principal(BY_POLICY, Role.ADMIN), f"retention-{one.child_id}")
        command = RequestErasure(
            child_id=one.child_id,
            reason=ErasureReason.TIME_IS_OVER,
            reference=f"POLICY-{deps.policy.retention.months}M",
        )
        try:
            asked = await erasures.request(deps, ask, command)
            await erasures.approve(deps, ask, UUID(asked.body["erasure_id"]), by_policy=True)
        except Problem as problem:
            log.warning("not erased yet", child_id=str(one.child_id), rule=problem.rule)
        else:
            done += 1
    return done
