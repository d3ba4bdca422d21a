"""How fast criteria assesses on this machine, what it holds in memory, and what one more event of a long history costs.

All of it in one run, on a PostgreSQL and a broker of its own:
a worker process against a Faust agent that only acknowledges the same messages, in turns;
the memory of a worker that meets more and more cases;
the cost of an event after 10, 100 and 1,000 events of its case.
Prints a table and keeps the figures in `bench/results/criteria.json`, the two curves in `bench/results/criteria.svg`.
"""

import argparse
import asyncio
import base64
import json
import logging
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import psutil
import structlog
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from criteria_ground import BOX, RULEBOOK, T0, opened
from curves import Curve, svg

from schemas.events import CASE_EVENTS, TOPICS, CaseClosed, CircumstanceReported, EventData, NoteAdded
from schemas.vocabulary import Answer, Criterion
from services.criteria.handlers import Assessor
from services.eventlog.producer import producer
from services.eventlog.wire import headers
from services.kernel.clock import SystemClock
from services.kernel.embedded import EmbeddedKafka, EmbeddedPostgres
from services.kernel.kafka import create_topics
from services.kernel.messages import Message
from services.kernel.migrations import PACKAGES, migrate
from services.kernel.postgres import Pool, create_pool
from services.kernel.service import calm_collector
from services.kernel.settings import Settings, load_settings
from services.kernel.streaming import MAX_BATCH

WORKER = "from services.criteria.main import main; raise SystemExit(main())"
EVENTS_A_CASE = 6
NOTE = NoteAdded(text=BOX)
console = Console(width=110)
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def said(value: Answer, criterion: Criterion = Criterion.MEDICATION_DEPENDENT) -> CircumstanceReported:
    """Something about a criterion."""
    return CircumstanceReported(criterion=criterion, value=value, child=0)


STORY: tuple[EventData, ...] = (
    opened(15),
    said(Answer.YES),
    NOTE,
    NOTE,
    said(Answer.NO),
    CaseClosed(outcomes=()),
)
"""A case as they come: four of its six events change the assessment."""


def message(case: UUID, version: int, data: EventData, offset: int = 0) -> Message:
    """An event as the relay sends it."""
    row = {
        "event_id": uuid4(), "type": data.TYPE, "subject": str(case), "time": T0, "stream": f"case-{case}",
        "version": version, "recorded_time": T0, "imported_time": None, "correlation_id": str(uuid4()),
        "causation_id": None, "actor": "bench", "traceparent": None, "origin": "live", "mode": "actual",
    }  # fmt: skip
    body = orjson.dumps(data.model_dump(mode="json", exclude_none=True))
    return Message(CASE_EVENTS, 0, offset, str(case).encode(), body, tuple(headers(row)))


def stories(cases: int, together: int = 500) -> Iterator[Message]:
    """Whole cases, `together` of them at the same time, as an installation sees them."""
    for start in range(0, cases, together):
        group = [uuid4() for _ in range(min(together, cases - start))]
        for version, data in enumerate(STORY, 1):
            yield from (message(case, version, data) for case in group)


# ── a worker against the ceiling ────────────────────────────────────────────────────────────────────────────


def settings_of(database: str, kafka: str, name: str) -> Settings:
    """Topics, groups and progress of their own for each part."""
    return load_settings(
        database_url=database,
        kafka_bootstrap_servers=kafka,
        master_key=base64.b64encode(bytes(32)).decode(),
        topic_prefix=f"{name}-",
    )


def environment(settings: Settings) -> dict[str, str]:
    """What a process of this installation is started with."""
    return os.environ | {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "ZOEKLICHT_MASTER_KEY": settings.master_key.get_secret_value(),
        "ZOEKLICHT_TOPIC_PREFIX": settings.topic_prefix,
        "PYTHONPATH": str(ROOT),
    }


async def send(settings: Settings, messages: Iterable[Message]) -> int:
    """Puts messages on their topic; returns how many."""
    await create_topics(settings, TOPICS)
    logging.getLogger("aiokafka").setLevel(
        logging.CRITICAL
    )  # a topic that was just made has no leader for a moment
    sender, count, waiting = producer(settings), 0, []
    await sender.start()
    try:
        for one in messages:
            waiting.append(
                await sender.send(
                    settings.topic(CASE_EVENTS), one.value, key=one.key, headers=list(one.headers)
                )
            )
            count += 1
            if len(waiting) == 5000:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
    finally:
        await sender.stop()
    return count


async def ceiling(settings: Settings, total: int) -> float:
    """Messages a second of an agent that only acknowledges."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "bench" / "acknowledging.py"), str(total),
        env=environment(settings), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    output, _ = await process.communicate()
    return float(output.decode().split()[-1])


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[psutil.Process]:
    """A criteria process as the supervisor starts it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER,
        env=environment(settings), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()


async def seen(pool: Pool, settings: Settings) -> int:
    """How many messages were worked on and committed."""
    return int(
        await pool.fetchval(
            "select coalesce(sum(next_offset), 0) from kernel.consumer_progress where topic = $1",
            settings.topic(CASE_EVENTS),
        )
    )


async def worker_rate(pool: Pool, settings: Settings, total: int) -> tuple[float, float]:
    """Events assessed and assessments appended a second by one worker, from its first commit to its last."""
    async with worker(settings):
        while not (first := await seen(pool, settings)):  # noqa: ASYNC110 - the work is another process's
            await asyncio.sleep(0.01)
        began, early = time.perf_counter(), await appended(pool)
        while (now := await seen(pool, settings)) < total:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        took = time.perf_counter() - began
    events = (now - first) / took
    share = (await appended(pool) - early) / max(1, now - first)
    return events, events * share


async def appended(pool: Pool) -> int:
    """How many assessments there are."""
    return int(await pool.fetchval("select coalesce(sum(assessment_version), 0) from criteria.case_state"))


async def against_the_ceiling(
    pool: Pool, database: str, kafka: str, cases: int, rounds: int
) -> dict[str, object]:
    """In turns, each on messages of its own; the median of the rounds."""
    found: list[dict[str, float]] = []
    for number in range(rounds):
        console.print(f"round {number + 1} of {rounds}: {cases * EVENTS_A_CASE} events …")
        settings = settings_of(database, kafka, f"round{number}")
        total = await send(settings, stories(cases))
        top = await ceiling(settings, total)
        events, assessments = await worker_rate(pool, settings, total)
        found.append({"ceiling": top, "events": events, "assessments": assessments, "ratio": events / top})
    middle = {name: statistics.median(one[name] for one in found) for name in found[0]}
    return {**middle, "rounds": found}


# ── memory ──────────────────────────────────────────────────────────────────────────────────────────────────


async def opened_before(pool: Pool, cases: int) -> list[UUID]:
    """Cases that were opened and assessed, as criteria left them: one is worked on, the others are copies of its rows."""
    first = uuid4()
    await Assessor(pool, RULEBOOK, SystemClock()).apply([message(first, 1, STORY[0])])
    made = [uuid4() for _ in range(cases)]
    for at in range(0, cases, 10_000):
        copies = made[at : at + 10_000]
        await pool.execute(
            "insert into eventlog.events (epoch, stream, version, event_id, type, topic, subject, time, correlation_id,"
            " causation_id, actor, origin, mode, data) select epoch, 'assessment-' || c, version, gen_random_uuid(), type,"
            " topic, c::text, time, correlation_id, causation_id, actor, origin, mode, data"
            " from eventlog.events, unnest($2::uuid[]) c where stream = 'assessment-' || $1::uuid",
            first,
            copies,
        )
        await pool.execute(
            "insert into criteria.case_state (case_id, format, version, state, assessment, assessment_version, rules,"
            " watched) select c, format, version, state, assessment, assessment_version, rules, watched"
            " from criteria.case_state, unnest($2::uuid[]) c where case_id = $1",
            first,
            copies,
        )
    return made


async def memory(pool: Pool, database: str, kafka: str, cases: int) -> list[tuple[int, float]]:
    """Resident megabytes of one worker after so many cases that it knows nothing of, each with a fact that worries."""
    settings = settings_of(database, kafka, "memory")
    console.print(f"{cases} cases for one worker …")
    known = await opened_before(pool, cases)
    total = await send(settings, (message(case, 2, STORY[1]) for case in known))
    points: list[tuple[int, float]] = []
    step = max(1, cases // 40)
    async with worker(settings) as process:
        while (now := await seen(pool, settings)) < total:
            if now >= step * (len(points) + 1):
                points.append((now, process.memory_info().rss / 1e6))
            await asyncio.sleep(0.05)
        points.append((cases, process.memory_info().rss / 1e6))
    return points


# ── length of history ───────────────────────────────────────────────────────────────────────────────────────


async def history_cost(pool: Pool, length: int, groups: int) -> dict[str, float]:
    """Milliseconds of an event when its case has `length` events already: all of it, and of that our own processor."""
    rng = random.Random(length)
    walls, cpus = [], []
    for _ in range(groups):
        cases = [uuid4() for _ in range(20)]
        assessor = Assessor(pool, RULEBOOK, SystemClock())
        batches = _batches(cases, length, rng)
        for batch in batches[:-1]:
            await assessor.apply(batch)
        wall, cpu = time.perf_counter(), time.process_time()
        await assessor.apply(batches[-1])
        size = len(batches[-1])
        walls.append(1000 * (time.perf_counter() - wall) / size)
        cpus.append(1000 * (time.process_time() - cpu) / size)
    return {"events": length, "ms": statistics.median(walls), "cpu_ms": statistics.median(cpus)}


def _batches(cases: Sequence[UUID], length: int, rng: random.Random) -> list[list[Message]]:
    """`length` events of each case, then one more batch of ten events of each."""
    facts = [
        [opened(15), *(_some_fact(rng) for _ in range(length + MAX_BATCH // len(cases) - 1))] for _ in cases
    ]
    told = [
        message(case, version, facts[n][version - 1], version)
        for version in range(1, len(facts[0]) + 1)
        for n, case in enumerate(cases)
    ]
    cut = length * len(cases)
    return [*(told[at : min(at + MAX_BATCH, cut)] for at in range(0, cut, MAX_BATCH)), told[cut:]]


def _some_fact(rng: random.Random) -> EventData:
    if rng.random() < 0.4:
        return NOTE
    return said(rng.choice(list(Answer)), rng.choice(list(Criterion)))


# ── all of it ───────────────────────────────────────────────────────────────────────────────────────────────


async def measure(wish: argparse.Namespace) -> dict[str, object]:
    """Every figure of one run."""
    result: dict[str, object] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GiB, {platform.machine()}",
        "python": platform.python_version(),
    }
    with tempfile.TemporaryDirectory(prefix="zoeklicht-bench-") as name:
        folder = Path(name)
        broker = EmbeddedKafka(folder / "kafka", log_file=folder / "kafka.log", heap_mb=512)
        with EmbeddedPostgres(folder / "postgres", log_file=folder / "postgres.log") as server:
            kafka, database = broker.start(), server.dsn("zoeklicht")
            pool = await create_pool(database, size=3, application="bench")
            try:
                await migrate(pool, PACKAGES)
                result["worker"] = await against_the_ceiling(pool, database, kafka, wish.round, wish.rounds)
                result["history"] = [await history_cost(pool, n, wish.groups) for n in wish.lengths]
                result["memory_mb"] = await memory(pool, database, kafka, wish.cases)
            finally:
                await pool.close()
                broker.stop()
    return result


def table(result: dict[str, object]) -> Table:
    """The figures for a person."""
    shown = Table(title=f"criteria on {result['machine']}, {result['at']}")
    shown.add_column("figure")
    shown.add_column("value", justify="right")
    figures = result["worker"]
    shown.add_row("a Faust agent that only acknowledges", f"{figures['ceiling']:.0f} events/s")
    shown.add_row("one worker: events assessed", f"{figures['events']:.0f} events/s")
    shown.add_row("one worker: assessments appended", f"{figures['assessments']:.0f} a second")
    shown.add_row("of the ceiling", f"{figures['ratio']:.2f}")
    for one in result["history"]:
        shown.add_row(
            f"an event after {one['events']} of its case", f"{one['ms']:.2f} ms ({one['cpu_ms']:.2f} own)"
        )
    points = result["memory_mb"]
    for cases, megabytes in (points[len(points) // 10], points[len(points) // 2], points[-1]):
        shown.add_row(f"resident after {cases} cases", f"{megabytes:.0f} MB")
    return shown


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--round", type=int, default=3000, help="cases of six events in a round")
    parser.add_argument("--rounds", type=int, default=9, help="rounds against the ceiling")
    parser.add_argument("--cases", type=int, default=200_000, help="cases for the memory")
    parser.add_argument("--lengths", type=int, nargs="+", default=[10, 100, 1000], help="events a case")
    parser.add_argument("--groups", type=int, default=5, help="groups of 20 cases for each length")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "bench" / "results", help="the folder for the results"
    )
    wish = parser.parse_args()
    calm_collector()  # as in a service
    result = asyncio.run(measure(wish))
    console.print(table(result))
    wish.out.mkdir(parents=True, exist_ok=True)
    (wish.out / "criteria.json").write_text(json.dumps(result, indent=2) + "\n")
    curves = (
        Curve(
            "ms for an event, by events of its case",
            [(one["events"], one["ms"]) for one in result["history"]],
        ),
        Curve("MB resident, by cases", result["memory_mb"]),
    )
    (wish.out / "criteria.svg").write_text(svg(curves))
    console.print(f"kept in {wish.out}: criteria.json, criteria.svg")


if __name__ == "__main__":
    main()
