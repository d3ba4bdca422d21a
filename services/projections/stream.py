"""From Kafka to the engine. Bare aiokafka without a consumer group: offsets live in PostgreSQL, beside the work.

All partitions are assigned by hand to the one process that holds the projection's lock; the others stand by. A
group would share partitions, but one process projects thousands of events a second, and what a group brings
instead are rebalances during which two processes hold the same partition. Projections scale by projection.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.kernel.kafka import consumer
from services.kernel.kafka_access import admin, start
from services.kernel.postgres import Connection, create_pool, queries
from services.kernel.settings import Settings
from services.kernel.topic_identity import TopicIdentity, topic_identity
from services.projections import store, versions
from services.projections.building import Builder
from services.projections.engine import Engine
from services.projections.errors import SilentConsumerError, TopicChangedError
from services.projections.incoming import Incoming
from services.projections.projection import Version
from services.projections.store import Partition

MAX_BATCH = 1000
POLL_MS = 500
READ_AT_ONCE = 20
"""Messages that are read, in some milliseconds, before the writing of the last batch gets its turn again."""
IDENTITY_S = 30.0
"""How often to ask whether the topics are still the same: aiokafka's fetches do not know topic ids."""

_EVENTLOG = queries("services.eventlog")
log = structlog.get_logger()


@dataclass(slots=True)
class Watch:
    """What others may know about a running projection. `lag` counts messages not yet taken in."""

    state: str = "starting"
    lag: int | None = None
    changed: Callable[[], None] = field(default=lambda: None)

    def become(self, state: str) -> None:
        """Notes a new state: starting, standby, building, active, stopped."""
        self.state = state
        self.changed()

    def note(self, lag: int | None) -> None:
        """Notes how many messages wait."""
        self.lag = lag
        self.changed()


async def partitions_of(settings: Settings, topics: Iterable[str]) -> list[Partition]:
    """Every partition of these topics, by full topic name."""
    async with admin(settings) as client:
        found = await client.describe_topics([settings.topic(topic) for topic in topics])
    return sorted((topic["topic"], p["partition"]) for topic in found for p in topic["partitions"])


class Follower:
    """Builds a version if it is not built, then follows its topics; the caller holds its lock on `connection`."""

    def __init__(self, settings: Settings, connection: Connection, version: Version) -> None:
        self._settings = settings
        self._connection = connection
        self._version = version
        self._topics = version.projection.topics
        self._engine = Engine(connection, version)
        self._consumer: AIOKafkaConsumer = consumer(settings)
        self._identity: TopicIdentity | None = None
        self._checked_at = 0.0
        self._brought = 0
        self._waits = False

    async def run(self, stop: asyncio.Event, watch: Watch) -> None:
        """Follows until asked to stop. Raises what `Engine.apply` raises, and Kafka's and PostgreSQL's errors."""
        await store.unstop(self._connection, self._version.name, self._version.number)
        await start(self._consumer, self._settings)
        try:
            await self._build(stop, watch)
            if stop.is_set():
                return
            await self._begin()
            watch.become("active")
            await self._follow(stop, watch)
        finally:
            await self._consumer.stop()

    async def _follow(self, stop: asyncio.Event, watch: Watch) -> None:
        """What comes next is fetched and read while the last batch is written."""
        coming = asyncio.create_task(self._next())
        try:
            while not stop.is_set():
                incoming = await coming
                coming = asyncio.create_task(self._next())
                if incoming:
                    await self._refuse_lost(_firsts(incoming))
                    await self._engine.take_in(incoming)
                watch.note(self._lag())
        finally:
            coming.cancel()

    async def _build(self, stop: asyncio.Event, watch: Watch) -> None:
        state = await versions.state_of(self._connection, self._version.name, self._version.number)
        if state.built_at is not None:
            return
        watch.become("building")
        url = self._settings.database_url.get_secret_value()
        pool = await create_pool(url, size=1, application="zoeklicht-projections-reader")
        try:
            async with pool.acquire() as reader:
                builder = Builder(reader, self._connection, self._version, self._engine)
                if state.total is None:
                    await builder.begin(*await self._ends())
                await builder.run(state.at, stop)
        finally:
            await pool.close()

    async def _ends(self) -> tuple[TopicIdentity, dict[Partition, int]]:
        """Kafka's ends, to be asked before the store's: what is not in the store a moment later comes behind them."""
        identity = await topic_identity(self._settings, self._topics)
        partitions = [TopicPartition(*p) for p in await partitions_of(self._settings, self._topics)]
        ends = await self._consumer.end_offsets(partitions)
        return identity, {(tp.topic, tp.partition): end for tp, end in ends.items()}

    async def _begin(self) -> None:
        identity = await topic_identity(self._settings, self._topics)
        partitions = await partitions_of(self._settings, self._topics)
        positions = await store.begin(self._connection, self._version, identity, partitions)
        self._consumer.assign([TopicPartition(*partition) for partition in partitions])
        self._engine.positions = positions
        self._identity, self._checked_at = identity, time.monotonic()
        await self._mend()
        for partition, offset in self._engine.positions.items():
            self._consumer.seek(TopicPartition(*partition), offset)
        log.info("projection begins", projection=self._version.label, partitions=len(partitions))

    async def _mend(self) -> None:
        """Where Kafka has lost what comes next, the store has it; where Kafka's end is before us, we go back."""
        every = [TopicPartition(*partition) for partition in self._engine.positions]
        first = await self._consumer.beginning_offsets(every)
        end = await self._consumer.end_offsets(every)
        moves: dict[Partition, tuple[int, int]] = {}
        lost = False
        for partition, at in self._engine.positions.items():
            begins, ends = first[TopicPartition(*partition)], end[TopicPartition(*partition)]
            lost = lost or at < begins
            if not begins <= at <= ends:
                moves[partition] = at, begins
        if lost:
            await self._read_store()
        if moves:
            await store.move(self._connection, self._version, moves)
            self._engine.positions |= {partition: to for partition, (_, to) in moves.items()}

    async def _read_store(self) -> None:
        log.info("reading the event store", projection=self._version.label)
        at = 0, "0", 0
        while rows := await self._connection.fetch(_EVENTLOG["tail"], *at, MAX_BATCH):
            mine = [row for row in rows if row["topic"] in self._topics]
            await self._engine.take_from_store(mine)
            last = rows[-1]
            at = last["epoch"], last["transaction_id"], last["position"]

    async def _next(self) -> list[Incoming]:
        if time.monotonic() - self._checked_at > IDENTITY_S:
            await self._check_identity()
            await self._check_arrivals()
        found = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_BATCH)
        messages = [message for batch in found.values() for message in batch]
        self._brought += len(messages)
        incoming: list[Incoming] = []
        for first in range(0, len(messages), READ_AT_ONCE):
            incoming += self._engine.read(messages[first : first + READ_AT_ONCE])
            await asyncio.sleep(0)
        return incoming

    async def _refuse_lost(self, firsts: Mapping[Partition, int]) -> None:
        """When retention overtook us, the client goes on behind what it took: the store must fill that in first."""
        ahead = {
            TopicPartition(*p): at for p, first in firsts.items() if first > (at := self._engine.positions[p])
        }
        if not ahead:
            return
        begins = await self._consumer.beginning_offsets(list(ahead))
        if any(begins[tp] > at for tp, at in ahead.items()):
            raise TopicChangedError(
                "Kafka dropped messages before they were projected; this process ends, begins again and reads them"
                " from the event store"
            )

    async def _check_identity(self) -> None:
        same = await topic_identity(self._settings, self._topics) == self._identity
        partitions = await partitions_of(self._settings, self._topics)
        if not same or set(partitions) != self._engine.positions.keys():
            raise TopicChangedError(
                "a topic was made anew or has other partitions; this process ends and begins again at the right place"
            )
        self._checked_at = time.monotonic()

    async def _check_arrivals(self) -> None:
        """Raises SilentConsumerError when Kafka had more at the last look, has more now, and brought nothing between.

        A net: a client that asks Kafka for nothing any more looks like one that there is nothing for.
        """
        every = [TopicPartition(*partition) for partition in self._engine.positions]
        ends = await self._consumer.end_offsets(every)
        more = any(end > self._engine.positions[tp.topic, tp.partition] for tp, end in ends.items())
        if more and self._waits and not self._brought:
            raise SilentConsumerError(
                f"Kafka has messages and brought none for {IDENTITY_S:g} s; this process ends and begins again where it was"
            )
        self._waits, self._brought = more, 0

    def _lag(self) -> int | None:
        ends = {p: self._consumer.highwater(TopicPartition(*p)) for p in self._engine.positions}
        if any(end is None for end in ends.values()):
            return None
        return sum(max(0, int(end) - self._engine.positions[p]) for p, end in ends.items())


def _firsts(incoming: Sequence[Incoming]) -> dict[Partition, int]:
    """The first offset of each partition in a batch."""
    return {(one.source.topic, one.source.partition): one.source.offset for one in reversed(incoming)}
