"""Versions of read models side by side: built from the store, compared, swapped under readers, dropped."""

import asyncio
import re
import subprocess
import sys
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

import pytest
from projections_ground import SEALED, History, brussels, connected, ends, follow, live, project, relay_all
from projections_log import fill

from schemas import events as e
from services.kernel.paging import open_pages
from services.kernel.service import Runtime
from services.projections import main, store, swapping, versions
from services.projections.comparison import compare, held
from services.projections.engine import Engine
from services.projections.errors import (
    BusyError,
    DifferentError,
    InstallError,
    NoSuchVersionError,
    NotCaughtUpError,
    ProjectionStoppedError,
    VersionIsLiveError,
    ZombieError,
)
from services.projections.metrics import families
from services.projections.models.case_list import CaseList
from services.projections.projection import Version
from services.projections.registry import PROJECTIONS, projections_in
from services.projections.status import progress, status
from services.projections.swapping import swap, two

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
GUIDE = Path(__file__).parents[2] / "docs" / "projections.md"
COLUMNS = (
    "select table_name, column_name, data_type, is_nullable, column_default from information_schema.columns"
    " where table_schema = $1 order by 1, 2"
)
CONSTRAINTS = (
    "select c.relname, pg_get_constraintdef(k.oid) from pg_constraint k join pg_class c on c.oid = k.conrelid"
    " where c.relnamespace = $1::regnamespace order by 1, 2"
)
INDEXES = (
    "select tablename, replace(regexp_replace(indexdef, 'INDEX \\w+ ON', 'INDEX ON'), $1 || '.', '')"
    " from pg_indexes where schemaname = $1 order by 1, 2"
)
TABLES = (COLUMNS, CONSTRAINTS, INDEXES)


@pytest.fixture
def history(pool):
    return History(pool)


class Deaf(CaseList):
    """A list of cases with an error: it does not hear that cases are closed."""

    async def apply(self, connection, events):
        await super().apply(connection, [one for one in events if not isinstance(one.data, e.CaseClosed)])


class Renamed(CaseList):
    """The list of cases as a later software defines it."""

    definition = CaseList.definition + 1
    tables = CaseList.tables + ";\nalter table case_list add column note text"


async def some_cases(history, count: int = 3) -> list:
    found = [await history.case(f"2021-{n}", brussels(2021, 2, 1)) for n in range(count)]
    await history.close(found[0], brussels(2021, 3, 1))
    await history.assess(found[1], True)
    return found


async def rebuilt(settings, pool, projection=None) -> Version:
    """A version beside the live one, built and caught up."""
    version = await versions.add(pool, projection or CaseList())
    await follow(settings, version.projection, version.number)
    return version


async def numbers(pool) -> set[str]:
    return {row["case_number"] for row in await pool.fetch("select case_number from projections.case_list")}


@asynccontextmanager
async def running(settings, pool, projections=PROJECTIONS):
    """The process, here."""
    runtime = Runtime("projections", settings, pool)
    task = asyncio.create_task(main.run_all(runtime, projections))
    try:
        yield runtime
    finally:
        runtime.stop.set()
        await asyncio.wait_for(task, 30)


async def until(condition, within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda one: one.name)
async def test_tables_that_older_software_made_are_those_of_the_definition(pool, projection):
    """What migrations left behind has the columns, keys and indexes of what is made anew."""
    old = await live(pool, projection)
    new = await versions.add(pool, projection)
    for query in TABLES:
        found = [[tuple(row) for row in await pool.fetch(query, one.schema)] for one in (old, new)]
        assert found[0] == found[1]
        assert found[0]


async def test_a_version_built_from_the_store_holds_the_same_and_takes_its_place(
    settings_with_kafka, pool, history
):
    """Built beside, compared equal, shown at once, the old one dropped with all that was noted of it."""
    settings = settings_with_kafka
    await some_cases(history)
    await project(settings, [CaseList()])
    old = await live(pool, CaseList())
    new = await rebuilt(settings, pool)
    state = await versions.state_of(pool, new.name, new.number)
    assert (state.read, state.total) == (5, 5)
    assert not state.live
    found = await swap(pool, "case_list", None, PROJECTIONS)
    assert (found.equal, found.rows) == (True, 3)
    assert await live(pool, CaseList()) == new or (await live(pool, CaseList())).number == new.number
    await versions.drop(pool, old.name, old.number)
    assert await numbers(pool) == {"2021-0", "2021-1", "2021-2"}
    assert not await pool.fetchval("select count(*) from pg_namespace where nspname = $1", old.schema)
    assert [one.label for one in await versions.every(pool, "case_list")] == [new.label]
    await history.case("2021-9", brussels(2021, 5, 1))
    await project(settings, [CaseList()])
    assert "2021-9" in await numbers(pool)


async def test_a_version_is_built_from_the_store_and_not_from_kafka(
    settings_with_kafka, pool, history, monkeypatch
):
    """It goes on in Kafka where its topics ended when the building began, and reads nothing twice for nothing."""
    settings = settings_with_kafka
    known, *_ = await some_cases(history)
    await relay_all(settings)
    before = await ends(settings)
    version = await versions.add(pool, CaseList())
    given, read, take_in = [], [], Engine.take_in

    async def reading(self, incoming):
        read.extend(incoming)
        await take_in(self, incoming)

    monkeypatch.setattr(Engine, "take_in", reading)

    class Listening(CaseList):
        async def apply(self, connection, events):
            given.extend((event.stream, event.position > 0) for event in events)
            await super().apply(connection, events)

    await follow(settings, Listening(), version.number)
    assert len(given) == 5
    assert all(from_store for _, from_store in given)
    assert read == []
    await history.case("later", brussels(2021, 4, 1))
    await history.fact(known, e.NoteAdded(text=SEALED))
    await relay_all(settings)
    await follow(settings, Listening(), version.number)
    assert [from_store for _, from_store in given] == [True] * 5 + [False] * 2
    assert len(read) == 2
    rows = await pool.fetch(
        "select topic, partition, next_offset from projections.checkpoint where version = 2"
    )
    assert sum(row["next_offset"] for row in rows) == 7
    assert sum(end for (topic, _), end in before.items() if topic.endswith("case-events")) == 5


async def test_a_zombie_builds_nothing(settings, pool, history):
    """Of two builders at the same place the second one's batch is refused, whole: after a pause, or a lost connection."""
    await some_cases(history)
    version = await versions.add(pool, CaseList())
    rows = await pool.fetch(
        "select *, transaction_id::text as transaction_id from eventlog.events order by position"
    )
    async with connected(settings) as one, connected(settings) as two:
        active, zombie = Engine(one, version), Engine(two, version)
        await active.build(active.read_rows(rows[:3]))
        with pytest.raises(ZombieError):
            await zombie.build(zombie.read_rows(rows))
        assert (await versions.state_of(pool, "case_list", version.number)).read == 3
        await active.build(active.read_rows(rows[3:]))
    assert await pool.fetchval(f"select count(*) from {version.schema}.case_list") == 3


async def test_a_version_that_is_behind_is_not_shown(settings_with_kafka, pool, history):
    """Not before it is built, not while an event has stopped it; forced, it is."""
    settings = settings_with_kafka
    await some_cases(history)
    await project(settings, [CaseList()])
    version = await versions.add(pool, CaseList())
    with pytest.raises(NotCaughtUpError, match="still being built"):
        await swap(pool, "case_list", None, PROJECTIONS)
    await follow(settings, CaseList(), version.number)
    await store.note_stop(pool, version, "somewhere", "KeyError")
    with pytest.raises(NotCaughtUpError, match=r"resume case_list\.v2"):
        await swap(pool, "case_list", None, PROJECTIONS)
    assert (await live(pool, CaseList())).number == 1
    await swap(pool, "case_list", None, PROJECTIONS, force=True)
    assert (await live(pool, CaseList())).number == 2


async def test_what_one_has_not_taken_in_yet_is_no_difference(settings_with_kafka, pool, history):
    """Both are brought level before they are compared: whichever was behind, readers miss nothing."""
    settings = settings_with_kafka
    cases = await some_cases(history)
    await project(settings, [CaseList()])
    version = await rebuilt(settings, pool)
    await history.close(cases[1], brussels(2021, 4, 1))
    await relay_all(settings)
    await follow(settings, CaseList())
    ahead = await two(pool, "case_list", None)
    assert (await compare(pool, *ahead, PROJECTIONS)).equal
    await history.case("newest", brussels(2021, 4, 2))
    await relay_all(settings)
    await follow(settings, CaseList(), version.number)
    assert (await swap(pool, "case_list", None, PROJECTIONS)).equal
    assert "newest" in await numbers(pool)
    for number in (1, 2):
        await follow(settings, CaseList(), number)
    assert await pool.fetchval("select count(*) from projections_case_list_v1.case_list") == 4


async def test_a_difference_is_shown_and_refused(settings_with_kafka, pool, history):
    """Without a change of the definition nothing may differ; which rows do is said by their keys."""
    settings = settings_with_kafka
    cases = await some_cases(history)
    await project(settings, [Deaf()])
    await rebuilt(settings, pool)
    found = await compare(pool, *await two(pool, "case_list", None), PROJECTIONS)
    (difference,) = found.differences
    assert (difference.table, difference.only_old, difference.only_new) == ("case_list", 1, 1)
    assert difference.keys == (f"({cases[0]})",)
    assert not found.explained
    with pytest.raises(DifferentError, match="projections compare case_list"):
        await swap(pool, "case_list", None, PROJECTIONS)
    assert (await live(pool, CaseList())).number == 1
    await swap(pool, "case_list", None, PROJECTIONS, force=True)
    assert not await pool.fetchval("select is_open from projections.case_list where case_id = $1", cases[0])


async def test_readers_see_no_gap_while_versions_are_swapped(settings_with_kafka, pool, history):
    """Whoever reads while versions are swapped to and fro finds everything at every moment."""
    settings = settings_with_kafka
    await some_cases(history, 20)
    await project(settings, [CaseList()])
    await rebuilt(settings, pool)
    counts, done = [], asyncio.Event()

    async def read() -> None:
        while not done.is_set():
            counts.append(await pool.fetchval("select count(*) from projections.case_list"))

    readers = [asyncio.create_task(read()) for _ in range(3)]
    for number in (2, 1, 2, 1, 2):
        seen = len(counts)
        await swap(pool, "case_list", number, PROJECTIONS)
        await until(_longer(counts, seen + 5))
    done.set()
    await asyncio.gather(*readers)
    assert set(counts) == {20}


def _longer(found: list, length: int):
    async def condition() -> bool:
        return len(found) > length

    return condition


async def test_a_long_report_is_not_held_up_by_a_swap(settings_with_kafka, pool, history, monkeypatch):
    """While a report keeps the view in use the swap gives way, others go on reading, and later it succeeds."""
    settings = settings_with_kafka
    await some_cases(history)
    await project(settings, [CaseList()])
    await rebuilt(settings, pool)
    monkeypatch.setattr(swapping, "TRIES", 2)
    async with pool.acquire() as report, report.transaction(isolation="repeatable_read"):
        assert await report.fetchval("select count(*) from projections.case_list") == 3
        with pytest.raises(BusyError):
            await swap(pool, "case_list", None, PROJECTIONS)
        assert len(await numbers(pool)) == 3
        assert (await live(pool, CaseList())).number == 1
    await swap(pool, "case_list", None, PROJECTIONS)
    assert (await live(pool, CaseList())).number == 2


async def test_nothing_is_written_while_a_gate_is_closed(settings_with_kafka, pool, history):
    """An engine waits at the gate, and goes on when it opens."""
    settings = settings_with_kafka
    await some_cases(history)
    await relay_all(settings)
    state = (await versions.every(pool, "case_list"))[0]
    async with pool.acquire() as connection:
        async with held(connection, state):
            following = asyncio.create_task(follow(settings, CaseList()))
            await until(_waits_at_gate(pool))
            assert await numbers(pool) == set()
        await following
    assert len(await numbers(pool)) == 3


def _waits_at_gate(pool):
    async def condition() -> bool:
        return bool(
            await pool.fetchval(
                "select count(*) from pg_locks l join pg_database d on d.oid = l.database"
                " where d.datname = current_database() and l.locktype = 'advisory' and not l.granted"
            )
        )

    return condition


async def test_an_event_that_this_software_does_not_know_stops_the_building(
    settings_with_kafka, pool, history
):
    """Live it would be counted and passed over; a version that is built must not lack it for ever."""
    await some_cases(history)
    await pool.execute(
        "insert into eventlog.events (epoch, stream, version, event_id, type, topic, subject, time, correlation_id,"
        " actor, origin, mode, data) select epoch, 'future-1', 1, gen_random_uuid(), 'case.divined.v7', topic, subject,"
        " time, correlation_id, actor, origin, mode, '{}' from eventlog.events limit 1"
    )
    version = await versions.add(pool, CaseList())
    with pytest.raises(ProjectionStoppedError):
        await follow(settings_with_kafka, CaseList(), version.number)
    assert "case.divined.v7" in (await open_pages(pool))[0].text
    assert (await versions.state_of(pool, "case_list", version.number)).built_at is None


async def test_a_stopped_version_goes_on_when_a_person_says_so(
    settings_with_kafka, pool, history, monkeypatch
):
    """Without a new start of the process; the page is over, and nothing is missing or there twice."""
    settings = settings_with_kafka
    apply = CaseList.apply

    async def poisoned(self, connection, events):
        if any(isinstance(event.data, e.CaseClosed) for event in events):
            raise KeyError("an error of this projection")
        await apply(self, connection, events)

    with monkeypatch.context() as patch:
        patch.setattr(CaseList, "apply", poisoned)
        await some_cases(history)
        await relay_all(settings)
        async with running(settings, pool):
            await until(_stopped(pool, True))
            patch.undo()
            assert await store.unstop(pool, "case_list", 1)
            goal = await ends(settings)
            await until(_level(pool, goal))
    assert await pool.fetchval("select count(*) from projections.case_list where not is_open") == 1
    assert await open_pages(pool) == []


def _stopped(pool, wanted: bool):
    async def condition() -> bool:
        return await store.is_stopped(pool, await live(pool, CaseList())) is wanted

    return condition


def _level(pool, goal, projections=PROJECTIONS):
    async def condition() -> bool:
        return not any(one.lag for one in await status(pool, goal, projections))

    return condition


async def test_a_dropped_version_leaves_the_process_and_the_others_stay(settings_with_kafka, pool, history):
    """A version dropped under a running process ends its work there, without an error; the live one cannot be."""
    settings = settings_with_kafka
    await some_cases(history)
    await relay_all(settings)
    async with running(settings, pool) as runtime:
        version = await versions.add(pool, CaseList())
        await until(_is(runtime, version.label, "active"))
        with pytest.raises(VersionIsLiveError):
            await versions.drop(pool, "case_list", 1)
        await versions.drop(pool, "case_list", version.number)
        await history.case("after", brussels(2021, 6, 1))
        await relay_all(settings)
        await until(_gone(runtime, version.label))
        await until(_level(pool, await ends(settings)))
        assert runtime.ready
    assert "after" in await numbers(pool)


def _is(runtime, label: str, state: str):
    async def condition() -> bool:
        return runtime.progress.get(label, {}).get("state") == state

    return condition


def _gone(runtime, label: str):
    async def condition() -> bool:
        return label not in runtime.progress

    return condition


async def test_a_changed_definition_takes_its_place_by_itself(settings_with_kafka, pool, history):
    """New software makes a version beside the old one, builds it, and shows it to readers when it has caught up."""
    settings = settings_with_kafka
    await some_cases(history)
    await project(settings, [CaseList()])
    assert await versions.install(pool, [Renamed()]) == ["case_list.v2"]
    assert await versions.install(pool, [Renamed()]) == []
    assert (await live(pool, CaseList())).number == 1
    assert [one.state for one in await status(pool, {}, [Renamed()]) if one.name == "case_list"] == [
        "outdated",
        "building",
    ]
    async with running(settings, pool, [Renamed()]):
        await until(_live_is(pool, 2))
    assert await pool.fetchval("select count(note is null) from projections.case_list") == 3


def _live_is(pool, number: int):
    async def condition() -> bool:
        return (await live(pool, CaseList())).number == number

    return condition


async def test_a_version_that_still_reads_the_store_counts_as_not_begun(settings_with_kafka, pool, history):
    """Who waits for lists and reports also waits for a read model that is new."""
    settings = settings_with_kafka
    await some_cases(history)
    await relay_all(settings)
    version = await versions.add(pool, CaseList())
    await follow(settings, CaseList(), version.number)
    async with pool.acquire() as connection, connection.transaction():
        await versions.show(connection, "case_list", version.number)
    goal = {p: end for p, end in (await ends(settings)).items() if p[0].endswith("case-events") and end}
    await follow(settings, next(one for one in PROJECTIONS if one.name == "annual"))
    assert {p: (await progress(pool))[p] for p in goal} == goal
    await pool.execute("update projections.version set built_at = null where version = $1", version.number)
    assert {p: (await progress(pool))[p] for p in goal} == dict.fromkeys(goal, 0)


async def test_a_rebuild_while_events_flow_in_ends_equal(settings_with_kafka, pool, history):
    """Cases are opened, judged and closed from before the building begins until after it has ended."""
    settings = settings_with_kafka
    await fill(pool, 3000)
    enough = asyncio.Event()

    async def flow() -> int:
        number = 0
        while not enough.is_set():
            case = await history.case(f"flow-{number}", brussels(2021, 5, 1))
            await history.assess(case, number % 2 == 0)
            await history.close(case, brussels(2021, 5, 2))
            await relay_all(settings)
            number += 1
        return number

    annual = next(one for one in PROJECTIONS if one.name == "annual")
    async with running(settings, pool) as runtime:
        await relay_all(settings)
        flowing = asyncio.create_task(flow())
        await until(_named(pool, "flow-2"))
        version = await versions.add(pool, annual)
        await until(_is(runtime, version.label, "active"))
        found = await compare(pool, *await two(pool, "annual", None), PROJECTIONS)
        enough.set()
        number = await flowing
        await until(_level(pool, await ends(settings)))
    assert found.equal
    at_rest = await compare(pool, *await two(pool, "annual", None), PROJECTIONS)
    assert at_rest.equal
    assert at_rest.rows > found.rows
    assert (
        await pool.fetchval(
            f"select count(*) from {version.schema}.annual_lifecycle where case_number like 'flow-%'"
        )
        == number
    )


def _named(pool, number: str):
    async def condition() -> bool:
        return number in await numbers(pool)

    return condition


async def test_metrics_tell_of_each_version(settings_with_kafka, pool, history):
    """Which one readers see, how far each is behind, what an event stopped, how much of the store is read."""
    settings = settings_with_kafka
    await some_cases(history)
    await project(settings, [CaseList()])
    version = await versions.add(pool, CaseList())
    await follow(settings, CaseList(), version.number)
    await store.note_stop(pool, version, "somewhere", "KeyError")
    await history.case("later", brussels(2021, 4, 1))
    await relay_all(settings)
    found = {
        (sample.name.removeprefix("zoeklicht_projection_"), sample.labels["version"]): sample.value
        for family in await families(pool, await ends(settings))
        for sample in family.samples
        if sample.labels["projection"] == "case_list"
    }
    assert (found["live", "1"], found["live", "2"]) == (1, 0)
    assert (found["lag_messages", "1"], found["lag_messages", "2"]) == (1, 1)
    assert (found["stopped", "1"], found["stopped", "2"]) == (0, 1)
    assert (found["build_events", "2"], found["build_read_events", "2"]) == (5, 5)
    assert 0 <= found["head_still_seconds", "1"] < 600
    await pool.execute("update projections.version set built_at = null, events_total = 9 where version = 2")
    (lag,) = [one.lag for one in await status(pool, await ends(settings)) if one.label == version.label]
    assert lag == 1 + 4


async def test_a_changed_definition_of_what_has_not_begun_is_shown_at_once(pool):
    """A new installation has one version of each read model, whatever came before it in its migrations."""
    assert await versions.install(pool, [Renamed()]) == ["case_list.v2"]
    assert [(one.label, one.live) for one in await versions.every(pool, "case_list")] == [
        ("case_list.v2", True)
    ]
    assert await pool.fetchval("select count(note) from projections.case_list") == 0
    assert not await pool.fetchval(
        "select count(*) from pg_namespace where nspname = 'projections_case_list_v1'"
    )


async def test_tables_that_do_not_fit_are_refused(pool):
    """Tables changed under the same definition, or named like another read model's, make nothing at all."""

    class Changed(CaseList):
        tables = CaseList.tables + ";\nalter table case_list add column note text"

    class Misnamed(CaseList):
        name = "others"

    await versions.install(pool)
    with pytest.raises(InstallError, match="raise its definition"):
        await versions.install(pool, [Changed()])
    with pytest.raises(InstallError, match="must be named others"):
        await versions.install(pool, [Misnamed()])
    assert await versions.every(pool, "others") == []


async def test_what_is_not_there_is_said(pool):
    """A name or a number that nobody has, and no version beside: each message names the next command."""
    with pytest.raises(NoSuchVersionError, match="projections list"):
        await swap(pool, "nonsense", None, PROJECTIONS)
    with pytest.raises(NoSuchVersionError, match="projections rebuild case_list"):
        await swap(pool, "case_list", None, PROJECTIONS)
    with pytest.raises(NoSuchVersionError, match="see already"):
        await swap(pool, "case_list", 1, PROJECTIONS)
    with pytest.raises(NoSuchVersionError, match=r"no case_list\.v7"):
        await versions.drop(pool, "case_list", 7)


@pytest.fixture
def guide_package(tmp_path, monkeypatch):
    """The example of the guide, as a package of its own."""
    folder = tmp_path / "guide_models"
    folder.mkdir()
    (folder / "__init__.py").touch()
    text = GUIDE.read_text()
    for kind, name in (("python", "sightings.py"), ("sql", "sightings.sql")):
        (block,) = re.findall(rf"^```{kind}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
        (folder / name).write_text(block)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield import_module("guide_models")
    for name in ("guide_models", "guide_models.sightings"):
        sys.modules.pop(name, None)


async def test_the_guide_adds_a_read_model(settings_with_kafka, pool, history, guide_package):
    """Its two files are all there is to do: found, installed, filled from the history, followed, rebuilt, swapped."""
    settings = settings_with_kafka
    (projection,) = projections = projections_in(guide_package)
    first, second, _ = await some_cases(history)
    await history.fact(first, e.SightingReported(at=brussels(2021, 2, 2), where=e.Place()))
    assert await versions.install(pool, projections) == ["sightings.v1"]
    most_seen = import_module("guide_models.sightings").most_seen
    assert await most_seen(pool, 10) == []
    await project(settings, projections)
    for day in (3, 5, 4):
        await history.fact(second, e.SightingReported(at=brussels(2021, 2, day), where=e.Place()))
        await project(settings, projections)
    await rebuilt(settings, pool, projection)
    assert (await swap(pool, "sightings", None, projections)).equal
    found = [(row["case_id"], row["count"], row["last_at"]) for row in await most_seen(pool, 10)]
    assert found == [(second, 3, brussels(2021, 2, 5)), (first, 1, brussels(2021, 2, 2))]


def test_the_example_of_the_guide_is_written_like_everything_here(guide_package):
    """It can be copied as it stands: the linter has nothing to say, nor has the formatter."""
    file = Path(guide_package.__file__).with_name("sightings.py")
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--config", PYPROJECT, file],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout.decode()


async def test_a_second_process_stands_by_for_every_version(settings_with_kafka, pool):
    """Of two processes one runs a version; the other is ready too, and takes over when the first ends."""
    async with connected(settings_with_kafka) as other:
        version = await live(pool, CaseList())
        assert await store.take_lock(other, version)
        async with running(settings_with_kafka, pool) as runtime:
            await until(_is(runtime, version.label, "standby"))
            other_one = await live(pool, next(one for one in PROJECTIONS if one.name == "annual"))
            await until(_is(runtime, other_one.label, "active"))
            assert runtime.ready
            await other.execute("select pg_advisory_unlock_all()")
            await until(_is(runtime, version.label, "active"))
