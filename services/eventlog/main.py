"""The relay as a process."""

from schemas.events import TOPICS
from services.eventlog.producer import producer
from services.eventlog.relay import Relay
from services.kernel.kafka_access import start
from services.kernel.postgres import connect
from services.kernel.service import Runtime, run_service
from services.kernel.topic_identity import topic_identity

STANDBY_S = 1.0


async def _main(runtime: Runtime) -> None:
    settings = runtime.settings
    # Not from the pool: the session lock and LISTEN belong to one connection for the whole life of the relay.
    connection = await connect(settings.database_url.get_secret_value(), application="zoeklicht-relay-tail")
    sender = producer(settings)
    relay = Relay(connection, sender, settings)
    try:
        while not await relay.become_active():
            runtime.progress = {"state": "standby"}
            runtime.ready = True
            await runtime.pause(STANDBY_S)
            if runtime.stop.is_set():
                return
        with runtime.works.doing("the beginning"):
            await start(sender, settings)
            await relay.begin(await topic_identity(settings, TOPICS))
        runtime.ready = True
        await relay.run(runtime.stop, runtime.works.doing)
    finally:
        with runtime.works.doing("the end"):
            await sender.stop()
            await connection.close()


def main() -> int:
    """Runs the relay until it is told to stop."""
    return run_service("relay", _main)
