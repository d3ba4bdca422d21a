"""Sending the newest revision of lanes once more, under the same id; nothing older is ever sent again."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from services.dispatch.desk import Answer
from services.dispatch.domain import is_stopped
from services.dispatch.publish import LANE_CHANNEL, alert_of
from services.eventlog.store import stopped
from services.kernel.postgres import Connection, queries
from services.kernel.problems import ConflictError, NotFoundError

DARK_LATELY = timedelta(hours=48)
"""Withdrawals that a partner is told again: what it showed longer ago is over by any lease."""

_SQL = queries("services.dispatch")
_WATCHING = queries("services.dispatch", "watching.sql")


async def of_delivery(connection: Connection, delivery: UUID) -> Answer:
    """Replays one delivery. Raises ConflictError unless it is the newest of its lane and may still be sent."""
    place = await connection.fetchrow(_SQL["delivery_lane"], delivery)
    if place is None:
        raise NotFoundError("delivery", "there is no such delivery; GET /v1/deliveries lists them")
    head = {"delivery_id": delivery, **dict(place)}
    await connection.execute(_SQL["recipients_stay"])
    await _again(connection, head, await _locked(connection, [head]))
    await connection.execute(f"notify {LANE_CHANNEL}")
    return 202, {"delivery_id": str(delivery), "state": "pending"}


async def of_alert(connection: Connection, alert_id: UUID) -> Answer:
    """Replays an alert to everybody who was to get it: the newest revision of each, and nothing of what is over."""
    if await connection.fetchrow(_SQL["alert"], alert_id) is None:
        raise NotFoundError("alert", "there is no such alert; GET /v1/deliveries lists what was planned")
    await connection.execute(_SQL["recipients_stay"])
    return await _all(connection, await connection.fetch(_WATCHING["heads_of_alert"], alert_id))


async def of_recipient(connection: Connection, recipient_id: UUID) -> Answer:
    """Replays to one recipient what is lit, and the withdrawals of the last two days: for one that lost its memory."""
    await connection.execute(_SQL["recipients_stay"])
    if await connection.fetchrow(_SQL["partner"], recipient_id) is None:
        raise NotFoundError("partner", "there is no such partner; GET /v1/partners lists them")
    return await _all(
        connection, await connection.fetch(_WATCHING["heads_of_recipient"], recipient_id, DARK_LATELY)
    )


async def _all(connection: Connection, heads: Sequence[Mapping[str, Any]]) -> Answer:
    alerts = await _locked(connection, heads)
    replayed: list[str] = []
    skipped: list[dict[str, str]] = []
    for head in heads:
        name = {"delivery_id": str(head["delivery_id"]), "recipient": str(head["recipient_id"])}
        try:
            await _again(connection, head, alerts)
        except ConflictError as error:
            skipped.append({**name, "rule": error.rule, "detail": error.detail})
        else:
            replayed.append(name["delivery_id"])
    await connection.execute(f"notify {LANE_CHANNEL}")
    return 202, {"replayed": replayed, "skipped": skipped}


async def _locked(connection: Connection, heads: Sequence[Mapping[str, Any]]) -> dict[UUID, Any]:
    """Locks the alerts, then their lanes, each in the order in which everybody does; returns the alerts."""
    alerts = {}
    for alert_id in sorted({head["alert_id"] for head in heads}):
        alerts[alert_id] = await connection.fetchrow(_SQL["alert_shared"], alert_id)
    keys = sorted((head["recipient_id"], head["alert_id"]) for head in heads)
    await connection.fetch(_WATCHING["lock_lanes"], [key[0] for key in keys], [key[1] for key in keys])
    return alerts


async def _again(connection: Connection, head: Mapping[str, Any], alerts: Mapping[UUID, Any]) -> None:
    row = await connection.fetchrow(_SQL["delivery_head"], head["delivery_id"])
    if row is None:
        raise ConflictError(
            "alert-over", "this alert was over long ago and is deleted by now: nothing is sent again"
        )
    withdrawal = row["content"] == "withdrawn"
    if row["revision"] != row["head"]:
        raise ConflictError(
            "not-head",
            "a newer revision went to this recipient: replay that one; an older one is never sent again",
        )
    if not withdrawal:
        await _may_show(connection, alerts[head["alert_id"]], row)
    await connection.execute(_SQL["delivery_again"], head["delivery_id"])
    await connection.execute(_SQL["lanes_due"], head["alert_id"], [head["recipient_id"]], [withdrawal])


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
