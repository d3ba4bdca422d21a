"""Volunteers as a process: standbys from Kafka, waves, ends of cases, and what is to be sent, beside each other."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import structlog

from schemas.events import CASE_EVENTS
from services.eventlog.arrivals import is_overdue
from services.eventlog.store import STOP_CHANNEL
from services.kernel.erasure import run_part
from services.kernel.hints import Hints
from services.kernel.postgres import AWAY, create_pool
from services.kernel.service import Runtime, run_service
from services.kernel.streaming import follow
from services.kernel.vault import Vault, ring_of
from services.volunteers.callouts import CALLED_CHANNEL
from services.volunteers.desk import VolunteerDeps
from services.volunteers.erasing import PART, erase
from services.volunteers.gateways import Gateways
from services.volunteers.planning import LANE_CHANNEL
from services.volunteers.sender import Sender
from services.volunteers.standby import CONSUMER, Follower, end_with_cases
from services.volunteers.waves import ask_more

POLL_S = 1.0
ENDS_OF = timedelta(hours=48)
"""How old an end of a case may be that still ends call-outs: longer than anybody leaves this process stopped."""

log = structlog.get_logger()


async def serve(runtime: Runtime) -> None:
    """Everything the process does, until it is to stop."""
    settings = runtime.settings
    if settings.volunteer_channels == "sandbox":
        log.warning("volunteers are in the sandbox: nobody is told; set ZOEKLICHT_VOLUNTEER_CHANNELS=live")
    keys = await create_pool(settings.vault_url, size=2, keep=0, application="zoeklicht-volunteers-vault")
    try:
        deps = VolunteerDeps(runtime.pool, Vault(keys, ring_of(settings)), settings)
        url = settings.database_url.get_secret_value()
        channels = (LANE_CHANNEL, STOP_CHANNEL, CALLED_CHANNEL)
        async with (
            Gateways(settings) as gateways,
            Hints(url, channels) as hints,
            runtime.loops() as tasks,
        ):
            sender = Sender(deps, gateways)
            tasks.create_task(sender.run(runtime.stop, hints.of(LANE_CHANNEL), doing=runtime.works.doing))
            tasks.create_task(
                _again(runtime, "asking more", lambda: ask_more(deps), hints.of(CALLED_CHANNEL))
            )
            tasks.create_task(
                _again(
                    runtime, "ends of cases", lambda: end_with_cases(deps, ENDS_OF), hints.of(STOP_CHANNEL)
                )
            )
            tasks.create_task(run_part(runtime, PART, partial(erase, deps)))
            overdue = partial(is_overdue, runtime.pool, CONSUMER)
            tasks.create_task(follow(runtime, CONSUMER, CASE_EVENTS, Follower(deps).apply, overdue))
    finally:
        await keys.close()


async def _again(
    runtime: Runtime, what: str, work: Callable[[], Awaitable[object]], hint: asyncio.Event
) -> None:
    """Every second, and at once when somebody knocks; a database that is away for a while ends nothing."""
    while not runtime.stop.is_set():
        hint.clear()
        try:
            with runtime.works.doing(what):
                await work()
        except AWAY as error:
            log.warning("will be tried again", error_class=type(error).__name__)
        waiting = [asyncio.ensure_future(runtime.pause(POLL_S)), asyncio.ensure_future(hint.wait())]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()


def main() -> int:
    """Runs until told to stop."""
    return run_service("volunteers", serve)
