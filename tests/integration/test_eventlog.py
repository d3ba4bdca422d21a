"""The event store and the relay keep their promises on a real PostgreSQL and a real Kafka."""

import asyncio
import random
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from schemas.events import CallsCounted, OverrideWithdrawn
from schemas.vocabulary import Mode
from services.eventlog import relay as relaying
from services.eventlog import wire
from services.eventlog.arrivals import is_overdue
from services.eventlog.producer import producer
from services.eventlog.relay import Point, Relay, RestoredDatabaseError, SilentKafkaError, head, position
from services.eventlog.store import (
    Append,
    Cause,
    LockOrderError,
    NewEvent,
    Stop,
    VersionConflictError,
    append,
    case_stream,
    lock_streams,
    read_case,
    read_stream,
    stopped,
)
from services.kernel.kafka import consumer
from services.kernel.messages import Message, record_progress
from services.kernel.postgres import in_transaction, queries
from services.kernel.settings import Settings
from services.kernel.topic_identity import TopicIdentity, topic_identity

CAUSE = Cause(actor="tester", correlation_id="c-1")
SQL = queries("services.eventlog")


def one(case: UUID, expected: int | None = None, count: int = 1) -> Append:
    return Append(
        case_stream(case), str(case), [NewEvent(OverrideWithdrawn()) for _ in range(count)], CAUSE, expected
    )


async def put(pool: asyncpg.Pool, *appends: Append, stops: tuple[Stop, ...] = ()) -> dict[str, int]:
    async with pool.acquire() as connection, connection.transaction():
        await lock_streams(connection, [a.stream for a in appends])
        return await append(connection, appends, stops)


async def test_append_numbers_events_per_stream(pool):
    """Versions of a stream are 1, 2, 3 …, whatever else is appended in between."""
    a, b = uuid4(), uuid4()
    await put(pool, one(a, 0, 2), one(b, 0))
    assert await put(pool, one(a, 2)) == {case_stream(a): 3}
    assert [e.version for e in await read_stream(pool, case_stream(a))] == [1, 2, 3]


async def test_stale_version_is_refused_and_nothing_appended(pool):
    """Of two commands decided on the same version, the second is refused, whole."""
    a, b = uuid4(), uuid4()
    await put(pool, one(a, 0))
    with pytest.raises(VersionConflictError):
        await put(pool, one(b, 0), one(a, 0))
    assert await read_case(pool, b) == []


async def test_events_cannot_be_changed(pool):
    """The log is append-only, in the database itself."""
    await put(pool, one(uuid4()))
    for statement in ("update eventlog.events set actor = 'x'", "delete from eventlog.events"):
        with pytest.raises(asyncpg.RaiseError):
            await pool.execute(statement)


async def test_writing_before_locking_is_refused(pool):
    """A transaction that wrote before it locked its streams could break their order, so it cannot append."""
    with pytest.raises(LockOrderError):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("insert into kernel.page (matter, text) values ('m', 't')")
            await lock_streams(connection, ["case-x"])


async def test_as_known_at_a_moment(pool):
    """Reading a case at a moment leaves out what was recorded later."""
    case = uuid4()
    await put(pool, one(case))
    moment = (await read_case(pool, case))[0].recorded_time
    await put(pool, one(case))
    assert len(await read_case(pool, case, moment)) == 1
    assert len(await read_case(pool, case)) == 2


async def test_stop_keeps_the_highest_version(pool):
    """A stop row commits with its event, and an older stop does not replace a newer one."""
    case = uuid4()
    for version in (5, 3):
        await put(pool, one(case), stops=(Stop("case", case, case, version, uuid4(), Mode.ACTUAL),))
    assert await stopped(pool, [case]) == {("case", case): 5}


async def _tail(pool: asyncpg.Pool, at: Point, seen: list[tuple[str, int]]) -> Point:
    for row in await pool.fetch(SQL["tail"], at.epoch, at.transaction_id, at.position, 50):
        seen.append((row["stream"], row["version"]))
        at = Point.of(row)
    return at


async def _write(pool: asyncpg.Pool, cases: list[UUID], rng: random.Random, count: int) -> None:
    for _ in range(count):
        case = rng.choice(cases)
        async with pool.acquire() as connection, connection.transaction():
            await lock_streams(connection, [case_stream(case)])
            # Takes the transaction id early and commits late: what makes naive readers lose or reorder events.
            await connection.execute("insert into kernel.page (matter, text) values ($1, '')", str(uuid4()))
            await connection.execute("select pg_sleep($1)", rng.uniform(0, 0.004))
            await append(connection, [one(case)])


async def test_reader_loses_nothing_and_keeps_every_stream_in_order(pool):
    """Eight writers that pause between write and commit, five streams: nothing lost, no inversion."""
    cases = [uuid4() for _ in range(5)]
    seen: list[tuple[str, int]] = []
    writers = [asyncio.create_task(_write(pool, cases, random.Random(n), 60)) for n in range(8)]
    at = Point()
    while not all(writer.done() for writer in writers):
        at = await _tail(pool, at, seen)
    await asyncio.gather(*writers)
    async with asyncio.timeout(60):  # an open transaction anywhere on the server holds the reader up
        while len(seen) < 480:
            at = await _tail(pool, at, seen)
    await _tail(pool, at, seen)
    assert len(seen) == 480
    last: dict[str, int] = {}
    for stream, version in seen:
        assert version == last.get(stream, 0) + 1
        last[stream] = version


async def test_transactions_are_read_in_the_order_of_their_numbers(pool):
    """Where transaction ids get a digit more, the reader keeps the order, and the head is the newest."""
    ids = ["9", "10", "99", "100"]
    for number in ids:
        await pool.execute(
            "insert into eventlog.events (epoch, transaction_id, stream, version, event_id, type, topic, subject,"
            " time, correlation_id, actor, origin, mode, data) values (0, $1::text::xid8, $1::text, 1,"
            " gen_random_uuid(), 't', 'case-events', 'x', now(), 'c', 'a', 'live', 'actual', '{}')",
            number,
        )
    await pool.execute(SQL["new_epoch"])
    rows = await pool.fetch(SQL["tail"], 0, "0", 0, 10)
    assert [row["transaction_id"] for row in rows] == ids
    assert (await head(pool)).transaction_id == "100"


async def _relay(settings: Settings) -> tuple[Relay, asyncpg.Connection, object]:
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    sender = producer(settings)
    await sender.start()
    return Relay(connection, sender, settings), connection, sender


async def _received(settings: Settings, count: int) -> list[tuple[dict[str, str], bytes]]:
    reader = consumer(settings)
    await reader.start()
    try:
        reader.subscribe([settings.topic(t) for t in ("case-events", "ops-events")])
        found = []
        while len(found) < count:
            message = await asyncio.wait_for(reader.getone(), 20)
            found.append((wire.attributes(message.headers), message.value))
        return found
    finally:
        await reader.stop()


async def test_relay_sends_everything_once_in_stream_order(settings_with_kafka, pool):
    """What was appended arrives with its envelope, and a second relay has nothing left to send."""
    settings = settings_with_kafka
    case = uuid4()
    await put(pool, one(case, 0, 3))
    calls = Append("ops-calls", "calls", [NewEvent(CallsCounted(count=3), time=datetime.now(UTC))], CAUSE)
    await put(pool, calls)
    relay, connection, sender = await _relay(settings)
    assert await relay.become_active()
    await relay.begin(await topic_identity(settings, ("case-events", "delivery-events", "ops-events")))
    while await relay.step():
        pass
    assert relay.at == await head(pool)
    events = [wire.event(attributes, value) for attributes, value in await _received(settings, 4)]
    mine = [e for e in events if e.stream == case_stream(case)]
    assert [e.version for e in mine] == [1, 2, 3]
    assert {e.cause for e in events} == {CAUSE}
    assert mine == [
        e.__class__(**{f: getattr(e, f) for f in e.__slots__} | {"position": 0})
        for e in await read_stream(pool, case_stream(case))
    ]
    await sender.stop()
    await connection.close()


async def test_only_one_relay_is_active(settings, pool):
    """The second relay stands by until the first one is gone."""
    first, second = [await asyncpg.connect(settings.database_url.get_secret_value()) for _ in range(2)]
    assert await Relay(first, None, settings).become_active()
    assert not await Relay(second, None, settings).become_active()
    await first.close()
    assert await Relay(second, None, settings).become_active()
    await second.close()


async def test_another_cluster_means_from_the_start(settings, pool):
    """The checkpoint counts only for the cluster and the topics it was made with."""
    await put(pool, one(uuid4(), 0, 2))
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    relay = Relay(connection, _Accepting(), settings)
    ids = {"case-events": "1"}
    await relay.begin(TopicIdentity("a", ids))
    assert await relay.step() == 2
    for cluster, topics, again in (
        ("a", ids, 0),
        ("b", ids, 2),
        ("b", ids, 0),
        ("b", {"case-events": "2"}, 2),
        ("b", {"case-events": "2"}, 0),
    ):
        relay = Relay(connection, _Accepting(), settings)
        await relay.begin(TopicIdentity(cluster, topics))
        assert await relay.step() == again, (cluster, topics)
    await connection.close()


async def test_what_was_sent_and_has_not_come_is_overdue(settings, pool):
    """A case event that the relay has sent since a consumer last came on; not one that is still to be sent."""
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    relay = Relay(connection, _Accepting(), settings)
    await relay.begin(TopicIdentity("a", {"case-events": "1"}))
    came = [Message("case-events", 0, 0, b"", b"", ())]
    assert not await is_overdue(pool, "reader")
    for number in (1, 2):
        await put(pool, one(uuid4(), 0, number))
        assert not await is_overdue(pool, "reader")
        assert await relay.step()
        assert await is_overdue(pool, "reader")
        await in_transaction(pool, lambda c: record_progress(c, "reader", came))
        assert not await is_overdue(pool, "reader")
        assert await is_overdue(pool, "another")
    await connection.close()


@pytest.mark.parametrize("silent_at", ["sending", "acknowledging"])
async def test_a_producer_that_falls_silent_is_given_up_and_nothing_is_skipped(
    settings, pool, monkeypatch, silent_at
):
    """No relay waits for ever; the checkpoint stays, and the next relay sends the batch."""
    monkeypatch.setattr(relaying, "SEND_WITHIN_S", 0.1)
    await put(pool, one(uuid4(), 0, 2))
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    identity = TopicIdentity("a", {"case-events": "1"})
    relay = Relay(connection, _Silent(silent_at), settings)
    await relay.begin(identity)
    before = relay.at
    with pytest.raises(SilentKafkaError):
        await asyncio.wait_for(relay.step(), 20)
    assert (relay.at, await position(pool)) == (before, before)
    relay = Relay(connection, _Accepting(), settings)
    await relay.begin(identity)
    assert await relay.step() == 2
    await connection.close()


async def test_only_a_power_cut_sends_again(settings, pool):
    """A relay that was killed goes on where it was; on another boot, or where nobody can tell, the last hour is sent again."""
    await put(pool, one(uuid4(), 0, 2))
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    identity = TopicIdentity("a", {"case-events": "1"})
    for boot, again in (
        ("first", 2),
        ("first", 0),
        ("second", 2),
        ("second", 0),
        ("", 2),
        ("second", 2),
        (None, 2),
        (None, 0),
    ):
        relay = Relay(connection, _Accepting(), settings)
        await relay.begin(identity, boot)
        assert await relay.step() == again, boot
    stop = asyncio.Event()
    stop.set()
    await relay.run(stop)
    relay = Relay(connection, _Accepting(), settings)
    await relay.begin(identity, "after a stop in order")
    assert await relay.step() == 0
    await connection.close()


async def test_after_a_long_outage_the_hour_before_it_is_sent_again(settings, pool):
    """The hour is counted back from the last move, not from now; what was never sent is never skipped."""
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    identity = TopicIdentity("a", {"case-events": "1"})
    await Relay(connection, _Accepting(), settings).begin(identity, "before")
    now = datetime.now(UTC)
    for hours in (4, 2.5):
        case, then = uuid4(), now - timedelta(hours=hours)
        event = NewEvent(OverrideWithdrawn(), uuid4(), then, then)
        await put(pool, Append(case_stream(case), str(case), [event], CAUSE))
    relay = Relay(connection, _Accepting(), settings)
    await relay.begin(identity, "then")
    assert await relay.step() == 2
    await pool.execute("update eventlog.relay_checkpoint set moved_at = $1", now - timedelta(hours=2))
    relay = Relay(connection, _Accepting(), settings)
    await relay.begin(identity, "now")
    assert await relay.step() == 1
    await connection.close()


@asynccontextmanager
async def _running(settings: Settings):
    """A relay at work that hears hints alone: it would poll only after an hour."""
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    relay, stop = Relay(connection, _Accepting(), settings), asyncio.Event()
    await relay.begin(TopicIdentity("a", {"case-events": "1"}))
    running = asyncio.create_task(relay.run(stop))
    try:
        yield relay
    finally:
        stop.set()
        await running
        await connection.close()


async def _until_sent(relay: Relay, count: int) -> None:
    async with asyncio.timeout(30):
        while relay.sent < count:  # noqa: ASYNC110 - the relay tells nobody
            await asyncio.sleep(0.005)


async def test_what_an_open_transaction_holds_up_is_sent_once_it_ends(settings, pool, monkeypatch):
    """An older transaction that writes hides what was committed after it began, and ends without a word."""
    monkeypatch.setattr("services.eventlog.relay.POLL_S", 3600)
    monkeypatch.setattr("services.eventlog.relay.LONGEST_LOOK_S", 0.05)
    async with _running(settings) as relay, pool.acquire() as older:
        transaction = older.transaction()
        await transaction.start()
        await older.fetchval("select pg_current_xact_id()")
        await put(pool, one(uuid4(), 0))
        assert await pool.fetch(SQL["tail"], *Point().columns, 10) == []
        await transaction.commit()
        await _until_sent(relay, 1)


async def test_case_events_are_sent_at_once_and_others_are_gathered(settings, pool, monkeypatch):
    """A case event waits for nothing and takes along what waits; what waits goes by itself after a while."""
    monkeypatch.setattr("services.eventlog.relay.POLL_S", 3600)
    monkeypatch.setattr("services.eventlog.relay.LINGER_S", 3600)

    def calls() -> Append:
        return Append("ops-calls", "calls", [NewEvent(CallsCounted(count=3), time=datetime.now(UTC))], CAUSE)

    async with _running(settings) as relay:
        await put(pool, calls())
        await put(pool, one(uuid4(), 0))
        await _until_sent(relay, 2)
    monkeypatch.setattr("services.eventlog.relay.LINGER_S", 0.01)
    async with _running(settings) as relay, asyncio.timeout(30):
        while not relay.sent:
            # Again and again: a transaction of another test may hide one from the reader when its hint comes.
            await put(pool, calls())
            await asyncio.sleep(0.05)


async def test_relay_refuses_a_restored_database(settings, pool):
    """Transaction ids that start again below stored ones would hide new events, so the relay does not start."""
    await pool.execute(
        "insert into eventlog.events (epoch, transaction_id, stream, version, event_id, type, topic, subject, time,"
        " correlation_id, actor, origin, mode, data) values (1, '999999999999', 's', 1, gen_random_uuid(), 't', 'case-events',"
        " 'x', now(), 'c', 'a', 'live', 'actual', '{}')"
    )
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    with pytest.raises(RestoredDatabaseError, match="new-epoch"):
        await Relay(connection, _Accepting(), settings).begin(TopicIdentity("a", {}))
    await pool.execute(SQL["new_epoch"])
    await Relay(connection, _Accepting(), settings).begin(TopicIdentity("a", {}))
    await connection.close()


class _Silent:
    """A producer that neither takes nor refuses."""

    def __init__(self, at: str) -> None:
        self._at = at

    async def send(self, *_args: object, **_values: object) -> asyncio.Future[None]:
        if self._at == "sending":
            await asyncio.Event().wait()
        return asyncio.get_running_loop().create_future()


class _Accepting:
    """A producer that accepts: these tests are about the checkpoint alone."""

    async def send(self, *_args: object, **_values: object) -> asyncio.Future[None]:
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done
