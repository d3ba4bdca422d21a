"""Criteria as a process: the stream processor, and the timers beside it."""

import asyncio
from contextlib import suppress

from services.criteria.handlers import Assessor
from services.criteria.rulebook import rulebook_of
from services.criteria.stream import criteria_stream, run_reports, run_timers
from services.kernel.clock import SystemClock
from services.kernel.service import Runtime, run_service
from services.kernel.streaming import run_stream


async def serve(runtime: Runtime) -> None:
    """Assesses until the service is to stop. The first part that fails ends the whole; the supervisor restarts it."""
    assessor = Assessor(runtime.pool, rulebook_of(runtime.settings), SystemClock())
    await assessor.begin()
    parts = [
        asyncio.create_task(run_stream(criteria_stream(runtime.settings, assessor), runtime)),
        asyncio.create_task(run_timers(assessor, runtime)),
        asyncio.create_task(run_reports(assessor, runtime)),
    ]
    try:
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for part in done:
            part.result()
    finally:
        runtime.stop.set()
        for part in parts:
            with suppress(Exception):
                await part


def main() -> int:
    """Runs criteria until it is told to stop."""
    return run_service("criteria", serve)
