"""A version is built from the event store: whole, in the order of the log, up to where the log ends when it begins.

What comes later comes from Kafka, from the places where its topics ended just before: some of it twice, which the
versions of the streams tell. Each batch moves the place in the log in its own transaction, so that a process that
was killed is followed by one that goes on there. No transaction is open for longer than a batch: the log flows on.
"""

import asyncio
from collections.abc import Mapping

import structlog

from services.eventlog import relay
from services.eventlog.relay import Point
from services.kernel.postgres import Connection, queries
from services.kernel.topic_identity import TopicIdentity
from services.projections import store, versions
from services.projections.engine import Engine
from services.projections.projection import Version
from services.projections.store import Partition

BATCH = 500
"""Events in one transaction: an open one that writes holds up all who read the log."""

_EVENTLOG = queries("services.eventlog")
log = structlog.get_logger()


class Builder:
    """Builds one version; the caller holds its lock on `connection`."""

    def __init__(self, connection: Connection, version: Version, engine: Engine) -> None:
        self._connection = connection
        self._version = version
        self._engine = engine

    async def begin(self, identity: TopicIdentity, ends: Mapping[Partition, int]) -> None:
        """Notes where Kafka's topics end now, to go on there, and how much there is to read."""
        head = await relay.head(self._connection)
        total = await self._connection.fetchval(
            versions.SQL["count_events"], head.epoch, head.transaction_id, head.position
        )
        async with self._connection.transaction():
            await store.begin_at(self._connection, self._version, identity, ends)
            await self._connection.execute(
                versions.SQL["begin_build"], self._version.name, self._version.number, total
            )

    async def run(self, at: Point, stop: asyncio.Event) -> None:
        """Reads the store from a point on, up to its end as it is now; less when asked to stop.

        Raises what `Engine.build` raises.
        """
        goal = await relay.head(self._connection)
        log.info("building", version=self._version.label, position=at.position, goal=goal.position)
        self._engine.at = at
        while self._engine.at.key < goal.key:
            if stop.is_set():
                return
            at = self._engine.at
            rows = await self._connection.fetch(
                _EVENTLOG["tail"], at.epoch, at.transaction_id, at.position, BATCH
            )
            await self._engine.build(rows)
        await self._connection.execute(versions.SQL["built"], self._version.name, self._version.number)
        log.info("built", version=self._version.label)
