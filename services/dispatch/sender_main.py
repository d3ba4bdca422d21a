"""The sender as a process."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from services.dispatch.lanes import LANE_CHANNEL, page_late_withdrawals, sweep
from services.dispatch.partners import activate
from services.dispatch.pings import PING_CHANNEL, Pings
from services.dispatch.renewals import Renewals
from services.dispatch.sender import IN_FLIGHT, Sender
from services.kernel.hints import Hints
from services.kernel.postgres import AWAY, create_pool
from services.kernel.service import Runtime, run_service
from services.kernel.vault import Vault, ring_of

RENEW_POLL_S = 5.0
SWEEP_S = 1.0
PING_POLL_S = 1.0
LATE_S = 15.0

log = structlog.get_logger()


async def serve(runtime: Runtime) -> None:
    """Everything the process does, until it is to stop."""
    settings = runtime.settings
    # Names are resolved in threads: partners whose name servers hang must leave some to the others.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(IN_FLIGHT, "resolve"))
    keys = await create_pool(settings.vault_url, size=2, application="zoeklicht-sender-vault")
    try:
        sender = Sender(runtime.pool, Vault(keys, ring_of(settings)), settings)
        pings = Pings(runtime.pool, settings, sender.transport, activate)
        renewals = Renewals(runtime.pool, settings, sender.transport)
        every = min(RENEW_POLL_S, settings.renew_every_s / 2)
        url = settings.database_url.get_secret_value()
        async with Hints(url, (LANE_CHANNEL, PING_CHANNEL)) as hints, runtime.loops() as tasks:
            tasks.create_task(sender.run(runtime.stop, hints.of(LANE_CHANNEL), doing=runtime.works.doing))
            tasks.create_task(_ping(runtime, pings, hints.of(PING_CHANNEL)))
            tasks.create_task(_every(runtime, "renewals", every, renewals.step))
            tasks.create_task(_every(runtime, "a sweep", SWEEP_S, lambda: _tidy(runtime, sender)))
            tasks.create_task(
                _every(runtime, "late withdrawals", LATE_S, lambda: page_late_withdrawals(runtime.pool))
            )
            runtime.ready = True
    finally:
        await keys.close()


async def _tidy(runtime: Runtime, sender: Sender) -> None:
    await sweep(runtime.pool)
    runtime.progress = {"recorded": sender.recorder.recorded, "in_flight": sender.in_flight}


async def _ping(runtime: Runtime, pings: Pings, hint: asyncio.Event) -> None:
    async def work() -> None:
        hint.clear()
        await pings.step()

    await _every(runtime, "handshakes", PING_POLL_S, work, hint)


async def _every(
    runtime: Runtime,
    what: str,
    seconds: float,
    work: Callable[[], Awaitable[object]],
    hint: asyncio.Event | None = None,
) -> None:
    """Does it again and again; a database that is away for a while ends nothing."""
    while not runtime.stop.is_set():
        try:
            with runtime.works.doing(what):
                await work()
        except AWAY as error:
            log.warning("will be tried again", error_class=type(error).__name__)
        await _pause(runtime, seconds, hint)


async def _pause(runtime: Runtime, seconds: float, hint: asyncio.Event | None) -> None:
    waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(runtime.pause(seconds))]
    if hint is not None:
        waiting.append(asyncio.ensure_future(hint.wait()))
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


def main() -> int:
    """Runs the sender until it is told to stop."""
    return run_service("sender", serve)
