"""The histories of cases in a real event store: told, sent, assessed, and what the pure fold makes of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from criteria_ground import RULEBOOK, T0, event_id

from schemas.events import TOPICS, EventData
from schemas.vocabulary import Origin
from services.criteria.domain import CaseFile, advance
from services.eventlog.producer import producer
from services.eventlog.relay import Relay
from services.eventlog.store import (
    Append,
    Cause,
    NewEvent,
    Recorded,
    append,
    assessment_stream,
    case_stream,
    lock_streams,
    read_stream,
)
from services.eventlog.wire import headers
from services.kernel.messages import Message
from services.kernel.settings import Settings
from services.kernel.topic_identity import topic_identity


async def tell(
    pool: asyncpg.Pool, case: UUID, *events: EventData, origin: Origin = Origin.LIVE, start: int = 0
) -> None:
    """Appends facts to a case, as intake does."""
    cause = Cause(actor="operator-1", correlation_id="c-1", origin=origin)
    new = []
    for n, data in enumerate(events, start + 1):
        at = T0 + timedelta(minutes=n)
        imported = datetime(2026, 1, 1, tzinfo=UTC) if origin is Origin.IMPORT else None
        new.append(NewEvent(data, event_id(case, n), at, at, imported))
    async with pool.acquire() as connection, connection.transaction():
        await lock_streams(connection, [case_stream(case)])
        await append(connection, [Append(case_stream(case), str(case), new, cause, start)])


async def messages(pool: asyncpg.Pool, like: str = "%", topic: str = "case-events") -> list[Message]:
    """What the relay would have sent, in the order of the log."""
    rows = await pool.fetch("select * from eventlog.events where stream like $1 order by position", like)
    return [
        Message(topic, 0, n, row["subject"].encode(), row["data"].encode(), tuple(headers(row)))
        for n, row in enumerate(rows)
    ]


async def assessments(pool: asyncpg.Pool, case: UUID) -> list[Recorded]:
    return await read_stream(pool, assessment_stream(case))


async def data_of(pool: asyncpg.Pool, case: UUID) -> list[bytes]:
    return [e.data.model_dump_json().encode() for e in await assessments(pool, case)]


async def folded(pool: asyncpg.Pool, case: UUID, now: datetime = T0) -> list[bytes]:
    """What the pure fold over the history of a case says."""
    file, found = CaseFile(), []
    for event in await read_stream(pool, case_stream(case)):
        moment = event.time if event.cause.origin is Origin.IMPORT else now
        file, changed = advance(file, event, RULEBOOK.in_force(moment), moment)
        if changed:
            found.append(changed.model_dump_json().encode())
    return found


async def spoil(pool: asyncpg.Pool, case: UUID, version: int, kind: str) -> None:
    """Puts an event into the store itself that this version cannot read."""
    await pool.execute(
        "insert into eventlog.events (epoch, stream, version, event_id, type, topic, subject, time, correlation_id,"
        " actor, origin, mode, data) values (1, $1, $2, $3, $4, 'case-events', $5, now(), 'c', 'a', 'live', 'actual',"
        """ '{"criterion": "bravery"}')""",
        case_stream(case),
        version,
        event_id(case, version),
        kind,
        str(case),
    )


@asynccontextmanager
async def relaying(settings: Settings) -> AsyncIterator[asyncio.Task[None]]:
    """A relay at work between the store and Kafka."""
    tail = await asyncpg.connect(settings.database_url.get_secret_value())
    sender = producer(settings)
    await sender.start()
    relay = Relay(tail, sender, settings)
    await relay.begin(await topic_identity(settings, TOPICS))
    stop = asyncio.Event()
    task = asyncio.create_task(relay.run(stop))
    yield task
    stop.set()
    await asyncio.wait_for(task, 10)
    await sender.stop()
    await tail.close()
