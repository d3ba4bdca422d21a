"""What went where, each attempt, and sending the newest revision once more."""

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from services.dispatch.desk import Answer, DispatchDeps
from services.dispatch.domain import is_stopped
from services.dispatch.publish import LANE_CHANNEL, alert_of
from services.eventlog.store import stopped
from services.kernel.postgres import Connection, queries
from services.kernel.problems import ConflictError, InvalidError, NotFoundError

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
        _SQL["deliveries"], wanted["alert"], wanted["recipient"], wanted["state"], moment, last, limit + 1
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
    }


def _cursor(row: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(f"{row['created_at'].isoformat()}~{row['delivery_id']}".encode()).decode()


def _opened(cursor: str) -> tuple[datetime, UUID]:
    try:
        moment, _, last = base64.urlsafe_b64decode(cursor.encode()).decode().partition("~")
        return datetime.fromisoformat(moment), UUID(last)
    except (ValueError, binascii.Error) as error:
        raise InvalidError("cursor", "cursor: take next_cursor from an earlier answer as it is") from error


async def replay(connection: Connection, delivery: UUID) -> Answer:
    """Sends the newest revision of a lane once more, under the same id. Raises ConflictError for anything else."""
    place = await connection.fetchrow(_SQL["delivery_lane"], delivery)
    if place is None:
        raise NotFoundError("delivery", "there is no such delivery; GET /v1/deliveries lists them")
    to = [place["recipient_id"]]
    await connection.execute(_SQL["recipients_stay"])
    alert_row = await connection.fetchrow(_SQL["alert_shared"], place["alert_id"])
    await connection.fetch(_SQL["lanes_lock"], place["alert_id"], to)
    row = await connection.fetchrow(_SQL["delivery_head"], delivery)
    withdrawal = row["content"] == "withdrawn"
    if row["revision"] != row["head"]:
        raise ConflictError(
            "not-head",
            "a newer revision went to this recipient: replay that one; an older one is never sent again",
        )
    if not withdrawal:
        await _may_show(connection, alert_row, row)
    await connection.execute(_SQL["delivery_again"], delivery)
    await connection.execute(_SQL["lanes_due"], place["alert_id"], to, [withdrawal])
    await connection.execute(f"notify {LANE_CHANNEL}")
    return 202, {"delivery_id": str(delivery), "state": "pending"}


async def _may_show(connection: Connection, alert_row: Any, row: Any) -> None:
    one = alert_of(alert_row)
    stops = await stopped(connection, [i for i in (one.campaign_id, one.case_id) if i])
    over = alert_row["withdrawn"] or alert_row["expired"] or row["state"] in ("superseded", "expired")
    if over or is_stopped(one, stops):
        raise ConflictError(
            "alert-over", "this alert is over or was never to be shown: nothing is sent again"
        )
    if row["recipient_state"] != "active":
        raise ConflictError(
            "recipient-not-active",
            "the recipient is paused or unverified: ping it first, it then gets the alert",
        )
