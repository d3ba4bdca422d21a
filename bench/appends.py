"""The event store's append rate against the bare insert of the same rows, in one run, interleaved."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import asyncpg

from schemas.events import OverrideWithdrawn
from services.eventlog.store import Append, Cause, NewEvent, append, case_stream, lock_streams
from services.kernel.embedded import EmbeddedPostgres
from services.kernel.migrations import migrate
from services.kernel.postgres import create_pool

WRITERS = 8
ROUNDS = 3
_SIZES = (("1 event a transaction", 1, 1500), ("50 events a transaction", 50, 400))
_CAUSE = Cause(actor="bench", correlation_id="bench")
_BARE = (
    "insert into bench_events (stream, version, event_id, type, topic, subject, time, recorded_time, correlation_id,"
    " actor, origin, mode, data) values ($1, $2, $3, 'case.override_withdrawn.v1', 'case-events', $4, now(), now(),"
    " 'bench', 'bench', 'live', 'actual', $5)"
)
_TABLE = (
    "create table if not exists bench_events (position bigint generated always as identity primary key,"
    " transaction_id xid8 not null default pg_current_xact_id(), stream text not null, version bigint not null,"
    " event_id uuid not null unique, type text not null, topic text not null, subject text not null,"
    " time timestamptz not null, recorded_time timestamptz not null, correlation_id text not null, actor text not null,"
    " origin text not null, mode text not null, data jsonb not null, unique (stream, version))"
)

Write = Callable[[asyncpg.Connection, int], Awaitable[None]]


async def _store(connection: asyncpg.Connection, size: int) -> None:
    case = uuid4()
    events = [NewEvent(OverrideWithdrawn()) for _ in range(size)]
    async with connection.transaction():
        await lock_streams(connection, [case_stream(case)])
        await append(connection, [Append(case_stream(case), str(case), events, _CAUSE, 0)])


async def _bare(connection: asyncpg.Connection, size: int) -> None:
    case = uuid4()
    rows = [(case_stream(case), n, uuid4(), str(case), json.dumps({})) for n in range(1, size + 1)]
    async with connection.transaction():
        await connection.executemany(_BARE, rows)


async def _rate(pool: asyncpg.Pool, write: Write, size: int, transactions: int) -> float:
    """Events per second of WRITERS writers."""

    async def writer() -> None:
        async with pool.acquire() as connection:
            for _ in range(transactions // WRITERS):
                await write(connection, size)

    began = time.perf_counter()
    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    return size * transactions / (time.perf_counter() - began)


async def append_rates(folder: Path) -> dict[str, dict[str, float]]:
    """Rates for one event and for 50 events a transaction: store, bare, and their ratio (the best of three rounds).

    On a PostgreSQL of its own in `folder`, with nothing else at work.
    """
    with EmbeddedPostgres(folder / "postgres", log_file=folder / "postgres.log") as server:
        pool = await create_pool(server.dsn("zoeklicht"), size=WRITERS, application="bench")
        try:
            await migrate(pool, ("services.kernel", "services.eventlog"))
            await pool.execute(_TABLE)
            return {name: await _best(pool, size, count) for name, size, count in _SIZES}
        finally:
            await pool.close()


async def _best(pool: asyncpg.Pool, size: int, transactions: int) -> dict[str, float]:
    best = {"store": 0.0, "bare": 0.0}
    for _ in range(ROUNDS):
        best["store"] = max(best["store"], await _rate(pool, _store, size, transactions))
        best["bare"] = max(best["bare"], await _rate(pool, _bare, size, transactions))
    return {**best, "ratio": best["store"] / best["bare"]}
