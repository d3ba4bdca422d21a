"""What went where, and each attempt; no body, no answer, nobody's identity."""

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from services.dispatch.desk import DispatchDeps
from services.kernel.postgres import queries
from services.kernel.problems import InvalidError, NotFoundError

ATTEMPTS = 50
"""Attempts that are shown of a delivery, the newest ones: a withdrawal is tried for ever."""

_SQL = queries("services.dispatch")


async def alert(deps: DispatchDeps, alert_id: UUID) -> Mapping[str, Any]:
    """An alert, its revisions and how far each has come; no content, so nobody's identity."""
    row = await deps.pool.fetchrow(_SQL["alert"], alert_id)
    if row is None:
        raise NotFoundError("alert", "there is no such alert; GET /v1/deliveries lists what was planned")
    counts: dict[int, dict[str, int]] = {}
    for count in await deps.pool.fetch(_SQL["delivery_counts"], alert_id):
        counts.setdefault(count["revision"], {})[count["state"]] = count["count"]
    revisions = [
        {**dict(revision), "deliveries": counts.get(revision["revision"], {})}
        for revision in await deps.pool.fetch(_SQL["revisions"], alert_id)
    ]
    return {**dict(row), "revisions": revisions}


async def listed(
    deps: DispatchDeps, wanted: Mapping[str, Any], cursor: str | None, limit: int
) -> Mapping[str, Any]:
    """Deliveries, newest first; `wanted` may name alert, recipient and state."""
    moment, last = _opened(cursor) if cursor else (None, None)
    rows = await deps.pool.fetch(
        _SQL["deliveries"],
        wanted["alert"],
        wanted["recipient"],
        wanted["state"],
        moment,
        last,
        limit + 1,
        ATTEMPTS,
    )
    shown = rows[:limit]
    return {
        "items": [_shown(row) for row in shown],
        "next_cursor": _cursor(shown[-1]) if len(rows) > limit else None,
    }


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    plain = (
        "delivery_id",
        "alert_id",
        "revision",
        "content",
        "state",
        "ambiguous",
        "created_at",
        "finished_at",
    )
    return {
        **{name: row[name] for name in plain},
        "recipient": row["recipient_id"],
        "attempts": orjson.loads(row["tries"]),
        "attempt_count": row["attempts"],
    }


def _cursor(row: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(f"{row['created_at'].isoformat()}~{row['delivery_id']}".encode()).decode()


def _opened(cursor: str) -> tuple[datetime, UUID]:
    try:
        moment, _, last = base64.urlsafe_b64decode(cursor.encode()).decode().partition("~")
        return datetime.fromisoformat(moment), UUID(last)
    except (ValueError, binascii.Error) as error:
        raise InvalidError("cursor", "cursor: take next_cursor from an earlier answer as it is") from error
