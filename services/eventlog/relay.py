"""The relay: the one process that writes to Kafka. At least once, in the order of the log, nothing lost."""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
import structlog
from aiokafka import AIOKafkaProducer

from schemas.events import CASE_EVENTS, TOPICS
from services.eventlog.store import CHANNEL, EventStoreError
from services.eventlog.wire import headers
from services.kernel.clock import boot_id
from services.kernel.postgres import Connection, queries
from services.kernel.settings import Settings
from services.kernel.topic_identity import TopicIdentity
from services.kernel.watchdog import Doing

BATCH = 500
POLL_S = 0.5
FIRST_LOOK_S, LONGEST_LOOK_S = 0.002, 0.1
"""Until the next look at case events that are committed and not yet readable, because an older transaction is open:
doubled each time."""
LINGER_S = 0.05
"""How long what is no case event waits for others: each batch costs the broker and every reader a turn of its own."""
SEND_WITHIN_S = 45.0
"""Three times what one request may take. A producer that is silent for so long is given up with its process: the next one
begins at the checkpoint, and a batch that comes twice harms nobody."""
REWIND = timedelta(hours=1)
"""Kafka does not fsync each write: after a power cut, what it acknowledged last is sent again.

A process that was killed loses nothing of it, the machine keeps what was written; so only when the machine has started
anew since, or nobody can tell. Counted back from the checkpoint's last move, not from now: an outage may last longer than this.
"""
_ACTIVE_LOCK = 116_001

_SQL = queries("services.eventlog")
log = structlog.get_logger()


class RelayError(EventStoreError):
    """The relay cannot go on."""


class AnotherRelayError(RelayError):
    """The checkpoint moved under us: another relay is at work."""


class SilentKafkaError(RelayError):
    """Kafka neither took a batch nor refused it."""


class RestoredDatabaseError(RelayError):
    """Transaction ids started again below stored ones, as after a logical restore."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the log. Order: (epoch, transaction, position)."""

    epoch: int = 0
    transaction_id: str = "0"
    position: int = 0

    @classmethod
    def of(cls, row: Any) -> "Point":
        """The point of a row that has the three columns."""
        return cls(row["epoch"], row["transaction_id"], row["position"])

    @property
    def columns(self) -> tuple[int, str, int]:
        """For queries."""
        return self.epoch, self.transaction_id, self.position

    @property
    def key(self) -> tuple[int, int, int]:
        """For comparing."""
        return self.epoch, int(self.transaction_id), self.position


async def head(source: Any) -> Point:
    """The last event that a reader may see now."""
    row = await source.fetchrow(_SQL["head"])
    return Point.of(row) if row else Point()


async def position(source: Any) -> Point:
    """How far the relay has come."""
    row = await source.fetchrow(_SQL["checkpoint"])
    return Point.of(row) if row else Point()


class Relay:
    """Reads committed events and sends them, one batch at a time.

    `connection` is held for the relay's whole life: its session lock is what makes this relay the active one.
    """

    def __init__(self, connection: Connection, producer: AIOKafkaProducer, settings: Settings) -> None:
        self._connection = connection
        self._producer = producer
        self._topics = {name: settings.topic(name) for name in TOPICS}
        self._hint = asyncio.Event()
        self._lingering: asyncio.TimerHandle | None = None
        self._at = Point()
        self.sent = 0

    async def become_active(self) -> bool:
        """Takes the session lock; False while another relay holds it."""
        return bool(await self._connection.fetchval("select pg_try_advisory_lock($1)", _ACTIVE_LOCK))

    async def begin(self, identity: TopicIdentity, boot: str | None = None) -> None:
        """Finds where to go on: at the checkpoint, an hour back after a power cut, at 0 on another cluster.

        `boot`: which boot of the machine this is, by default what the machine says. Raises RestoredDatabaseError when stored transaction ids are not below the server's next one.
        """
        boot = boot_id() if boot is None else boot
        check = await self._connection.fetchrow(_SQL["next_transaction"])
        if check["beyond"]:
            raise RestoredDatabaseError(
                "the database was restored and counts transactions anew: run `zoeklicht migrate --new-epoch` once"
            )
        row = await self._connection.fetchrow(_SQL["checkpoint"])
        topics = orjson.dumps(identity.topic_ids, option=orjson.OPT_SORT_KEYS).decode()
        same = (
            row is not None
            and row["cluster_id"] == identity.cluster_id
            and orjson.loads(row["topic_ids"]) == identity.topic_ids
        )
        if not same:
            await self._connection.execute(_SQL["checkpoint_start"], identity.cluster_id, topics)
        elif not row["clean_stop"] and (not boot or row["boot_id"] != boot):
            await self._connection.execute(_SQL["checkpoint_rewind"], REWIND)
        await self._connection.execute(_SQL["checkpoint_open"], boot)
        self._at = Point.of(await self._connection.fetchrow(_SQL["checkpoint"]))
        await self._connection.add_listener(CHANNEL, self._told)
        log.info("relay begins", same_cluster=same, position=self._at.position)

    async def run(self, stop: asyncio.Event, doing: Doing = nullcontext) -> None:
        """Sends until asked to stop. NOTIFY is a hint, polling the guarantee."""
        look_s = FIRST_LOOK_S
        while not stop.is_set():
            self._hint.clear()
            with doing("a batch"):
                sent = await self.step()
            if sent == BATCH:
                continue
            if await self._connection.fetchval(_SQL["unreadable"], *self._at.columns, CASE_EVENTS):
                # Whoever holds them up may end without a word.
                look_s = FIRST_LOOK_S if sent else min(2 * look_s, LONGEST_LOOK_S)
                await self._pause(stop, look_s)
            else:
                look_s = FIRST_LOOK_S
                await self._pause(stop, POLL_S)
        await self._connection.execute(_SQL["checkpoint_close"])

    async def _pause(self, stop: asyncio.Event, seconds: float) -> None:
        waiting = [asyncio.ensure_future(self._hint.wait()), asyncio.ensure_future(stop.wait())]
        _, pending = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()

    def _told(self, _connection: Connection, _pid: int, _channel: str, topic: str) -> None:
        if topic == CASE_EVENTS:
            self._hint.set()
        elif self._lingering is None:
            self._lingering = asyncio.get_running_loop().call_later(LINGER_S, self._lingered)

    def _lingered(self) -> None:
        self._lingering = None
        self._hint.set()

    async def step(self) -> int:
        """Sends one batch and moves the checkpoint; returns how many events it sent."""
        at = self._at
        rows = await self._connection.fetch(_SQL["tail"], *at.columns, BATCH)
        if not rows:
            return 0
        await self._send(rows)
        to = Point.of(rows[-1])
        moved = await self._connection.fetchval(_SQL["checkpoint_move"], *to.columns, *at.columns)
        if not moved:
            raise AnotherRelayError(
                "the checkpoint moved under this relay: another one is at work; this one ends"
            )
        self._at = to
        self.sent += len(rows)
        return len(rows)

    async def _send(self, rows: Sequence[Any]) -> None:
        within = asyncio.timeout(SEND_WITHIN_S)
        try:
            async with within:
                futures = [
                    await self._producer.send(
                        self._topics[row["topic"]],
                        value=row["data"].encode(),
                        key=row["subject"].encode(),
                        headers=headers(row),
                    )
                    for row in rows
                ]
                await asyncio.gather(*futures)
        except TimeoutError as error:
            if not within.expired():
                raise
            raise SilentKafkaError(
                f"Kafka said nothing about a batch for {SEND_WITHIN_S:g} s: this relay ends, the next one sends it again"
            ) from error

    @property
    def at(self) -> Point:
        """The checkpoint."""
        return self._at
