"""Several real worker processes share the partitions of a real broker: killed, joined, poisoned, started with bad rules.

Whatever happens to them, the assessments are those of the pure function over each case's history.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import reduce
from uuid import UUID

import asyncpg
import pytest
from criteria_ground import BOX, RULEBOOK, RULES, case_id, event_id, opened
from criteria_log import data_of, folded, relaying, spoil, tell

from schemas.events import (
    AssessmentChanged,
    CaseClosed,
    CaseReopened,
    CircumstanceReported,
    CircumstanceRetracted,
    EventData,
    NoteAdded,
    WorryingOverridden,
)
from schemas.vocabulary import Answer, CaseKind, Criterion
from services.cli import upkeep
from services.criteria import store
from services.criteria.domain import assess, decide, evolve, initial
from services.eventlog.store import assessment_stream, case_stream, read_streams
from services.kernel.paging import open_pages
from services.kernel.settings import Settings

COMMAND = "from services.criteria.main import main; raise SystemExit(main())"
WITHIN_S = 60
CASES = [case_id(n) for n in range(300)]
POISONED = case_id(1000)


@dataclass
class Workers:
    """Criteria processes as the supervisor starts them."""

    settings: Settings
    pool: asyncpg.Pool
    alive: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self, **more: str) -> asyncio.subprocess.Process:
        """One more worker."""
        environment = os.environ | {
            "DATABASE_URL": self.settings.database_url.get_secret_value(),
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers,
            "ZOEKLICHT_MASTER_KEY": self.settings.master_key.get_secret_value(),
            "ZOEKLICHT_TOPIC_PREFIX": self.settings.topic_prefix,
            "ZOEKLICHT_LOG_LEVEL": "warning",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", COMMAND, env=environment | more, stdout=asyncio.subprocess.PIPE
        )
        self.alive.append(process)
        return process

    async def share(self, *processes: asyncio.subprocess.Process) -> None:
        """Waits until each of these, and nobody else, holds partitions, and all of them together every one."""
        pids = {str(process.pid) for process in processes}

        async def shared() -> bool:
            rows = await self.pool.fetch(
                "select split_part(instance, ':', 2) as pid, (progress ->> 'partitions')::int as held"
                " from kernel.heartbeat where service = 'criteria' and ready"
                " and beat_at > clock_timestamp() - interval '3 seconds'"
            )
            held = {row["pid"]: row["held"] for row in rows if row["held"]}
            return set(held) == pids and sum(held.values()) == self.settings.topic_partitions

        await until(shared)

    async def kill(self, process: asyncio.subprocess.Process) -> None:
        """Without a word of warning."""
        process.send_signal(signal.SIGKILL)
        await process.communicate()
        self.alive.remove(process)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await condition():  # noqa: ASYNC110 - what other processes do sets no event here
            await asyncio.sleep(0.1)


@pytest.fixture
async def workers(settings_with_kafka, pool):
    @asynccontextmanager
    async def ended():
        group = Workers(settings_with_kafka, pool)
        yield group
        for process in group.alive:
            process.terminate()
        for process in group.alive:
            await asyncio.wait_for(process.communicate(), 20)
            assert process.returncode == 0

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(relaying(settings_with_kafka))
        yield await stack.enter_async_context(ended())


# ── what is told, and what must come of it ──────────────────────────────────────────────────────────────────


def some_story(case: UUID, rng: random.Random) -> list[EventData]:
    facts: list[EventData] = [opened(rng.choice([9, 12, 15, (12, 14)]), 15, kind=rng.choice(list(CaseKind)))]
    for version in range(2, rng.randrange(4, 9)):
        said = CircumstanceReported(
            criterion=rng.choice(list(Criterion)),
            value=rng.choice(list(Answer)),
            child=rng.choice([0, 1, None]),
        )
        taken_back = CircumstanceRetracted(event_id=event_id(case, version - 1), reason=BOX)
        decided = WorryingOverridden(worrying=rng.random() < 0.5, reason=BOX)
        ended = rng.choice([CaseClosed(outcomes=()), CaseReopened(reason=BOX)])
        facts.append(rng.choice([said, said, said, taken_back, decided, ended, NoteAdded(text=BOX)]))
    return facts


async def load(pool: asyncpg.Pool, cases: list[UUID], seed: int) -> None:
    """Tells every case in pieces, the cases in any order, several at once, as operators do."""
    rng = random.Random(seed)
    pieces = []
    for case in cases:
        story = some_story(case, rng)
        cut = rng.randrange(1, len(story))
        pieces.append([(case, story[:cut], 0), (case, story[cut:], cut)])
    rng.shuffle(pieces)
    waiting: asyncio.Queue[tuple[UUID, list[EventData], int]] = asyncio.Queue()
    for turn in (0, 1):  # second pieces come long after their first ones
        for piece in pieces:
            waiting.put_nowait(piece[turn])

    async def operator() -> None:
        while not waiting.empty():
            case, facts, start = waiting.get_nowait()
            await tell(pool, case, *facts, start=start)

    await asyncio.gather(*(operator() for _ in range(3)))


async def behind(pool: asyncpg.Pool) -> int:
    """How many cases, but those in quarantine, were not assessed up to their last event."""
    return await pool.fetchval(
        "select count(*) from (select stream, max(version) as version from eventlog.events"
        " where stream like 'case-%' group by stream) e"
        " left join criteria.case_state s on 'case-' || s.case_id = e.stream"
        " where coalesce(s.version, 0) < e.version and not exists"
        " (select from criteria.parked p where 'case-' || p.case_id = e.stream)"
    )


async def all_seen(pool: asyncpg.Pool) -> None:
    async def done() -> bool:
        return await behind(pool) == 0

    await until(done)


async def same_as_the_pure_function(pool: asyncpg.Pool, cases: list[UUID]) -> None:
    """Every assessment that was ever appended, byte for byte; and nothing more is to be said."""
    for case in cases:
        assert await data_of(pool, case) == await folded(pool, case)
    await final_is_pure(pool, cases)


async def final_is_pure(pool: asyncpg.Pool, cases: list[UUID]) -> None:
    """What stands of each case is what the rules say of its whole history now."""
    now = datetime.now(UTC)
    facts = await read_streams(pool, [case_stream(case) for case in cases])
    found = await read_streams(pool, [assessment_stream(case) for case in cases])
    assert len(facts) == len(cases)
    for case in cases:
        state = reduce(evolve, facts[case_stream(case)], initial)
        past = found.get(assessment_stream(case), [])
        latest = past[-1].data if past else None
        assert latest is None or isinstance(latest, AssessmentChanged)
        assert decide(latest, assess(state, RULES, now), state, None) is None


# ── the tests ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_killed_worker_and_one_that_joins_change_nothing(workers, pool):
    """Kill -9 in the middle of a load, the survivor takes over, a third joins: no event is lost, none counted twice."""
    first, second = await workers.start(), await workers.start()
    await workers.share(first, second)
    loading = asyncio.create_task(load(pool, CASES, seed=1))

    async def half_way() -> bool:
        return await pool.fetchval("select count(*) from criteria.case_state") > len(CASES) // 3

    await until(half_way)
    await workers.kill(first)
    assert not loading.done()
    third = await workers.start()
    await loading
    await all_seen(pool)
    await workers.share(second, third)
    await same_as_the_pure_function(pool, CASES)
    assert await store.quarantined(pool) == []


async def test_poison_and_bad_rules_stop_nobody_else(workers, pool, monkeypatch, tmp_path):
    """A poison event costs its own case, bad rules cost their own worker; after the mending the case is as if never ill.

    And a dose comes due meanwhile, by whichever worker looks at the clock.
    """
    (tmp_path / "mine.toml").write_text('version = "MINE"\nage_limit = "young"\n')
    first, second = await workers.start(), await workers.start()
    await workers.share(first, second)
    bad = await workers.start(ZOEKLICHT_RULES=str(tmp_path))
    due = datetime.now(UTC) + timedelta(seconds=4)
    dose = CircumstanceReported(
        criterion=Criterion.MEDICATION_DEPENDENT, value=Answer.YES, child=0, next_due=due
    )
    await tell(pool, CASES[0], opened(), dose)
    await tell(pool, POISONED, opened())
    await spoil(pool, POISONED, 2, "case.circumstance_reported.v1")
    await tell(pool, POISONED, dose, NoteAdded(text=BOX), start=2)
    await load(pool, CASES[1:60], seed=2)

    async def ill() -> bool:
        return [case.case_id for case in await store.quarantined(pool)] == [POISONED]

    await until(ill)
    await all_seen(pool)
    await same_as_the_pure_function(pool, CASES[1:60])
    (page,) = await open_pages(pool)
    assert (str(POISONED) in page.text, page.lasting) == (True, True)

    said = (await asyncio.wait_for(bad.communicate(), WITHIN_S))[0].decode()
    workers.alive.remove(bad)
    assert bad.returncode == 1
    told = json.loads(said.splitlines()[-1])["error_text"]
    assert told.startswith("mine.toml: ")
    assert "age_limit: Input should be a valid integer" in told

    await mend(pool)
    monkeypatch.setenv("DATABASE_URL", workers.settings.database_url.get_secret_value())
    monkeypatch.setenv("ZOEKLICHT_MASTER_KEY", workers.settings.master_key.get_secret_value())
    await upkeep.criteria_resume(tmp_path, POISONED)

    async def both_overdue() -> bool:
        rows = await pool.fetch(
            "select case_id from criteria.case_state where assessment -> 'medication_overdue' = '[0]'::jsonb"
        )
        return {row["case_id"] for row in rows} == {CASES[0], POISONED}

    await until(both_overdue)
    await tell(pool, POISONED, WorryingOverridden(worrying=False, reason=BOX), start=4)
    await all_seen(pool)
    await final_is_pure(pool, [*CASES[:60], POISONED])
    assert (await store.quarantined(pool), await open_pages(pool)) == ([], [])


async def mend(pool: asyncpg.Pool) -> None:
    """Puts the event right in the store itself, behind the back of its guard."""
    right = CircumstanceReported(criterion=Criterion.OUT_OF_CHARACTER, value=Answer.YES, child=0)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("set local session_replication_role = replica")
        await connection.execute(
            "update eventlog.events set data = $1 where stream = $2 and version = 2",
            right.model_dump_json(exclude_none=True),
            case_stream(POISONED),
        )


async def test_all_workers_gone_and_back(workers, pool):
    """With nobody at work the events wait; the next worker goes on where the last transaction was."""
    only = await workers.start()
    await workers.share(only)
    await load(pool, CASES[:40], seed=3)
    await workers.kill(only)
    await load(pool, CASES[40:80], seed=4)
    assert await behind(pool) >= 40
    await workers.start()
    await all_seen(pool)
    await same_as_the_pure_function(pool, CASES[:80])
    assert RULEBOOK.in_force(datetime.now(UTC)) is RULES
