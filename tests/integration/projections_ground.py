"""What the tests of the projections stand on: an invented history in the store, relayed and projected for real."""

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import asyncpg
from aiokafka import TopicPartition

from schemas import events as e
from schemas.base import Sealed
from schemas.vocabulary import CaseKind, Mode, Origin
from services.eventlog.producer import producer
from services.eventlog.relay import Point, Relay
from services.eventlog.store import (
    Append,
    Cause,
    NewEvent,
    append,
    assessment_stream,
    campaign_stream,
    case_stream,
    lock_streams,
)
from services.kernel.kafka import consumer
from services.kernel.postgres import create_pool
from services.kernel.topic_identity import topic_identity
from services.projections import store, versions
from services.projections.projection import Projection, Version
from services.projections.registry import PROJECTIONS
from services.projections.stream import Follower, Watch, partitions_of

BRUSSELS = ZoneInfo("Europe/Brussels")
SEALED = Sealed(key="case:x", box="AAAA")


def brussels(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=BRUSSELS)


def child(index: int = 0, child_id: UUID | None = None, age: int | None = 14, gender: str = "girl") -> Any:
    return e.ChildRecord(
        index=index,
        child_id=child_id or uuid4(),
        identity=SEALED,
        age_min=age,
        age_max=age,
        gender=gender,
    )


def opened(number: str, kind: str = "runaway", children: Sequence[Any] = (), details: Any = None) -> Any:
    return e.CaseOpened(
        case_number=number,
        kind=CaseKind(kind),
        reported_by=SEALED,
        last_seen=e.Place(postal_code="3000", municipality="24062"),
        children=tuple(children) or (child(),),
        details=details or e.NoDetails(),
    )


def assessed(worrying: bool, version: int = 1) -> e.AssessmentChanged:
    return e.AssessmentChanged(
        case_number="x",
        kind=CaseKind.RUNAWAY,
        case_version=version,
        case_open=True,
        rules="MD-2002-02-20",
        worrying=worrying,
        episode=int(worrying),
        criteria=(),
        reasons=(),
        changes=(),
    )


class History:
    """Appends events; `at` is when they happened and, unless `known` says otherwise, when they were recorded."""

    def __init__(self, pool: asyncpg.Pool, mode: Mode = Mode.ACTUAL) -> None:
        self.pool = pool
        self.mode = mode

    async def put(
        self,
        stream: str,
        subject: object,
        data: Any,
        at: datetime | None = None,
        known: datetime | None = None,
    ) -> int:
        cause = Cause(actor="tester", correlation_id="c", origin=Origin.IMPORT, mode=self.mode)
        one = Append(stream, str(subject), [NewEvent(data, time=at, recorded_time=known or at)], cause)
        async with self.pool.acquire() as connection, connection.transaction():
            await lock_streams(connection, [stream])
            return (await append(connection, [one]))[stream]

    async def case(self, number: str, at: datetime, kind: str = "runaway", **more: Any) -> UUID:
        case_id = uuid4()
        await self.put(case_stream(case_id), case_id, opened(number, kind, **more), at)
        return case_id

    async def fact(
        self, case_id: UUID, data: Any, at: datetime | None = None, known: datetime | None = None
    ) -> int:
        return await self.put(case_stream(case_id), case_id, data, at, known)

    async def assess(self, case_id: UUID, worrying: bool, at: datetime | None = None) -> None:
        await self.put(assessment_stream(case_id), case_id, assessed(worrying), at)

    async def close(self, case_id: UUID, at: datetime, outcome: str = "found_safe") -> None:
        closed = e.CaseClosed(outcomes=(e.ChildOutcome(child=0, outcome=outcome),))
        await self.fact(case_id, closed, at)

    async def release(
        self, case_id: UUID, kind: str, at: datetime, continues: e.Continued | None = None
    ) -> UUID:
        campaign_id = uuid4()
        appeal = e.Appeal(kind=kind, areas=("BE",))
        released = e.CampaignReleased(campaign_id=campaign_id, appeal=appeal, continues=continues)
        await self.put(campaign_stream(campaign_id), case_id, released, at)
        return campaign_id

    async def count(self, data: Any, at: datetime, case_id: UUID | None = None) -> None:
        await self.put(f"ops-{uuid4()}", case_id or "calls", data, at)


@asynccontextmanager
async def connected(settings):
    """A session of its own, as each projection has."""
    pool = await create_pool(settings.database_url.get_secret_value(), size=1, application="test-projection")
    try:
        async with pool.acquire() as connection:
            yield connection
    finally:
        await pool.close()


async def _last(connection) -> tuple[int, int, int]:
    row = await connection.fetchrow(
        "select epoch, transaction_id::text, position from eventlog.events"
        " order by epoch desc, transaction_id desc, position desc limit 1"
    )
    return Point.of(row).key if row else Point().key


async def relay_all(settings) -> None:
    """Sends everything in the store to Kafka."""
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    sender = producer(settings)
    await sender.start()
    try:
        relay = Relay(connection, sender, settings)
        await relay.begin(await topic_identity(settings, e.TOPICS))
        # Somebody else's open transaction on the same server hides the newest events for a while.
        while relay.at.key < await _last(connection):
            await relay.step()
        stop = asyncio.Event()
        stop.set()
        await relay.run(stop)
    finally:
        await sender.stop()
        await connection.close()


async def ends(settings) -> dict[tuple[str, int], int]:
    """The end of each partition."""
    reader = consumer(settings)
    partitions = [TopicPartition(*partition) for partition in await partitions_of(settings, e.TOPICS)]
    await reader.start()
    try:
        found = await reader.end_offsets(partitions)
        return {(tp.topic, tp.partition): offset for tp, offset in found.items()}
    finally:
        await reader.stop()


async def live(source, projection: Projection) -> Version:
    """The version of a projection that readers see, run by the given definition."""
    states = await versions.every(source, projection.name)
    return Version(projection, next(state.number for state in states if state.live))


async def follow(settings, projection, number: int | None = None) -> None:
    """Runs one version, the live one or another, until it has everything that is in Kafka now."""
    goal = {p: end for p, end in (await ends(settings)).items() if p[0].endswith(projection.topics)}
    stop = asyncio.Event()
    async with connected(settings) as connection:
        version = Version(projection, number) if number else await live(connection, projection)
        assert await store.take_lock(connection, version)
        follower = Follower(settings, connection, version)

        def changed() -> None:
            at = follower._engine.positions
            if at and all(at[partition] >= end for partition, end in goal.items()):
                stop.set()

        await asyncio.wait_for(follower.run(stop, Watch(changed=changed)), 60)


async def project(settings, projections=PROJECTIONS) -> None:
    """Relays everything, then lets every projection catch up."""
    await relay_all(settings)
    for projection in projections:
        await follow(settings, projection)


def now() -> datetime:
    return datetime.now(UTC)
