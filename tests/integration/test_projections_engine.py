"""The engine loses nothing, does nothing twice, and lets nobody but itself write: on a real PostgreSQL and Kafka."""

import asyncio
from types import SimpleNamespace
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from projections_ground import (
    SEALED,
    History,
    brussels,
    connected,
    ends,
    follow,
    live,
    opened,
    project,
    relay_all,
)

from schemas import events as e
from services.eventlog import wire
from services.eventlog.store import case_stream
from services.kernel.kafka import create_topics
from services.kernel.kafka_access import client_settings
from services.kernel.paging import open_pages
from services.kernel.service import Runtime
from services.kernel.topic_identity import TopicIdentity
from services.projections import main, store
from services.projections.engine import FOREIGN, Engine
from services.projections.errors import (
    MissingEventError,
    ProjectionStoppedError,
    SilentConsumerError,
    TopicChangedError,
    ZombieError,
)
from services.projections.models.annual import Annual
from services.projections.models.case_list import CaseList, Filter, page_of
from services.projections.reports import annual
from services.projections.status import progress, status
from services.projections.stream import Follower, Watch

TOPIC = "case-events"
ZONE = brussels(2021, 1, 1).tzinfo


@pytest.fixture
def history(pool):
    return History(pool)


class Recorder(CaseList):
    """The list of cases, which also tells what it was given, and fails when told to."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.given: list[tuple[str, int]] = []
        self.fail_at = fail_at

    async def apply(self, connection, events):
        await super().apply(connection, events)
        for event in events:
            if self.fail_at == len(self.given):
                self.fail_at = None
                raise ConnectionResetError("the process dies here")
            self.given.append((event.stream, event.version))


async def messages_of(pool, topic: str = TOPIC) -> list[SimpleNamespace]:
    """The store's events as messages of one partition."""
    rows = await pool.fetch("select * from eventlog.events where topic = 'case-events' order by position")
    return [
        SimpleNamespace(
            topic=topic, partition=0, offset=n, headers=wire.headers(row), value=row["data"].encode()
        )
        for n, row in enumerate(rows)
    ]


async def engine_at_start(connection, projection) -> Engine:
    version = await live(connection, projection)
    engine = Engine(connection, version)
    identity = TopicIdentity("cluster", {TOPIC: "topic-1"})
    engine.positions = await store.begin(connection, version, identity, [(TOPIC, 0)])
    return engine


async def versions(pool) -> dict[str, int]:
    rows = await pool.fetch("select case_number, version from projections.case_list")
    return {row["case_number"]: row["version"] for row in rows}


async def case_with(history, number: str, notes: int):
    case = await history.case(number, brussels(2021, 1, 2))
    for _ in range(notes):
        await history.fact(case, e.NoteAdded(text=SEALED))
    return case


async def test_a_death_in_the_middle_changes_nothing_and_the_next_one_does_it_all(settings, pool, history):
    """What a batch wrote before it died is not there, nor its checkpoint; done again, it is there once."""
    await case_with(history, "a", 4)
    batch = await messages_of(pool)
    async with connected(settings) as connection:
        dying = await engine_at_start(connection, Recorder(fail_at=3))
        with pytest.raises(ConnectionResetError):
            await dying.apply(batch)
        assert await versions(pool) == {}
        again = await engine_at_start(connection, CaseList())
        assert again.positions == {(TOPIC, 0): 0}
        await again.apply(batch)
        assert await versions(pool) == {"a": 5}
        assert (await engine_at_start(connection, CaseList())).positions == {(TOPIC, 0): 5}


async def test_a_zombie_commits_nothing(settings, pool, history):
    """Of two engines that begin at the same checkpoint, the second one's commit is refused, whole."""
    await case_with(history, "a", 0)
    await case_with(history, "b", 0)
    first_batch, second_batch = [[m] for m in await messages_of(pool)]
    async with connected(settings) as one, connected(settings) as two:
        active, zombie = await engine_at_start(one, CaseList()), await engine_at_start(two, CaseList())
        await active.apply(first_batch)
        with pytest.raises(ZombieError):
            await zombie.apply([*first_batch, *second_batch])
        assert await versions(pool) == {"a": 1}
        await active.apply(second_batch)
        assert await versions(pool) == {"a": 1, "b": 1}


async def test_zombies_at_the_same_moment_wait_for_each_other(settings, pool, history):
    """While the active engine's transaction is open, the other one's waits, and is then refused."""
    await case_with(history, "a", 0)
    batch = await messages_of(pool)
    async with connected(settings) as one, connected(settings) as two:
        engines = [await engine_at_start(one, CaseList()), await engine_at_start(two, CaseList())]
        done = await asyncio.gather(*(engine.apply(batch) for engine in engines), return_exceptions=True)
        assert sorted(type(outcome) for outcome in done if outcome is not None) == [ZombieError]
        assert await pool.fetchval("select sum(next_offset) from projections.checkpoint") == 1


async def test_only_one_session_runs_a_projection(settings, pool):
    """The second process stands by until the first one's session is gone."""
    async with connected(settings) as two:
        async with connected(settings) as one:
            listed, annual_facts = await live(one, CaseList()), await live(one, Annual())
            assert await store.take_lock(one, listed)
            assert not await store.take_lock(two, listed)
            assert await store.take_lock(two, annual_facts)
        assert await store.take_lock(two, listed)


async def test_duplicates_are_skipped(settings, pool, history):
    """What came before by (stream, version) is not handed on again, within a batch and across batches."""
    case = await case_with(history, "a", 2)
    first, second, third = await messages_of(pool)
    for offset, message in enumerate(order := [first, _copy(first), second, _copy(first), third]):
        message.offset = offset
    recorder = Recorder()
    async with connected(settings) as connection:
        engine = await engine_at_start(connection, recorder)
        await engine.apply(order[:2])
        await engine.apply(order[2:])
        late = _copy(second)
        late.offset = 5
        await engine.apply([late])
    assert recorder.given == [(case_stream(case), version) for version in (1, 2, 3)]
    assert engine.positions == {(TOPIC, 0): 6}


def _copy(message):
    return SimpleNamespace(**vars(message))


async def test_what_an_event_does_not_say_stays(settings, pool, history):
    """A note leaves worry and closing as they are, an assessment the closing, also in a batch of its own."""
    case = await case_with(history, "a", 0)
    await history.assess(case, True)
    await history.close(case, brussels(2021, 2, 1))
    await history.fact(case, e.NoteAdded(text=SEALED))
    await history.assess(case, True)
    async with connected(settings) as connection:
        engine = await engine_at_start(connection, CaseList())
        for message in await messages_of(pool):
            await engine.apply([message])
    (item,) = (await page_of(pool, Filter(), None, 10))["items"]
    assert (item["worrying"], item["state"], item["version"], item["kind"]) == (True, "closed", 3, "runaway")


async def test_an_assessment_before_its_case_waits_for_it(settings, pool, history):
    """Order between streams does not matter: a case that is not known yet is not listed, then with its worry."""
    case = await case_with(history, "a", 0)
    await history.assess(case, True)
    opening, assessment = await messages_of(pool)
    opening.offset, assessment.offset = 1, 0
    async with connected(settings) as connection:
        engine = await engine_at_start(connection, CaseList())
        await engine.apply([assessment])
        assert (await page_of(pool, Filter(), None, 10))["items"] == []
        await engine.apply([opening])
    (item,) = (await page_of(pool, Filter(worrying=True, open=True), None, 10))["items"]
    assert (item["worrying"], item["state"]) == (True, "open")


async def test_a_gap_is_filled_from_the_store(settings, pool, history):
    """Where Kafka skips versions of a stream, they are read from the store, in order, and nothing twice."""
    case = await case_with(history, "a", 5)
    batch = await messages_of(pool)
    recorder = Recorder()
    async with connected(settings) as connection:
        engine = await engine_at_start(connection, recorder)
        await engine.apply([batch[0]])
        await engine.apply([batch[3], batch[4]])
        await engine.apply([batch[5]])
    assert recorder.given == [(case_stream(case), version) for version in range(1, 7)]
    assert await versions(pool) == {"a": 6}


async def test_an_event_that_the_store_lacks_is_never_skipped(settings, pool, history):
    """A gap that the store cannot fill stops the projection and pages: the store is older than Kafka."""
    await case_with(history, "a", 0)
    (message,) = await messages_of(pool)
    message.headers = [(k, b"9" if k == "ce_streamversion" else v) for k, v in message.headers]
    async with connected(settings) as connection:
        engine = await engine_at_start(connection, CaseList())
        with pytest.raises(ProjectionStoppedError) as stopped:
            await engine.apply([message])
    assert isinstance(stopped.value.__cause__, MissingEventError)
    assert "MissingEventError" in (await open_pages(pool))[0].text


async def test_what_is_not_known_is_skipped_and_counted(settings, pool, history):
    """An event type of a newer version, and a message that is no event, stop nobody; each counts once."""
    await case_with(history, "a", 1)
    known, newer = await messages_of(pool)
    newer.headers = [(k, b"case.divined.v7" if k == "ce_type" else v) for k, v in newer.headers]
    foreign = SimpleNamespace(topic=TOPIC, partition=0, offset=2, headers=[], value=b"hello")
    again = _copy(newer)
    again.offset = 3
    async with connected(settings) as connection:
        engine = await engine_at_start(connection, CaseList())
        await engine.apply([known, newer, foreign, again])
    found = {one.name: one.unknown for one in await status(pool, {})}
    assert found["case_list"] == {"case.divined.v7": 1, FOREIGN: 1}
    assert await versions(pool) == {"a": 1}


async def test_offsets_that_go_back_end_the_process(settings, pool, history):
    """An offset below the position means another incarnation of the topic: never taken for a duplicate."""
    await case_with(history, "a", 1)
    first, second = await messages_of(pool)
    async with connected(settings) as connection:
        engine = await engine_at_start(connection, CaseList())
        await engine.apply([first, second])
        with pytest.raises(TopicChangedError):
            await engine.apply([first])


@pytest.mark.parametrize("changed", [("other", "topic-1"), ("cluster", "topic-2")], ids=["cluster", "topic"])
async def test_another_cluster_or_topic_means_from_the_start(settings, pool, changed):
    """A checkpoint counts only where it was made."""
    cluster, topic = changed
    async with connected(settings) as connection:
        await engine_at_start(connection, CaseList())
        version = await live(connection, CaseList())
        await store.move(connection, version, {(TOPIC, 0): (0, 7)})
        assert (await engine_at_start(connection, CaseList())).positions == {(TOPIC, 0): 7}
        identity = TopicIdentity(cluster, {TOPIC: topic})
        assert await store.begin(connection, version, identity, [(TOPIC, 0)]) == {(TOPIC, 0): 0}


async def test_a_topic_made_anew_is_read_from_the_start_without_counting_twice(
    settings_with_kafka, pool, history
):
    """After the topics were lost, the relay sends all again; figures and lists stay, and the new comes in."""
    settings = settings_with_kafka
    case = await history.case("a", brussels(2021, 2, 1))
    await history.count(e.CallsCounted(count=7), brussels(2021, 2, 1))
    await project(settings)
    admin = AIOKafkaAdminClient(**client_settings(settings))
    await admin.start()
    await admin.delete_topics([settings.topic(topic) for topic in e.TOPICS])
    await _gone(admin, settings)
    await admin.close()
    await create_topics(settings, e.TOPICS)
    await history.close(case, brussels(2021, 3, 1))
    await project(settings)
    report = await annual(pool, ZONE, 2021)
    assert (report["new_cases"]["total"], report["details"]["hotline_calls"]) == (1, 7)
    (item,) = (await page_of(pool, Filter(), None, 10))["items"]
    assert (item["version"], item["state"]) == (2, "closed")


async def _gone(admin, settings) -> None:
    for _ in range(200):
        if not {settings.topic(topic) for topic in e.TOPICS} & set(await admin.list_topics()):
            return
    raise AssertionError("the topics are still there")


async def test_what_kafka_no_longer_keeps_comes_from_the_store(settings_with_kafka, pool, history):
    """Where retention took messages before they were projected, the store's events take their place."""
    settings = settings_with_kafka
    await history.case("a", brussels(2021, 2, 1))
    await history.case("b", brussels(2021, 2, 1))
    await relay_all(settings)
    admin = AIOKafkaAdminClient(**client_settings(settings))
    await admin.start()
    await admin.delete_records(await _ends_as_records(settings))
    await admin.close()
    await history.case("c", brussels(2021, 2, 1))
    await project(settings)
    assert (await annual(pool, ZONE, 2021))["new_cases"]["total"] == 3
    assert await versions(pool) == {"a": 1, "b": 1, "c": 1}


async def test_what_kafka_drops_under_a_running_process_is_not_passed_over(
    settings_with_kafka, pool, history, monkeypatch
):
    """When retention overtakes a projection at work, it ends, and the next start reads the store."""
    settings = settings_with_kafka
    for number in ("a", "b"):
        await history.case(number, brussels(2021, 2, 1))
    await relay_all(settings)
    admin = AIOKafkaAdminClient(**client_settings(settings))
    await admin.start()
    await admin.delete_records(await _ends_as_records(settings))
    await admin.close()
    for number in range(20):
        await history.case(str(number), brussels(2021, 2, 1))
    await relay_all(settings)

    async def as_if_it_had_begun_before(_self):
        pass

    with monkeypatch.context() as patch:
        patch.setattr(Follower, "_mend", as_if_it_had_begun_before)
        async with connected(settings) as connection:
            with pytest.raises(TopicChangedError):
                follower = Follower(settings, connection, await live(connection, CaseList()))
                await asyncio.wait_for(follower.run(asyncio.Event(), Watch()), 20)
    await follow(settings, CaseList())
    assert set(await versions(pool)) == {"a", "b", *map(str, range(20))}


async def test_a_poison_event_in_the_store_stops_there_too(settings, pool, history):
    """Read from the store, all before the event is in, and the page says where it is."""
    await case_with(history, "a", 0)
    await case_with(history, "b", 0)
    rows = [dict(row) for row in await pool.fetch("select * from eventlog.events order by position")]
    rows[1]["data"] = '{"case_number": 7}'
    async with connected(settings) as connection:
        with pytest.raises(ProjectionStoppedError):
            await Engine(connection, await live(connection, CaseList())).take_from_store(rows)
    assert await versions(pool) == {"a": 1}
    (page,) = await open_pages(pool)
    assert f"position {rows[1]['position']} of the event store" in page.text


async def _ends_as_records(settings):
    from aiokafka import TopicPartition
    from aiokafka.admin import RecordsToDelete

    found = await ends(settings)
    return {TopicPartition(*p): RecordsToDelete(before_offset=end) for p, end in found.items() if end}


async def test_a_poison_event_stops_its_projection_alone(settings_with_kafka, pool, history, monkeypatch):
    """All before it is in, a person is paged once with its place and no content, the other projection goes on."""
    settings = settings_with_kafka
    good = await history.case("a", brussels(2021, 2, 1))
    apply = CaseList.apply

    async def poisoned(self, connection, events):
        await apply(self, connection, events)
        if any(isinstance(event.data, e.CaseClosed) for event in events):
            raise KeyError("an error of this projection")

    monkeypatch.setattr(CaseList, "apply", poisoned)
    await history.close(good, brussels(2021, 3, 1))
    await relay_all(settings)
    runtime = Runtime("projections", settings, pool)
    goal = await ends(settings)
    running = asyncio.create_task(main.run_all(runtime))
    async with asyncio.timeout(30):
        while not running.done():
            state = {name: one["state"] for name, one in runtime.progress.items()}
            lags = {one.name: one.lag for one in await status(pool, goal)}
            if state.get("case_list.v1") == "stopped" and lags["annual"] == 0:
                break
    assert runtime.ready
    (page,) = await open_pages(pool)
    assert page.matter == "projection:case_list.v1"
    assert "case.closed.v1" in page.text
    assert "KeyError" in page.text
    assert "an error of" not in page.text
    (item,) = (await page_of(pool, Filter(), None, 10))["items"]
    assert (item["version"], item["state"]) == (1, "open")
    assert (await annual(pool, ZONE, 2021))["details"]["unaccompanied_minor"] is not None
    stopped = {one.name: one.stopped for one in await status(pool, goal)}
    assert stopped["annual"] is None
    assert stopped["case_list"].endswith("(KeyError)")
    later = await history.case("later", brussels(2021, 4, 1))
    await relay_all(settings)
    goal = await ends(settings)
    async with asyncio.timeout(30):
        while {one.name: one.lag for one in await status(pool, goal)}["annual"]:
            assert not running.done()
    assert (await annual(pool, ZONE, 2021))["new_cases"]["total"] == 2
    runtime.stop.set()
    await asyncio.wait_for(running, 20)
    monkeypatch.undo()
    await follow(settings, CaseList())
    assert await versions(pool) == {"a": 2, "later": 1}
    assert {one.name: one.stopped for one in await status(pool, goal)}["case_list"] is None
    assert later


async def test_progress_is_that_of_the_slowest(settings_with_kafka, pool, history):
    """Whoever waits for lists and reports waits for all of them; what has not begun is at the start."""
    settings = settings_with_kafka
    await history.case("a", brussels(2021, 2, 1))
    await relay_all(settings)
    goal = {p: end for p, end in (await ends(settings)).items() if end}
    assert await progress(pool) == {}
    await follow(settings, Annual())
    assert {p: (await progress(pool))[p] for p in goal} == dict.fromkeys(goal, 0)
    lags = {one.name: one.lag for one in await status(pool, goal)}
    assert lags == {"annual": 0, "case_list": 1}
    await follow(settings, CaseList())
    assert {p: (await progress(pool))[p] for p in goal} == goal


async def test_a_topic_made_anew_under_a_running_process_ends_it(settings_with_kafka, pool, monkeypatch):
    """The process asks now and then whether the topics are the same; when not, it ends and begins anew."""
    settings = settings_with_kafka
    monkeypatch.setattr("services.projections.stream.IDENTITY_S", -1.0)
    async with connected(settings) as connection:
        follower = Follower(settings, connection, await live(connection, CaseList()))

        def other() -> None:
            follower._identity = TopicIdentity("another", {})

        with pytest.raises(TopicChangedError):
            await asyncio.wait_for(follower.run(asyncio.Event(), Watch(changed=other)), 20)


async def test_a_consumer_that_is_brought_nothing_ends_the_process(
    settings_with_kafka, pool, history, monkeypatch
):
    """Kafka has an event and the client asks for none, as happens after a broker was killed: nobody else would notice."""
    settings = settings_with_kafka
    monkeypatch.setattr("services.projections.stream.IDENTITY_S", 0.3)
    stop = asyncio.Event()
    async with connected(settings) as connection:
        follower = Follower(settings, connection, await live(connection, CaseList()))

        async def nothing(**_):
            await asyncio.sleep(0.05)
            return {}

        running = asyncio.create_task(follower.run(stop, Watch()))
        await history.case("a", brussels(2021, 2, 1))
        await relay_all(settings)
        async with asyncio.timeout(30):
            while await versions(pool) != {"a": 1}:  # noqa: ASYNC110 - another task works
                await asyncio.sleep(0.02)
        await asyncio.sleep(1)
        assert not running.done(), "there is nothing to bring"
        follower._consumer.getmany = nothing
        await asyncio.sleep(1)  # the question that is on its way is answered
        await history.case("b", brussels(2021, 2, 1))
        await relay_all(settings)
        with pytest.raises(SilentConsumerError):
            await asyncio.wait_for(running, 20)


async def test_offsets_beyond_the_end_go_back(settings_with_kafka, pool, history):
    """After Kafka lost its tail, the checkpoint is beyond the end: reading begins anew, and skips what was seen."""
    settings = settings_with_kafka
    await history.case("a", brussels(2021, 2, 1))
    await project(settings, [CaseList()])
    await pool.execute("update projections.checkpoint set next_offset = next_offset + 1000")
    await history.case("b", brussels(2021, 2, 1))
    await project(settings, [CaseList()])
    assert await versions(pool) == {"a": 1, "b": 1}


def test_the_ground_opens_cases():
    """The helper's event is one that the shared language knows."""
    assert opened(str(uuid4())).TYPE in CaseList.types
