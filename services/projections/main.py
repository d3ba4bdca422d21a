"""The projections as a process: each version by itself, so that one that stops leaves the others at work."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from services.kernel.postgres import create_pool
from services.kernel.service import Runtime, run_service
from services.projections import store, versions
from services.projections.errors import (
    BusyError,
    NoSuchVersionError,
    NotCaughtUpError,
    ProjectionStoppedError,
    ZombieError,
)
from services.projections.projection import Projection, Version
from services.projections.registry import PROJECTIONS
from services.projections.stream import Follower, Watch
from services.projections.swapping import swap
from services.projections.versions import State

STANDBY_S = 1.0
LOOK_S = 1.0
"""How often to ask whether there are new versions, or fewer."""

log = structlog.get_logger()


async def run_version(runtime: Runtime, version: Version, watch: Watch) -> None:
    """Runs one version, or stands by while another process does, until it is dropped or the service is to stop.

    An event that stops it stops it alone; it goes on when a person says so.
    """
    # One connection for its whole life: the lock belongs to it, and all writes go through it.
    url = runtime.settings.database_url.get_secret_value()
    pool = await create_pool(url, size=1, application="zoeklicht-projections-lock")
    try:
        async with pool.acquire() as connection:
            while not await store.take_lock(connection, version):
                watch.become("standby")
                await runtime.pause(STANDBY_S)
                if runtime.stop.is_set():
                    return
            while not runtime.stop.is_set():
                try:
                    await Follower(runtime.settings, connection, version).run(runtime.stop, watch)
                except ProjectionStoppedError as error:
                    log.error("projection stopped", version=version.label, exc_info=error)  # noqa: TRY400 - the event was paged with its place
                    watch.become("stopped")
                    await _until_resumed(runtime, version)
    except (ZombieError, NoSuchVersionError):
        if await _exists(runtime, version):
            raise
        log.info("dropped", version=version.label)
    finally:
        await pool.close()


async def _until_resumed(runtime: Runtime, version: Version) -> None:
    while not runtime.stop.is_set() and await store.is_stopped(runtime.pool, version):
        await runtime.pause(LOOK_S)


async def _exists(runtime: Runtime, version: Version) -> bool:
    return any(state.number == version.number for state in await versions.every(runtime.pool, version.name))


@dataclass(slots=True)
class Crew:
    """Every version at work in this process. Ready when each that readers see is active, stands by, or was stopped."""

    runtime: Runtime
    projections: Sequence[Projection]
    tasks: dict[Version, asyncio.Task[None]] = field(default_factory=dict)
    watches: dict[Version, Watch] = field(default_factory=dict)
    live: frozenset[str] | None = None

    def changed(self) -> None:
        """Tells the heartbeat."""
        self.runtime.progress = {version.label: _summary(watch) for version, watch in self.watches.items()}
        self.runtime.ready = self.live is not None and all(
            watch.state != "starting" for version, watch in self.watches.items() if version.label in self.live
        )

    async def look(self, group: asyncio.TaskGroup) -> None:
        """Begins what is new, ends what was dropped, and shows what was built after a change of its definition."""
        states = await versions.every(self.runtime.pool)
        wanted = versions.running(states, self.projections)
        for version in self.tasks.keys() - set(wanted):
            self.tasks.pop(version).cancel()
            del self.watches[version]
        for version in wanted:
            if version not in self.tasks:
                watch = self.watches[version] = Watch(changed=self.changed)
                self.tasks[version] = group.create_task(run_version(self.runtime, version, watch))
        self.live = frozenset(state.label for state in states if state.live)
        self.changed()
        for version in _successors(states, wanted):
            watch = self.watches[version]
            if watch.state == "active" and watch.lag == 0:
                await self._show(version)

    async def _show(self, version: Version) -> None:
        try:
            found = await swap(self.runtime.pool, version.name, version.number, self.projections)
            log.info("shown to readers", version=version.label, before=found.old)
        except (NotCaughtUpError, BusyError) as error:
            log.warning("not shown yet", version=version.label, reason=str(error))


def _successors(states: Sequence[State], wanted: Sequence[Version]) -> list[Version]:
    """Built versions of a newer definition than the live one has: their builder knew why they differ."""
    live = {state.name: state.definition for state in states if state.live}
    built = {state.label for state in states if state.built_at is not None}
    return [v for v in wanted if v.label in built and v.projection.definition > live.get(v.name, 0)]


async def run_all(runtime: Runtime, projections: Sequence[Projection] = PROJECTIONS) -> None:
    """Runs every version of every projection until the service is to stop."""
    crew = Crew(runtime, projections)
    try:
        async with runtime.loops() as group:
            while not runtime.stop.is_set():
                with runtime.works.doing("looking for versions"):
                    await crew.look(group)
                await runtime.pause(LOOK_S)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors  # the first one says why the process ends


def _summary(watch: Watch) -> dict[str, Any]:
    return {"state": watch.state, "lag": watch.lag}


def main() -> int:
    """Runs the projections until told to stop."""
    return run_service("projections", run_all)
