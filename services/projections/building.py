"""A version is built from the event store: whole, in the order of the log, up to where the log ends when it begins.

What comes later comes from Kafka, from the places where its topics ended just before: some of it twice, which the
versions of the streams tell. Each batch moves the place in the log in its own transaction, so that a process that
was killed is followed by one that goes on there. No transaction is open for longer than a batch: the log flows on.
"""

import asyncio
from collections.abc import Mapping

import structlog

from schemas.events import EVENTS
from services.eventlog import relay
from services.eventlog.relay import Point
from services.kernel.postgres import Connection
from services.kernel.topic_identity import TopicIdentity
from services.projections import store, versions
from services.projections.engine import Engine
from services.projections.incoming import Incoming
from services.projections.projection import Version
from services.projections.store import Partition
from services.projections.versions import SQL

BATCH = 500
"""Events, and streams, in one transaction: an open one that writes holds up all who read the log."""

log = structlog.get_logger()


class Builder:
    """Builds one version; the caller holds its lock on the engine's connection. `reader` is another connection.

    What comes next is read while the last batch is written.
    """

    def __init__(self, reader: Connection, connection: Connection, version: Version, engine: Engine) -> None:
        self._reader = reader
        self._connection = connection
        self._version = version
        self._engine = engine
        projection = version.projection
        # An event of a type that this software does not know comes too: it ends the building.
        self._which = list(projection.topics), sorted(EVENTS.keys() - projection.types)

    async def begin(self, identity: TopicIdentity, ends: Mapping[Partition, int]) -> None:
        """Notes where Kafka's topics end now, to go on there, and how much there is to read."""
        head = await relay.head(self._connection)
        total = await self._connection.fetchval(SQL["count_log"], *_columns(head), *self._which)
        async with self._connection.transaction():
            await store.begin_at(self._connection, self._version, identity, ends)
            await self._connection.execute(
                SQL["begin_build"], self._version.name, self._version.number, total
            )

    async def run(self, at: Point, stop: asyncio.Event) -> None:
        """Reads the store from a point on, up to its end as it is now; less when asked to stop.

        Raises what `Engine.build` raises.
        """
        goal = await relay.head(self._connection)
        log.info("building", version=self._version.label, position=at.position, goal=goal.position)
        self._engine.at = at
        incoming = await self._read(at, goal)
        while incoming and not stop.is_set():
            following = asyncio.create_task(self._read(Point.of(incoming[-1].source), goal))
            try:
                await self._engine.build(incoming)
                incoming = await following
            finally:
                following.cancel()
        if not incoming:
            await self._see(goal, stop)
        if not stop.is_set():
            await self._connection.execute(SQL["built"], self._version.name, self._version.number)
            log.info("built", version=self._version.label)

    async def _read(self, at: Point, goal: Point) -> list[Incoming]:
        rows = await self._reader.fetch(SQL["log"], *_columns(at), *_columns(goal), *self._which, BATCH)
        return self._engine.read_rows(rows)

    async def _see(self, goal: Point, stop: asyncio.Event) -> None:
        """Notes what was taken in of each stream, before anything comes from Kafka; again, when it was interrupted."""
        stream: str | None = ""
        while stream is not None and not stop.is_set():
            async with self._connection.transaction():
                await versions.enter(self._connection, self._version)
                stream = await self._connection.fetchval(
                    SQL["see_log"], stream, *_columns(goal), self._which[0], BATCH
                )


def _columns(point: Point) -> tuple[int, str, int]:
    return point.epoch, point.transaction_id, point.position
