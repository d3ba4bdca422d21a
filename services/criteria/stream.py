"""The Kafka adapter: batches of `case-events`, and the clock beside them."""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext

import faust
import structlog

from schemas.events import CASE_EVENTS
from services.criteria.handlers import CONSUMER, TIMERS_AT_ONCE, Assessor, read_letter
from services.kernel.postgres import AWAY
from services.kernel.service import Runtime
from services.kernel.settings import Settings
from services.kernel.streaming import stream_app
from services.kernel.watchdog import Doing

POLL_S = 1.0

log = structlog.get_logger()


def criteria_stream(settings: Settings, assessor: Assessor, doing: Doing = nullcontext) -> faust.App:
    """The stream processor; to be run by `run_stream`."""
    return stream_app(settings, CONSUMER, CASE_EVENTS, read_letter, assessor.work_on, doing=doing)


async def run_timers(assessor: Assessor, runtime: Runtime, poll_s: float = POLL_S) -> None:
    """Fires timers until the service is to stop. A failing database is tried again at the next poll."""
    while not runtime.stop.is_set():
        with runtime.works.doing("the timers"):
            full = await _attempt(assessor.fire_timers) == TIMERS_AT_ONCE
        if not full:
            await runtime.pause(poll_s)


async def run_reports(assessor: Assessor, runtime: Runtime, poll_s: float = POLL_S) -> None:
    """Puts what was done into the heartbeat until the service is to stop."""
    while not runtime.stop.is_set():
        counts = assessor.counts
        runtime.progress = {
            **runtime.progress,
            "events": counts.events,
            "assessed": counts.assessed,
            "parked": counts.parked,
            "skipped": counts.skipped,
            "timers": counts.timers,
        }
        await runtime.pause(poll_s)


async def _attempt(work: Callable[[], Awaitable[int]]) -> int:
    try:
        return await work()
    except AWAY as error:
        log.warning("timers wait for the database", error=type(error).__name__)
        return 0
