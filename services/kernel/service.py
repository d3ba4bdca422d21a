"""What every process does the same way: logs, signals, a pool, a heartbeat, a clean end."""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any

import orjson
import structlog

from services.kernel.backup.unfinished import check_finished
from services.kernel.errors import ZoeklichtError
from services.kernel.logging import configure_logging
from services.kernel.migrations import lacking
from services.kernel.postgres import Pool, connect, create_pool
from services.kernel.settings import Settings, load_settings
from services.kernel.watchdog import Deadline, LoopWatch, WorkWatch, end_process

BEAT_S = 1.0
SCHEMA_AGAIN_S = 2.0
OPEN_NOTHING = frozenset({"relay", "criteria", "projections"})
"""Services that work on what is sealed, and are told neither the master key nor where the keys are."""
BEAT_WITHIN_S = 5.0
"""A heartbeat on a connection that does not answer is given up, and written on another one."""
BEAT_STUCK_S = 30.0
"""Without any heartbeat for so long, while the database answers on another way, the pool is what is broken."""
END_WITHIN_S = 20.0
"""Tasks and threads of libraries may ignore the wish to end; after this time nobody asks them any more."""
STALE = timedelta(seconds=10)

log = structlog.get_logger()


@dataclass(slots=True)
class Runtime:
    """What a service is given: settings, its own pool, and the event that asks it to stop.

    `ready` and `progress` go into the heartbeat; a service sets them as it gets on. `works` is told of each piece of work.
    """

    name: str
    settings: Settings
    pool: Pool
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    ready: bool = False
    progress: dict[str, Any] = field(default_factory=dict)
    works: WorkWatch = field(default_factory=WorkWatch)

    async def pause(self, seconds: float) -> None:
        """Waits, but not beyond the wish to stop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds)

    def loops(self) -> "Loops":
        """What the service does beside each other, until all of it ends; the first that fails ends the process."""
        return Loops(self)


class LoopLostError(ZoeklichtError):
    """A loop ended as if it had been cancelled, and nobody did."""


class Loops(asyncio.TaskGroup):
    """A task group that comes to its end after a failure, whatever its other tasks make of being cancelled.

    A task group cancels each task once and waits without a limit. That once can be lost: a transaction that is rolled
    back on a broken connection raises the driver's error in its place, and the loop around it goes on. The group would
    wait for ever, its process alive, with half of its loops. So they are also told to stop, and have a limit.
    """

    def __init__(self, runtime: Runtime, end: Callable[[str], None] = end_process) -> None:
        super().__init__()
        self._runtime = runtime
        self._deadline = Deadline(END_WITHIN_S, f"the end of {runtime.name} after a failure", end)
        self._failed: Exception | None = None

    def create_task(self, coro: Coroutine[Any, Any, Any], **more: Any) -> "asyncio.Task[Any]":  # type: ignore[override]
        """A task of the group, watched for its failure."""
        task = super().create_task(coro, **more)
        task.add_done_callback(self._seen)
        return task

    def _seen(self, task: "asyncio.Task[Any]") -> None:
        if task.cancelled():
            # A library cancels what it waits for, aiokafka when a connection ends, and whoever waited for that is gone
            # without a word: a task group takes it for a task that somebody cancelled.
            if not task.cancelling():
                self._fails(LoopLostError(f"{task.get_coro()!r} was cancelled by nobody"))
        elif isinstance(error := task.exception(), Exception):
            self._fails(error)

    def _fails(self, error: Exception) -> None:
        if self._failed is None:
            self._failed = error
            # Now, and not when the others have ended: should they not, this is what is left of the reason.
            log.error("a loop failed; this process ends", exc_info=error)
            self._runtime.stop.set()
            self._deadline.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            self._fails(error)
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            self._deadline.cancel()
        if isinstance(self._failed, LoopLostError):
            raise self._failed


Main = Callable[[Runtime], Awaitable[None]]

GARBAGE_AFTER = 100_000, 20, 50
"""When Python looks for objects that hold each other. A batch makes tens of thousands that do not; at 700, its own choice,
it looked through everything again and again (measured: a fifth of the time of a projection; at 20,000, of criteria)."""


def calm_collector() -> None:
    """What is loaded by now stays: the collector does not look at it again, nor so often at what comes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_AFTER)


def run_service(name: str, main: Main) -> int:
    """Runs one service until SIGTERM or SIGINT; returns the exit code. An error ends it: the supervisor restarts."""
    try:
        settings = load_settings(opens=name not in OPEN_NOTHING)
    except ZoeklichtError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging(name, settings.log_level)
    calm_collector()
    end = Deadline(END_WITHIN_S, f"the end of {name}")
    try:
        return asyncio.run(_run(name, settings, main, end))
    finally:
        end.cancel()


async def _run(name: str, settings: Settings, main: Main, end: Deadline) -> int:
    pool = await create_pool(
        settings.database_url.get_secret_value(), size=settings.pool_size, application=f"zoeklicht-{name}"
    )
    await check_finished(pool)
    runtime = Runtime(name, settings, pool)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runtime.stop.set)
    await _migrated(runtime)
    if runtime.stop.is_set():
        await pool.close()
        return 0
    beat = asyncio.create_task(_beat(runtime))
    watches = [
        asyncio.create_task(LoopWatch().run()),
        asyncio.create_task(runtime.works.run(lambda: _answers(runtime))),
    ]
    log.info("started")
    try:
        await main(runtime)
    except Exception as error:  # the process ends here; what it did not finish is done again by the next one
        log.exception("crashed", exc_info=error)
        return 1
    finally:
        end.start()
        for watch in watches:
            watch.cancel()
        beat.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await beat
        with suppress(Exception):
            await asyncio.wait_for(pool.close(), 5)
    log.info("stopped")
    return 0


async def _migrated(runtime: Runtime) -> None:
    """Waits until the database is of this version: the new processes of an upgrade may come before its migration."""
    while (steps := await lacking(runtime.pool)) and not runtime.stop.is_set():
        log.warning(
            "the database is of an older version: run `zoeklicht migrate`, and this process goes on by itself",
            lacking=len(steps),
            first=steps[0],
        )
        await runtime.pause(SCHEMA_AGAIN_S)


async def _beat(runtime: Runtime) -> None:
    instance = f"{socket.gethostname()}:{os.getpid()}"
    try:
        while True:
            with runtime.works.doing("a heartbeat", BEAT_STUCK_S):
                await _beat_once(runtime, instance)
            await asyncio.sleep(BEAT_S)
    finally:
        with suppress(Exception):
            await runtime.pool.execute(
                "delete from kernel.heartbeat where service = $1 and (instance = $2 or beat_at < clock_timestamp() - $3)",
                runtime.name,
                instance,
                timedelta(minutes=5),
            )


async def _beat_once(runtime: Runtime, instance: str) -> None:
    while True:
        try:
            # The time is also that of giving it back: a pool waits for the end of a cancelled query.
            async with runtime.pool.acquire(timeout=BEAT_WITHIN_S) as connection:
                await connection.execute(
                    "insert into kernel.heartbeat (service, instance, ready, progress) values ($1, $2, $3, $4)"
                    " on conflict (service, instance) do update set beat_at = clock_timestamp(),"
                    " ready = excluded.ready, progress = excluded.progress",
                    runtime.name,
                    instance,
                    runtime.ready,
                    orjson.dumps(runtime.progress, default=str).decode(),
                    timeout=BEAT_WITHIN_S,
                )
        except Exception as error:  # whatever a driver raises: a process without it is dead to all others
            log.warning("no heartbeat; trying again", error_class=type(error).__name__)
            await asyncio.sleep(BEAT_S)
        else:
            return


async def _answers(runtime: Runtime) -> bool:
    """Whether the database answers on a connection of its own, whatever became of the pool."""
    url = runtime.settings.database_url.get_secret_value()
    try:
        async with asyncio.timeout(BEAT_WITHIN_S):
            connection = await connect(url, application=f"zoeklicht-{runtime.name}")
            try:
                await connection.execute("select 1")
            finally:
                connection.terminate()
    except Exception as error:  # it asks again
        log.warning("no answer", error_class=type(error).__name__)
        return False
    return True


async def alive_here(pool: Pool) -> bool:
    """Whether a service on this host (in a container: this one) has sent a heartbeat lately."""
    return bool(
        await pool.fetchval(
            "select exists (select from kernel.heartbeat where starts_with(instance, $1)"
            " and beat_at > clock_timestamp() - $2::interval)",
            f"{socket.gethostname()}:",
            STALE,
        )
    )


async def services_ready(pool: Pool, within_s: float = BEAT_WITHIN_S) -> dict[str, bool]:
    """Which services have a process that is alive and ready. Raises TimeoutError when that takes too long."""
    # Not a time-out around it: that would wait for a silent connection to confirm that it was cancelled.
    async with pool.acquire(timeout=within_s) as connection:
        rows = await connection.fetch(
            "select service, bool_or(ready and beat_at > clock_timestamp() - $1::interval) as ready"
            " from kernel.heartbeat group by service",
            STALE,
            timeout=within_s,
        )
    return {row["service"]: row["ready"] for row in rows}
