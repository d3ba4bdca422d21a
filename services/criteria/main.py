"""Criteria as a process: the stream processor, and the timers beside it."""

import asyncio
from functools import partial

from services.criteria.handlers import CONSUMER, Assessor
from services.criteria.rulebook import rulebook_of
from services.criteria.stream import criteria_stream, run_reports, run_timers
from services.eventlog.arrivals import is_overdue
from services.kernel.clock import SystemClock
from services.kernel.service import Runtime, run_service
from services.kernel.streaming import run_stream

END_WITHIN_S = 5.0
"""What is under way when a part fails, or the service is to stop, may take so long."""


async def serve(runtime: Runtime) -> None:
    """Assesses until the service is to stop. The first part that fails ends the whole; the supervisor restarts it."""
    assessor = Assessor(runtime.pool, rulebook_of(runtime.settings), SystemClock())
    await assessor.begin()
    stream = criteria_stream(runtime.settings, assessor, runtime.works.doing)
    parts = [
        asyncio.create_task(run_stream(stream, runtime, partial(is_overdue, runtime.pool, CONSUMER))),
        asyncio.create_task(run_timers(assessor, runtime)),
        asyncio.create_task(run_reports(assessor, runtime)),
    ]
    try:
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            part.result()
    finally:
        runtime.stop.set()
        # One that hangs must not keep the process from ending.
        _, hanging = await asyncio.wait(parts, timeout=END_WITHIN_S)
        for part in hanging:
            part.cancel()


def main() -> int:
    """Runs criteria until it is told to stop."""
    return run_service("criteria", serve)
