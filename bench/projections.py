"""How fast read models follow and are built anew on this machine, what that holds in memory, and how fast a report is.

All of it in one run, on a PostgreSQL and a broker of its own:
the projection `annual` live from Kafka and built from the store, in turns with the bare executemany of the same rows;
the memory of a process that builds a version from a long history;
the report of a year, alone and with two beside it, at several numbers of cases over twenty years.
Prints a table and keeps the figures in `bench/results/projections.json`, the memory in `bench/results/projections.svg`.
"""

import argparse
import asyncio
import base64
import json
import logging
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import psutil
import structlog
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from curves import Curve, svg
from projections_cases import YEARS, fill_report
from projections_log import fill

from schemas.events import TOPICS
from services.eventlog.producer import producer
from services.eventlog.relay import Point, Relay
from services.eventlog.store import recorded
from services.kernel.embedded import EmbeddedKafka, EmbeddedPostgres
from services.kernel.kafka import create_topics
from services.kernel.migrations import PACKAGES, migrate
from services.kernel.postgres import Connection, Pool, create_pool, queries
from services.kernel.service import calm_collector
from services.kernel.settings import Settings, load_settings
from services.kernel.topic_identity import topic_identity
from services.projections import reports, versions
from services.projections.building import BATCH, Builder
from services.projections.engine import Engine
from services.projections.models.annual import Annual, facts
from services.projections.projection import Version
from services.projections.stream import Follower, Watch

BRUSSELS = ZoneInfo("Europe/Brussels")
PROCESS = "from services.projections.main import main; raise SystemExit(main())"
Batch = list[tuple[str, list[tuple[Any, ...]]]]
"""Statements with their rows, as a projection writes them in one transaction."""
console = Console(width=110)
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


# ── against the bare insert ─────────────────────────────────────────────────────────────────────────────────


async def bare_batches(pool: Pool) -> tuple[list[Batch], int]:
    """What `annual` writes of the history in the store, batch by batch, and how many rows that is."""
    rows = await pool.fetch("select * from eventlog.events order by position", timeout=600)
    inserts = {name: _bare(sql) for name, sql in queries("services.projections.models", "annual.sql").items()}
    batches, count = [], 0
    for start in range(0, len(rows), BATCH):
        found: dict[str, list[tuple[Any, ...]]] = {}
        for row in rows[start : start + BATCH]:
            for name, fact in facts(recorded(row)) if row["type"] in Annual.types else ():
                found.setdefault(inserts[name], []).append(_sendable(name, fact))
        seen = {row["stream"]: row["version"] for row in rows[start : start + BATCH]}
        batches.append([*found.items(), (_SEE, list(seen.items()))])
        count += sum(len(rows) for _, rows in batches[-1])
    return batches, count


_SEE = "insert into seen values ($1, $2) on conflict (stream) do update set version = excluded.version"


def _bare(sql: str) -> str:
    """The plain insert of one row into the table and columns of a query."""
    target = re.search(r"insert into (\w+)(?: as \w+)?\s+(\([^)]*\))", sql)
    if target is None:
        return ""
    columns = (
        ["case_id", "last_version", "last_recorded", "first_time", "open"]
        if target[1] == "annual_case"
        else None
    )
    names = columns or [name.strip() for name in target[2].strip("()").split(",")]
    values = ", ".join(f"${n}" for n in range(1, len(names) + 1))
    if columns:
        return (
            f"insert into annual_case as c ({', '.join(names)}, last_time) values ({values}, $4)"
            " on conflict (case_id) do update set last_version = excluded.last_version, open = excluded.open,"
            " last_time = greatest(c.last_time, excluded.last_time),"
            " last_recorded = greatest(c.last_recorded, excluded.last_recorded)"
        )
    return f"insert into {target[1]} ({', '.join(names)}) values ({values}) on conflict do nothing"


def _sendable(name: str, fact: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*fact[:-1], fact[-1].strip("{}").split(",")) if name == "alert" else fact


async def bare_rate(pool: Pool, batches: Sequence[Batch], events: int) -> float:
    """Events a second of executemany, in transactions of as many events, into tables of the same kind."""
    version = await versions.add(pool, Annual())
    async with pool.acquire() as connection:
        await connection.execute(f'set search_path = "{version.schema}"')
        began = time.perf_counter()
        for batch in batches:
            async with connection.transaction():
                for sql, rows in batch:
                    await connection.executemany(sql, rows)
        took = time.perf_counter() - began
    await versions.drop(pool, version.name, version.number)
    return events / took


@asynccontextmanager
async def beside(pool: Pool) -> AsyncIterator[tuple[Version, Connection]]:
    """A version of its own, with a connection to run it."""
    version = await versions.add(pool, Annual())
    async with pool.acquire() as connection:
        yield version, connection
    await versions.drop(pool, version.name, version.number)


async def build_rate(pool: Pool, events: int) -> float:
    """Events a second of a version that is built from the store."""
    async with beside(pool) as (version, connection), pool.acquire() as reader:
        builder = Builder(reader, connection, version, Engine(connection, version))
        began = time.perf_counter()
        await builder.run(Point(), asyncio.Event())
        return events / (time.perf_counter() - began)


async def live_rate(pool: Pool, settings: Settings, events: int) -> float:
    """Events a second of a version that follows Kafka, from the moment it is active to its last commit."""
    async with beside(pool) as (version, connection):
        await pool.execute(versions.SQL["built"], version.name, version.number)
        follower, done = Follower(settings, connection, version), asyncio.Event()
        times: list[float] = []

        def changed() -> None:
            times.append(time.perf_counter())
            if watch.lag == 0:
                done.set()

        watch = Watch(changed=changed)
        await asyncio.wait_for(follower.run(done, watch), 3600)
        return events / (times[-1] - times[0])


async def against_the_bare_insert(pool: Pool, settings: Settings, events: int, rounds: int) -> dict[str, Any]:
    """In turns, each into tables of its own; the median of the rounds, and of their ratios."""
    console.print(f"{events:,} events into the store and Kafka …")
    await fill(pool, events)
    await relay_all(settings)
    batches, rows = await bare_batches(pool)
    calm_collector()  # as in a service; what this bench holds is no part of it
    found = []
    for number in range(rounds):
        console.print(f"round {number + 1} of {rounds} …")
        bare = await bare_rate(pool, batches, events)
        live = await live_rate(pool, settings, events)
        build = await build_rate(pool, events)
        found.append(
            {
                "bare": bare,
                "live": live,
                "build": build,
                "live_ratio": live / bare,
                "build_ratio": build / bare,
            }
        )
    middle = {name: statistics.median(one[name] for one in found) for name in found[0]}
    return {"events": events, "rows": rows, **middle, "rounds": found}


async def relay_all(settings: Settings) -> None:
    """Sends what is in the store."""
    await create_topics(settings, TOPICS)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a topic that was just made has no leader yet
    sender, connection = producer(settings), await asyncpg.connect(settings.database_url.get_secret_value())
    await sender.start()
    try:
        relay = Relay(connection, sender, settings)
        await relay.begin(await topic_identity(settings, TOPICS))
        while await relay.step():
            pass
    finally:
        await sender.stop()
        await connection.close()


# ── memory ──────────────────────────────────────────────────────────────────────────────────────────────────


async def memory(pool: Pool, settings: Settings, events: int) -> dict[str, Any]:
    """Resident megabytes of a process that builds a version from a long history, by events read; and how fast it is."""
    console.print(f"{events:,} events for one process …")
    await fill(pool, events)
    version = await versions.add(pool, Annual())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROCESS, env=environment(settings),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    points: list[tuple[int, float]] = []
    began = None
    try:
        state = await versions.state_of(pool, version.name, version.number)
        while state.built_at is None:
            if state.read and began is None:
                began = time.perf_counter(), state.read
            if state.total and state.read >= len(points) * state.total / 40:
                points.append((state.read, psutil.Process(process.pid).memory_info().rss / 1e6))
            await asyncio.sleep(0.05)
            state = await versions.state_of(pool, version.name, version.number)
        took = time.perf_counter() - (began or (0, 0))[0]
        points.append((state.read, psutil.Process(process.pid).memory_info().rss / 1e6))
    finally:
        process.terminate()
        await process.wait()
    await versions.drop(pool, version.name, version.number)
    return {"events": events, "wanted": state.read, "events_a_second": events / took, "resident_mb": points}


def environment(settings: Settings) -> dict[str, str]:
    """What a process of this installation is started with."""
    return os.environ | {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "ZOEKLICHT_MASTER_KEY": settings.master_key.get_secret_value(),
        "ZOEKLICHT_TOPIC_PREFIX": settings.topic_prefix,
        "PYTHONPATH": str(ROOT),
    }


# ── reports ─────────────────────────────────────────────────────────────────────────────────────────────────


async def report_times(pool: Pool, cases: int, tries: int) -> dict[str, Any]:
    """Seconds of the report of one year, alone and with two beside it, over so many cases in twenty years."""
    console.print(f"{cases:,} cases by COPY …")
    live = next(state for state in await versions.every(pool, "annual") if state.live)
    rows = await fill_report(pool, live.schema, cases)
    found: dict[str, Any] = {"cases": cases, "rows": rows}
    for name, earlier in (("one_year_s", 0), ("three_years_s", 2)):
        times = []
        for _ in range(tries):
            began = time.perf_counter()
            report = await reports.annual(pool, BRUSSELS, YEARS[-1], beside=earlier)
            times.append(time.perf_counter() - began)
        found[name] = statistics.median(times)
        found["new_cases"] = report["new_cases"]["total"]
    return found


# ── all of it ───────────────────────────────────────────────────────────────────────────────────────────────


PARTS = ("rates", "memory", "reports")


async def measure(wish: argparse.Namespace, keep: Callable[[dict[str, Any]], None]) -> None:
    """The figures of one run, each part kept as soon as it is measured."""
    result: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GiB, {platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(psutil.getloadavg()[0], 1),
    }
    with tempfile.TemporaryDirectory(prefix="zoeklicht-bench-") as name:
        folder = Path(name)
        broker = EmbeddedKafka(folder / "kafka", log_file=folder / "kafka.log", heap_mb=512)
        with EmbeddedPostgres(folder / "postgres", log_file=folder / "postgres.log") as server:
            kafka = broker.start()
            try:
                for part in wish.only or PARTS:
                    async with installation(server, kafka, part) as (pool, settings):
                        if part == "rates":
                            found = await against_the_bare_insert(pool, settings, wish.round, wish.rounds)
                        elif part == "memory":
                            found = await memory(pool, settings, wish.events)
                        else:
                            found = [await report_times(pool, n, wish.tries) for n in wish.cases]
                    keep(result | {part: found})
            finally:
                broker.stop()


@asynccontextmanager
async def installation(
    server: EmbeddedPostgres, kafka: str, name: str
) -> AsyncIterator[tuple[Pool, Settings]]:
    """A database and topics of its own for each part."""
    first = await create_pool(server.dsn("zoeklicht"), size=1, application="bench")
    await first.execute(f'create database "{name}"')
    await first.close()
    settings = load_settings(
        database_url=server.dsn(name),
        kafka_bootstrap_servers=kafka,
        master_key=base64.b64encode(bytes(32)).decode(),
        topic_prefix=f"{name}-",
    )
    pool = await create_pool(server.dsn(name), size=4, application="bench")
    try:
        await migrate(pool, PACKAGES)
        await versions.install(pool)
        await create_topics(settings, TOPICS)
        yield pool, settings
    finally:
        await pool.close()


def table(result: dict[str, Any]) -> Table:
    """The figures for a person."""
    shown = Table(title=f"projections on {result['machine']}, {result['at']}")
    shown.add_column("figure")
    shown.add_column("value", justify="right")
    rates, memory_of = result["rates"], result["memory"]
    shown.add_row("bare executemany of the same rows", f"{rates['bare']:,.0f} events/s")
    shown.add_row("live, from Kafka", f"{rates['live']:,.0f} events/s ({rates['live_ratio']:.2f})")
    shown.add_row("built from the store", f"{rates['build']:,.0f} events/s ({rates['build_ratio']:.2f})")
    shown.add_row(
        f"a process builds a version from {memory_of['events']:,} events",
        f"{memory_of['events_a_second']:,.0f} events/s",
    )
    points = memory_of["resident_mb"]
    for read, megabytes in (points[len(points) // 10], points[len(points) // 2], points[-1]):
        shown.add_row(f"resident after {read:,} that it wants", f"{megabytes:.0f} MB")
    for one in result["reports"]:
        shown.add_row(f"report of a year at {one['cases']:,} cases", f"{one['one_year_s']:.2f} s")
        shown.add_row("  with two years beside it", f"{one['three_years_s']:.2f} s")
    return shown


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--round", type=int, default=50_000, help="events in a round against the bare insert")
    parser.add_argument("--rounds", type=int, default=5, help="rounds against the bare insert")
    parser.add_argument("--events", type=int, default=100_000, help="events of the long history")
    parser.add_argument("--cases", type=int, nargs="+", default=[3500, 35_000], help="cases to report on")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be given again")
    parser.add_argument("--tries", type=int, default=5, help="reports of each kind")
    parser.add_argument(
        "--full", action="store_true", help="1,000,000 events; 3,500, 350,000 and 3,500,000 cases"
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "bench" / "results", help="the folder for the results"
    )
    wish = parser.parse_args()
    if wish.full:
        wish.events, wish.cases = 1_000_000, [3500, 350_000, 3_500_000]
    wish.out.mkdir(parents=True, exist_ok=True)
    kept = wish.out / "projections.json"

    def keep(measured: dict[str, Any]) -> None:
        before = json.loads(kept.read_text()) if kept.exists() else {}
        moments = before.get("measured_at", {}) | dict.fromkeys(measured.keys() & set(PARTS), measured["at"])
        kept.write_text(json.dumps(before | measured | {"measured_at": moments}, indent=2) + "\n")

    asyncio.run(measure(wish, keep))
    result = json.loads(kept.read_text())
    console.print(table(result))
    if "memory" in result:
        curve = Curve("MB resident while a version is built, by events", result["memory"]["resident_mb"])
        (wish.out / "projections.svg").write_text(svg((curve,)))
    console.print(f"kept in {wish.out}: projections.json, projections.svg")


if __name__ == "__main__":
    main()
