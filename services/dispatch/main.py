"""The dispatch planner as a process: Kafka, the stop loop and the timer of standbys beside each other."""

from functools import partial

from schemas.events import CASE_EVENTS
from services.dispatch.erasing import run_erasing
from services.dispatch.publish import Publisher
from services.dispatch.reconcile import run_reconciling
from services.dispatch.retention import run_retention
from services.dispatch.standby import run_timer
from services.dispatch.stops import run_stops
from services.dispatch.stream import CONSUMER, Planner
from services.eventlog.arrivals import is_overdue
from services.kernel.postgres import create_pool
from services.kernel.service import Runtime, run_service
from services.kernel.streaming import follow
from services.kernel.vault import Vault, ring_of


async def serve(runtime: Runtime) -> None:
    """Everything the process does, until it is to stop."""
    settings = runtime.settings
    keys = await create_pool(settings.vault_url, size=2, application="zoeklicht-dispatch-vault")
    try:
        vault = Vault(keys, ring_of(settings))
        publisher = Publisher(runtime.pool, vault, settings)
        async with runtime.loops() as tasks:
            tasks.create_task(run_stops(runtime, publisher))
            tasks.create_task(run_timer(runtime, publisher))
            tasks.create_task(run_reconciling(runtime, publisher))
            tasks.create_task(run_retention(runtime))
            tasks.create_task(run_erasing(runtime, vault))
            planner, overdue = Planner(publisher, settings), partial(is_overdue, runtime.pool, CONSUMER)
            tasks.create_task(follow(runtime, CONSUMER, CASE_EVENTS, planner.apply, overdue))
    finally:
        await keys.close()


def main() -> int:
    """Runs the planner until it is told to stop."""
    return run_service("dispatch", serve)
