"""The dispatch planner as a process: Kafka, the stop loop and the timer of standbys beside each other."""

import asyncio
from contextlib import suppress

import structlog
from aiokafka.errors import KafkaError

from schemas.events import CASE_EVENTS
from services.dispatch.publish import Publisher
from services.dispatch.reconcile import run_reconciling
from services.dispatch.retention import run_retention
from services.dispatch.standby import run_timer
from services.dispatch.stops import run_stops
from services.dispatch.stream import CONSUMER, Planner
from services.kernel.postgres import create_pool
from services.kernel.service import Runtime, run_service
from services.kernel.settings import Settings
from services.kernel.streaming import StreamingError, run_stream, stream_app
from services.kernel.vault import Vault

AGAIN_S = 1.0
KNOCK_S = 5.0

log = structlog.get_logger()


async def serve(runtime: Runtime) -> None:
    """Everything the process does, until it is to stop."""
    settings = runtime.settings
    keys = await create_pool(settings.vault_url, size=2, application="zoeklicht-dispatch-vault")
    try:
        publisher = Publisher(runtime.pool, Vault(keys, settings.master_key_bytes), settings)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_stops(runtime, publisher))
            tasks.create_task(run_timer(runtime, publisher))
            tasks.create_task(run_reconciling(runtime, publisher))
            tasks.create_task(run_retention(runtime))
            tasks.create_task(_follow(runtime, Planner(publisher, settings)))
    finally:
        await keys.close()


async def _follow(runtime: Runtime, planner: Planner) -> None:
    """Follows Kafka. Its absence must not stop the loops beside it, through which everything goes dark."""
    while not runtime.stop.is_set():
        try:
            await _knock(runtime.settings)
            await run_stream(stream_app(runtime.settings, CONSUMER, CASE_EVENTS, planner.apply), runtime)
        except (StreamingError, KafkaError, OSError) as error:
            runtime.ready = False
            log.warning("kafka is away; trying again", error_class=type(error).__name__)
            await runtime.pause(AGAIN_S)


async def _knock(settings: Settings) -> None:
    """Raises OSError unless a broker listens: a stream processor that cannot start leaves threads behind."""
    for server in settings.kafka_bootstrap_servers.split(","):
        host, _, port = server.rpartition(":")
        with suppress(OSError):
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), KNOCK_S)
            writer.close()
            return
    raise ConnectionRefusedError("no Kafka broker listens; see KAFKA_BOOTSTRAP_SERVERS")


def main() -> int:
    """Runs the planner until it is told to stop."""
    return run_service("dispatch", serve)
