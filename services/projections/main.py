"""The projections as a process: each projection by itself, so that one that stops leaves the others at work."""

import asyncio
from typing import Any

import structlog

from services.kernel.postgres import Pool, create_pool
from services.kernel.service import Runtime, run_service
from services.projections import store
from services.projections.errors import ProjectionStoppedError
from services.projections.projection import Projection, label
from services.projections.registry import PROJECTIONS
from services.projections.stream import Follower, Watch

STANDBY_S = 1.0

log = structlog.get_logger()


async def run_projection(runtime: Runtime, pool: Pool, projection: Projection, watch: Watch) -> None:
    """Runs one projection, or stands by while another process does. An event that stops it stops it alone."""
    # One connection for its whole life: the lock belongs to it, and all writes go through it.
    async with pool.acquire() as connection:
        while not await store.take_lock(connection, projection):
            watch.become("standby")
            await runtime.pause(STANDBY_S)
            if runtime.stop.is_set():
                return
        try:
            await Follower(runtime.settings, connection, projection).run(runtime.stop, watch)
        except ProjectionStoppedError as error:
            log.error("projection stopped", projection=label(projection), exc_info=error)  # noqa: TRY400 - the event was paged with its place
            watch.become("stopped")
            await runtime.stop.wait()


async def run_all(runtime: Runtime) -> None:
    """Runs every projection until the service is to stop. Ready when each is active, stands by, or was stopped."""
    watches = {label(projection): Watch() for projection in PROJECTIONS}

    def changed() -> None:
        runtime.progress = {name: _summary(watch) for name, watch in watches.items()}
        runtime.ready = all(watch.state != "starting" for watch in watches.values())

    for watch in watches.values():
        watch.changed = changed
    url = runtime.settings.database_url.get_secret_value()
    pool = await create_pool(url, size=len(PROJECTIONS), application="zoeklicht-projections-lock")
    try:
        async with asyncio.TaskGroup() as group:
            for projection in PROJECTIONS:
                group.create_task(run_projection(runtime, pool, projection, watches[label(projection)]))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors  # the first one says why the process ends
    finally:
        await pool.close()


def _summary(watch: Watch) -> dict[str, Any]:
    return {"state": watch.state, "lag": watch.lag}


def main() -> int:
    """Runs the projections until told to stop."""
    return run_service("projections", run_all)
