"""A Faust agent in the safe shape that only acknowledges: the ceiling of what a worker can do with the same messages.

`python acknowledging.py N` reads N messages of `case-events` and prints how many a second, from the first to the last.
"""

import asyncio
import sys
import time
from typing import Any

from mode.supervisors import CrashingSupervisor

from schemas.events import CASE_EVENTS
from services.kernel.service import Runtime, calm_collector
from services.kernel.settings import load_settings
from services.kernel.streaming import raw_topic, run_stream, safe_app


async def rate(total: int) -> float:
    """Messages a second."""
    settings = load_settings()
    app, times = safe_app(settings, "ceiling"), list[float]()
    runtime = Runtime("ceiling", settings, None)

    @app.agent(
        raw_topic(app, settings.topic(CASE_EVENTS)),
        concurrency=1,
        supervisor_strategy=CrashingSupervisor,
    )
    async def acknowledge(stream: Any) -> None:
        seen = 0
        async for event in stream.noack().events():
            await stream.ack(event)
            seen += 1
            if seen in {1, total}:
                times.append(time.perf_counter())
            if seen == total:
                runtime.stop.set()

    await run_stream(app, runtime)
    return (total - 1) / (times[1] - times[0])


if __name__ == "__main__":
    calm_collector()
    print(asyncio.run(rate(int(sys.argv[1]))))
