"""How a partner is doing, and who may still show a child that was found: what a person looks at before calling."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from services.dispatch.desk import DispatchDeps
from services.dispatch.partners import view
from services.kernel.postgres import queries

OURS = frozenset(
    {
        "superseded",
        "stopped",
        "expired",
        "paused",
        "lease_lost",
        "lease_short",
        "look_timeout",
        "database",
        "vault_away",
        "no_body",
        "erased",
        "unreadable",
    }
)
"""Ends of attempts that say nothing about the partner: nothing left this side."""

_SQL = queries("services.dispatch", "watching.sql")


async def health(deps: DispatchDeps, partner_id: UUID, hours: int = 24) -> Mapping[str, Any]:
    """State, breaker, answers and failures of the last `hours`, what waits, and the last signs of life.

    Raises NotFoundError.
    """
    partner = await view(deps.settings, deps.pool, partner_id)
    since = timedelta(hours=hours)
    pool = deps.pool
    answers = await pool.fetchrow(_SQL["answers"], partner_id, since)
    failures = await pool.fetch(_SQL["failures"], partner_id, since)
    breaker = await pool.fetchrow(_SQL["breaker"], partner_id)
    waiting = await pool.fetchrow(_SQL["waiting"], partner_id)
    renewal = await pool.fetchrow(_SQL["last_renewal"], partner_id)
    receipt = await pool.fetchrow(_SQL["last_receipt"], partner_id)
    still = await may_still_show(deps, recipient=partner_id)
    return {
        "partner_id": str(partner_id),
        "name": partner["name"],
        "state": partner["state"],
        "condition": condition(partner["state"], breaker, renewal, unanswered=waiting["withdrawals"]),
        "breaker": _breaker(breaker),
        "last_success_at": await pool.fetchval(_SQL["last_success"], partner_id),
        "answers": {
            "hours": hours,
            "attempts": answers["attempts"],
            "accepted": answers["accepted"],
            "p50_ms": _ms(answers["p50"]),
            "p99_ms": _ms(answers["p99"]),
        },
        "failures": {row["error_class"]: row["count"] for row in failures if row["error_class"] not in OURS},
        "waiting": dict(waiting),
        "open_withdrawals": still["items"],
        "last_receipt": dict(receipt) if receipt else None,
        "last_renewal": dict(renewal) if renewal else None,
        "last_poll_at": await pool.fetchval(_SQL["last_poll"], partner_id),
        "ping": partner["ping"],
    }


async def may_still_show(
    deps: DispatchDeps, alert: UUID | None = None, recipient: UUID | None = None
) -> Mapping[str, Any]:
    """Displays that could have shown what was withdrawn and have not confirmed that it is gone, longest first.

    `reason`: `unanswered` has not even taken the withdrawal, `unconfirmed` took it and sent no receipt. `dark_by`: when
    the lease of the last message that can have reached it is over.
    """
    lease = deps.settings.display_for_s + deps.settings.delivery_timeout_s
    rows = await deps.pool.fetch(_SQL["may_still_show"], lease, alert, recipient)
    return {"items": [dict(row) for row in rows], "next_cursor": None}


def condition(
    state: str, breaker: Mapping[str, Any] | None, renewal: Mapping[str, Any] | None, *, unanswered: int
) -> str:
    """In one word: ok, failing, away, unverified, paused. A partner that gets nothing is what its state says, whatever happened before."""
    if state in {"paused", "unverified"}:
        return state
    if breaker is not None and breaker["is_open"]:
        return "away"
    failing = breaker is not None or unanswered or (renewal is not None and renewal["failures"])
    return "failing" if failing else "ok"


def _breaker(row: Mapping[str, Any] | None) -> dict[str, Any]:
    if row is None:
        return {"state": "closed", "failures": 0, "probe_at": None}
    recovering = "recovering" if row["allowed"] is not None else "closed"
    return {
        "state": "open" if row["is_open"] else recovering,
        "failures": row["failures"],
        "probe_at": row["probe_at"],
    }


def _ms(value: float | None) -> float | None:
    return None if value is None else round(float(value), 1)
