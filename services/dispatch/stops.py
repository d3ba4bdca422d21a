"""Dark does not wait for Kafka: what the store says must stop is withdrawn from here, by the same function."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog

from schemas.events import CampaignEnded
from services.dispatch.campaigns import withdraw
from services.dispatch.publish import Publisher, alert_of
from services.eventlog.store import (
    STOP_CHANNEL,
    Cause,
    Stop,
    campaign_stream,
    case_stream,
    read_stream,
    recent_stops,
)
from services.kernel.postgres import connect, queries
from services.kernel.service import Runtime

POLL_S = 1.0
AT_START = timedelta(hours=48)
"""How far back to look first: longer than anybody leaves this process stopped."""
RECENT = timedelta(hours=1)

_SQL = queries("services.dispatch")
log = structlog.get_logger()


async def darken(publisher: Publisher, within: timedelta) -> int:
    """Withdraws every alert that a stop of that age must darken; returns how many it withdrew."""
    stops = {(stop.kind, stop.id): stop for stop in await recent_stops(publisher.pool, within)}
    if not stops:
        return 0
    rows = await publisher.pool.fetch(
        _SQL["alerts_lit_of_stops"],
        [kind for kind, _ in stops],
        [identifier for _, identifier in stops],
        [stop.version for stop in stops.values()],
    )
    withdrawn = 0
    for row in rows:
        try:
            withdrawn += await _darken(publisher, row, stops[row["stop_kind"], row["stop_id"]])
        except (
            Exception
        ) as error:  # whatever is wrong with this one, the others must go dark; the auditor pages
            log.exception("not withdrawn", alert_id=str(row["alert_id"]), exc_info=error)
    return withdrawn


async def _darken(publisher: Publisher, row: Any, stop: Stop) -> bool:
    cause, reason = await _cause(publisher, stop)
    return await withdraw(publisher, alert_of(row), cause, stop.event_id, reason) is not None


async def _cause(publisher: Publisher, stop: Stop) -> tuple[Cause, str]:
    """Who stopped it and why. An event that cannot be read must not keep anything lit."""
    stream = campaign_stream(stop.id) if stop.kind == "campaign" else case_stream(stop.case_id)
    with suppress(ValueError):
        for event in await read_stream(publisher.pool, stream, stop.version - 1, 1):
            if event.event_id == stop.event_id:
                data = event.data
                return event.cause, data.reason.value if isinstance(data, CampaignEnded) else _reason(stop)
    return Cause("dispatch", str(stop.event_id), mode=stop.mode), _reason(stop)


def _reason(stop: Stop) -> str:
    return "stopped" if stop.kind == "campaign" else "case_closed"


async def run_stops(runtime: Runtime, publisher: Publisher) -> None:
    """Darkens until the service is to stop. NOTIFY is a hint, the poll of every second the guarantee."""
    hint = asyncio.Event()
    # Not from the pool: LISTEN belongs to one connection for the whole life of the loop.
    connection = await connect(
        runtime.settings.database_url.get_secret_value(), application="zoeklicht-dispatch-stops"
    )
    within = AT_START
    try:
        await connection.add_listener(STOP_CHANNEL, lambda *_: hint.set())
        while not runtime.stop.is_set():
            hint.clear()
            with runtime.works.doing("going dark"):
                await darken(publisher, within)
            within = RECENT
            with suppress(TimeoutError):
                await asyncio.wait_for(hint.wait(), POLL_S)
    finally:
        await connection.close()
