"""What the edge knows about the health of the rest: looked up in the background, so that a probe never waits."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from schemas.events import TOPICS
from services.kernel.kafka import consumer, end_offsets
from services.kernel.kafka_access import start
from services.kernel.logging import told
from services.kernel.postgres import AWAY, Pool
from services.kernel.service import services_ready
from services.kernel.settings import Settings

LOOK_S = 0.5
FRESH_S = 6.0
"""A dependency that did not answer for this long is away."""
_ANSWER_WITHIN_S = 3.0

SERVICES = ("intake", "relay", "criteria", "dispatch", "sender", "volunteers", "auditor", "projections")
"""Every one of them must be ready before the system is. `web` is who answers."""

log = structlog.get_logger()


@dataclass(slots=True)
class Watch:
    """The last looks. Times are of the monotonic clock; 0 means never."""

    settings: Settings
    pool: Pool
    ticked_at: float = 0.0
    database_at: float = 0.0
    kafka_at: float = 0.0
    services: dict[str, bool] = field(default_factory=dict)
    ends: dict[tuple[str, int], int] = field(default_factory=dict)
    viewers: int = 0
    """How many streams of the board are open here."""

    def looks(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What looks again and again until cancelled. Neither look holds up the other."""
        return self._watch_database(), self._watch_kafka()

    async def _watch_database(self) -> None:
        while True:
            self.ticked_at = time.monotonic()
            try:
                self.services = await services_ready(self.pool, _ANSWER_WITHIN_S)
                self.database_at = time.monotonic()
            except AWAY as error:
                log.warning("database is away", error_class=type(error).__name__)
            await asyncio.sleep(LOOK_S)

    async def _watch_kafka(self) -> None:
        topics = [self.settings.topic(name) for name in TOPICS]
        while True:
            client = consumer(self.settings)
            try:
                await start(client, self.settings)
                await self._look_at(client, topics)
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("kafka is away", **told(error))
            finally:
                await client.stop()
            await asyncio.sleep(LOOK_S)

    async def _look_at(self, client: AIOKafkaConsumer, topics: list[str]) -> None:
        while True:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                await client.topics()
                found = await end_offsets(client, topics)
            if len({topic for topic, _ in found}) == len(topics):
                self.ends, self.kafka_at = found, time.monotonic()
            await asyncio.sleep(LOOK_S)

    @property
    def alive(self) -> bool:
        """Whether this process gets on: its own loop turns and the database answers."""
        return _fresh(self.ticked_at) and _fresh(self.database_at)

    @property
    def dependencies(self) -> dict[str, bool]:
        """Each dependency and whether it is ready."""
        database = _fresh(self.database_at)
        return {
            "database": database,
            "kafka": _fresh(self.kafka_at),
            **{name: database and self.services.get(name, False) for name in SERVICES},
        }


def _fresh(at: float) -> bool:
    return at > 0 and time.monotonic() - at < FRESH_S
