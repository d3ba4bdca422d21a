"""The engine: batches of messages become read models, each batch in one transaction.

Zombie-safe twice: only the session that holds the version's advisory lock runs it, and all writes go through that
very session, so that a process which lost its lock has lost its connection too; and the checkpoint is compared and
set in the transaction of the work, before anything is written.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from schemas.events import EVENTS
from schemas.upcasters import UPCASTERS
from services.eventlog.relay import Point
from services.eventlog.store import Recorded, read_stream
from services.kernel.paging import page
from services.kernel.postgres import Connection
from services.projections import store, versions
from services.projections.errors import (
    MissingEventError,
    ProjectionStoppedError,
    TopicChangedError,
    ZombieError,
    is_poison,
)
from services.projections.incoming import Incoming, attributes_of, from_kafka, from_store
from services.projections.projection import Version
from services.projections.store import Partition

FOREIGN = "not an event"
"""How a message that lacks an event's attributes is counted: nobody but the relay writes events."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Batch:
    """What a batch adds up to."""

    events: list[Recorded] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)


class Engine:
    """Runs one version of a projection in one session.

    `positions` is where it goes on in each partition, `at` how far it has read the event store.
    """

    def __init__(self, connection: Connection, version: Version) -> None:
        self._connection = connection
        self._version = version
        self._projection = version.projection
        # Of an old version nobody knows before it is lifted what it becomes; one that nobody knows must not pass.
        self._wanted = self._projection.types | UPCASTERS.keys()
        self.positions: dict[Partition, int] = {}
        self.at = Point()

    def read(self, messages: Sequence[Any]) -> list[Incoming]:
        """Reads messages (aiokafka's ConsumerRecord) as far as this projection wants. Never raises."""
        return [from_kafka(message, self._wanted) for message in messages]

    def read_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[Incoming]:
        """Reads rows of the event store, also those of a type that nobody knows. Never raises."""
        return [from_store(row) for row in rows]

    async def apply(self, messages: Sequence[Any]) -> None:
        """Reads messages and takes them in."""
        await self.take_in(self.read(messages))

    async def take_in(self, incoming: Sequence[Incoming]) -> None:
        """Takes in messages that were read, in order per partition, and moves the checkpoint.

        Raises ZombieError, TopicChangedError, or ProjectionStoppedError after a person was paged about an event that
        cannot be projected: all before it is in.
        """
        await self._settle(incoming, self._commit, _place_in_kafka)

    async def take_from_store(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Takes in rows of the event store, which Kafka does not keep any more; the checkpoint stays.

        Raises ProjectionStoppedError as `apply` does.
        """
        await self._settle(self.read_rows(rows), self._commit_rows, _place_in_store)

    async def build(self, incoming: Sequence[Incoming]) -> None:
        """Takes in the next rows, read, of the event store, in the order of the log, and moves `at` behind them.

        The place in the log alone tells what was taken in; which versions of streams that were, `Builder` notes at the
        end. Raises ZombieError, or ProjectionStoppedError as `apply` does: also at an event of an unknown type.
        """
        await self._settle(incoming, self._commit_built, _place_in_store)

    async def _settle(
        self,
        items: Sequence[Incoming],
        commit: Callable[[Sequence[Incoming]], Awaitable[None]],
        place: Callable[[Any], str],
    ) -> None:
        """Commits all at once; when an event is at fault, commits what comes before it and stops there."""
        try:
            await commit(items)
        except Exception as whole:
            if not is_poison(whole):
                raise
            for item in items:
                try:
                    await commit([item])
                except Exception as error:
                    if not is_poison(error):
                        raise
                    await self._stop(place(item.source), error)
                    raise ProjectionStoppedError(f"{self._version.label} stopped; see the page") from error

    async def _stop(self, place: str, error: Exception) -> None:
        text = (
            f"projection {self._version.label} stopped at {place}: it cannot be projected"
            f" ({type(error).__name__}). The other projections go on. Mend the cause, then start the process"
            f" projections again or run `zoeklicht projections resume {self._version.label}`: it goes on at this event."
        )
        async with self._connection.transaction():
            await store.note_stop(self._connection, self._version, place, type(error).__name__)
            await page(self._connection, versions.matter(self._version.label), text, lasting=True)

    async def _commit_rows(self, incoming: Sequence[Incoming]) -> None:
        async with self._connection.transaction():
            await versions.enter(self._connection, self._version)
            await self._take(incoming, Counter())

    async def _commit_built(self, incoming: Sequence[Incoming]) -> None:
        read = [one.event() for one in incoming]
        events = [event for event in read if event.data.TYPE in self._projection.types]
        to = Point.of(incoming[-1].source)
        async with self._connection.transaction():
            await versions.enter(self._connection, self._version)
            await self._move_build(to, len(incoming))
            if events:
                await self._projection.apply(self._connection, events)
        self.at = to

    async def _move_build(self, to: Point, count: int) -> None:
        at, version = self.at, self._version
        points = at.epoch, at.transaction_id, at.position, to.epoch, to.transaction_id, to.position
        query = versions.SQL["move_build"]
        if not await self._connection.fetchval(query, version.name, version.number, *points, count):
            raise ZombieError(f"the building of {version.label} moved under this process; this one ends")

    async def _commit(self, incoming: Sequence[Incoming]) -> None:
        moves = self._moves([one.source for one in incoming])
        events = [one for one in incoming if one.stream]
        foreign = Counter({FOREIGN: len(incoming) - len(events)} if len(events) < len(incoming) else {})
        async with self._connection.transaction():
            await versions.enter(self._connection, self._version)
            await store.move(self._connection, self._version, moves)
            await self._take(events, foreign)
        self.positions |= {partition: to for partition, (_, to) in moves.items()}

    def _moves(self, messages: Sequence[Any]) -> dict[Partition, tuple[int, int]]:
        moves: dict[Partition, tuple[int, int]] = {}
        for message in messages:
            partition = message.topic, message.partition
            at, to = moves.get(partition, (self.positions[partition],) * 2)
            if message.offset < to:
                raise TopicChangedError(
                    f"offsets of {message.topic}/{message.partition} went back: the topic lost messages or was made"
                    " anew; this process ends and begins again at the right place"
                )
            moves[partition] = at, message.offset + 1
        return moves

    async def _take(self, incoming: Sequence[Incoming], unknown: Counter[str]) -> None:
        batch = await self._new(incoming)
        batch.unknown.update(unknown)
        if batch.events:
            await self._projection.apply(self._connection, batch.events)
        if batch.versions:
            await store.see(self._connection, batch.versions)
        if batch.unknown:
            await store.count_unknown(self._connection, self._version, batch.unknown)

    async def _new(self, incoming: Sequence[Incoming]) -> _Batch:
        """What of this was not seen before; where a stream has a gap, the event store fills it."""
        batch = _Batch()
        before = await store.seen(self._connection, {one.stream for one in incoming})
        for one in incoming:
            last = batch.versions.get(one.stream, before.get(one.stream, 0))
            if one.version <= last:
                continue
            if one.version > last + 1:
                await self._fill(batch, one, last)
                continue
            batch.versions[one.stream] = one.version
            if one.type not in EVENTS and one.type not in UPCASTERS:
                batch.unknown[one.type] += 1
            elif one.type in self._wanted:
                self._add(batch, one.event())
        return batch

    async def _fill(self, batch: _Batch, one: Incoming, last: int) -> None:
        """Reads a stream from the store, up to its end: what Kafka brings of it later was seen then."""
        log.warning("gap", projection=self._version.label, stream=one.stream, after=last, at=one.version)
        for event in await read_stream(self._connection, one.stream, last):
            if event.version != last + 1:
                break
            last = event.version
            self._add(batch, event)
        if last < one.version:
            raise MissingEventError(
                f"Kafka has version {one.version} of a stream and the event store only {last}: the store was restored"
                " from an older backup; empty the topics, or restore a newer one"
            )
        batch.versions[one.stream] = last

    def _add(self, batch: _Batch, event: Recorded) -> None:
        if event.data.TYPE in self._projection.types:
            batch.events.append(event)


def _place_in_kafka(message: Any) -> str:
    attributes = attributes_of(message) or {}
    event, kind = attributes.get("id", "?"), attributes.get("type", "?")
    return f"{message.topic}/{message.partition}@{message.offset} (event {event} of type {kind})"


def _place_in_store(row: Mapping[str, Any]) -> str:
    return f"position {row['position']} of the event store (event {row['event_id']} of type {row['type']})"
