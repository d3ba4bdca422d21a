"""When everything that is in the store has been worked on: the relay, then criteria and projections, until all rest."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer

from schemas.events import CASE_EVENTS, TOPICS
from services.criteria.handlers import CONSUMER
from services.eventlog import relay
from services.kernel.kafka import consumer, end_offsets
from services.kernel.kafka_access import start
from services.kernel.postgres import Pool
from services.kernel.service import services_ready
from services.kernel.settings import Settings
from services.projections.status import progress

_LOOK_S = 0.1
NEEDED = ("relay", "criteria", "projections")
"""The services that carry an event from the store to the reports."""
Ends = Mapping[tuple[str, int], int]


@dataclass(frozen=True, slots=True)
class Behind:
    """What is still to be done: events that Kafka lacks, messages that criteria and projections have not seen."""

    relay: int
    criteria: int
    projections: int

    @property
    def total(self) -> int:
        """Everything that is still to be done."""
        return self.relay + self.criteria + self.projections


@asynccontextmanager
async def topics_reader(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer that reads nothing: it knows where the topics end."""
    client = consumer(settings)
    try:
        await start(client, settings)
        yield client
    finally:
        await client.stop()


async def behind(pool: Pool, client: AIOKafkaConsumer, settings: Settings) -> Behind:
    """How far everything is behind now."""
    waiting = await _unsent(pool)
    ends = await end_offsets(client, [settings.topic(name) for name in TOPICS])
    assessed = await _criteria(pool)
    projected = await progress(pool)
    cases = settings.topic(CASE_EVENTS)
    return Behind(
        waiting,
        _lag({place: end for place, end in ends.items() if place[0] == cases}, assessed),
        _lag(ends, projected),
    )


async def caught_up(
    pool: Pool,
    client: AIOKafkaConsumer,
    settings: Settings,
    *,
    within_s: float | None = None,
    tell: Callable[[Behind], None] = lambda _: None,
) -> bool:
    """Waits until nothing is behind and the store has not grown meanwhile; False when `within_s` is over before.

    Criteria appends what it finds, so an empty queue is the end only when the head stood still.
    """
    deadline = None if within_s is None else time.monotonic() + within_s
    while True:
        before = await relay.head(pool)
        now = await behind(pool, client, settings)
        tell(now)
        if now.total == 0 and await relay.head(pool) == before and await _at_work(pool):
            return True
        if deadline is not None and time.monotonic() > deadline:
            return False
        await asyncio.sleep(_LOOK_S)


async def _at_work(pool: Pool) -> bool:
    """Whether those who must have caught up are there at all: a checkpoint alone may be of another cluster."""
    ready = await services_ready(pool)
    return all(ready.get(name) for name in NEEDED)


async def _unsent(pool: Pool) -> int:
    at = await relay.position(pool)
    return int(
        await pool.fetchval(
            "select count(*) from eventlog.events where (epoch, transaction_id, position) > ($1, $2::text::xid8, $3)",
            at.epoch,
            at.transaction_id,
            at.position,
        )
    )


async def _criteria(pool: Pool) -> dict[tuple[str, int], int]:
    rows = await pool.fetch(
        "select topic, partition, next_offset from kernel.consumer_progress where consumer = $1", CONSUMER
    )
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


def _lag(ends: Ends, at: Ends) -> int:
    # A position beyond the end is of an earlier topic: nothing of this one has been seen.
    seen = {place: at.get(place, 0) for place in ends}
    return sum(end - seen[place] if seen[place] <= end else end for place, end in ends.items())
