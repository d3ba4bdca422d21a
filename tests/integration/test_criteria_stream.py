"""Batches of messages become assessments in the event store, once, whatever Kafka and the workers do."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import orjson
import pytest
from criteria_ground import BOX, PREVENTIVE, RULEBOOK, RULES, T0, case_id, circumstance, event_id, opened
from criteria_log import assessments, data_of, folded, messages, relaying, spoil, tell

from schemas.events import (
    AssessmentChanged,
    CaseClosed,
    CircumstanceReported,
    CircumstanceRetracted,
    EventData,
    NoteAdded,
    OverrideWithdrawn,
)
from schemas.vocabulary import Answer, CaseKind, Criterion, Origin
from services.criteria import store
from services.criteria.domain import advance
from services.criteria.errors import StillPoisonError
from services.criteria.handlers import CONSUMER, Assessor
from services.criteria.main import serve
from services.criteria.rulebook import RulesError
from services.criteria.stream import criteria_stream, run_reports, run_timers
from services.eventlog.arrivals import is_overdue
from services.kernel.messages import Message
from services.kernel.paging import open_pages
from services.kernel.service import Runtime
from services.kernel.streaming import run_stream

MEDICATION = Criterion.MEDICATION_DEPENDENT
CLOSED = CaseClosed(outcomes=())
NOTE = NoteAdded(text=BOX)
A, B, C = case_id(1), case_id(2), case_id(3)


@dataclass
class Hands:
    """A clock that stands still until it is moved."""

    time: datetime = T0

    def now(self) -> datetime:
        return self.time


def said(value=Answer.YES, due=None, child=0):
    return CircumstanceReported(criterion=MEDICATION, value=value, child=child, next_due=due)


def broken(message: Message) -> Message:
    """The same message with data that fit no model."""
    return message._replace(value=b'{"criterion": "bravery"}')


@pytest.fixture
def clock():
    return Hands()


@pytest.fixture
def assessor(pool, clock):
    return Assessor(pool, RULEBOOK, clock)


# ── what is appended ────────────────────────────────────────────────────────────────────────────────────────


async def test_assessments_are_appended_with_their_cause(pool, assessor):
    """Every change is an event of the case's assessment stream that names what led to it."""
    await tell(pool, A, opened(), said(), NOTE)
    await assessor.apply(await messages(pool))
    found = await assessments(pool, A)
    assert [e.data.worrying for e in found] == [False, True]
    last = found[-1]
    assert (last.subject, last.cause.actor, last.cause.correlation_id) == (str(A), "criteria", "c-1")
    assert last.cause.causation_id == str(event_id(A, 2))
    assert last.data.because == event_id(A, 2)
    assert (last.cause.origin, last.time, last.imported_time) == (Origin.LIVE, T0, None)
    assert await data_of(pool, A) == await folded(pool, A)
    assert assessor.counts.events == 3
    assert assessor.counts.assessed == 2


async def test_imports_keep_their_time(pool, assessor):
    """An assessment of imported history happened, and was known, when its event was; and it is imported."""
    await tell(pool, A, opened(), said(), origin=Origin.IMPORT)
    await assessor.apply(await messages(pool))
    last = (await assessments(pool, A))[-1]
    at = T0 + timedelta(minutes=2)
    assert (last.time, last.recorded_time, last.cause.origin) == (at, at, Origin.IMPORT)
    assert last.imported_time == datetime(2026, 1, 1, tzinfo=UTC)


async def test_the_clock_of_an_import_is_its_event(pool, assessor):
    """A dose that history says was due is overdue as of the next imported event, whatever time it is today."""
    due = circumstance(MEDICATION, due=T0 + timedelta(minutes=2, seconds=30))
    await tell(pool, A, opened(circumstances=[due]), NOTE, NOTE, origin=Origin.IMPORT)
    await assessor.apply(await messages(pool))
    assert [(e.data.case_version, e.data.medication_overdue) for e in await assessments(pool, A)] == [
        (1, ()),
        (3, (0,)),
    ]


async def test_a_worrying_episode_within_one_batch_stays_in_the_log(pool, assessor):
    """A circumstance that is reported and retracted within one batch leaves its episode."""
    story = opened(), said(), CircumstanceRetracted(event_id=event_id(A, 2), reason=BOX), CLOSED
    await tell(pool, A, *story, origin=Origin.IMPORT)
    await assessor.apply(await messages(pool))
    assert [e.data.worrying for e in await assessments(pool, A)] == [False, True, False, False]


async def test_progress_is_recorded_with_the_work(pool, assessor):
    """How far criteria has come is known from the same transaction, also when nothing concerned a case."""
    await tell(pool, A, opened())
    batch = await messages(pool)
    await assessor.apply([batch[0]._replace(offset=41)])
    await assessor.apply([m._replace(offset=42) for m in await messages(pool, "assessment-%")])
    assert (
        await pool.fetchval("select next_offset from kernel.consumer_progress where consumer = 'criteria'")
        == 43
    )
    assert assessor.counts.events == 1
    assert await store.quarantined(pool) == []


# ── again, in other pieces, with gaps ───────────────────────────────────────────────────────────────────────


async def some_history(pool: asyncpg.Pool, seed: int) -> list[Message]:
    """Random facts about a few cases, some imported and some live, as they travel."""
    rng = random.Random(seed)
    for number in range(4):
        facts: list[EventData] = [opened(rng.choice([9, 12, 15]), (10, 14))]
        for version in range(2, rng.randrange(4, 12)):
            retraction = CircumstanceRetracted(event_id=event_id(case_id(number), version - 1), reason=BOX)
            value, child = rng.choice(list(Answer)), rng.choice([0, 1, None])
            facts.append(
                rng.choice([said(value, child=child), retraction, NOTE, OverrideWithdrawn(), CLOSED])
            )
        origin = rng.choice([Origin.LIVE, Origin.IMPORT])
        await tell(pool, case_id(number), *facts, origin=origin)
    return await messages(pool, "case-%")


@pytest.mark.parametrize("seed", range(6))
async def test_duplicates_and_other_batches_change_nothing(pool, clock, seed):
    """However the log is cut, permuted, repeated and rewound, whichever worker gets what: it gives what the pure fold gives."""
    batch = await some_history(pool, seed)
    rng = random.Random(seed)
    workers = [Assessor(pool, RULEBOOK, clock) for _ in range(2)]
    at = 0
    while at < len(batch):
        size = rng.randrange(1, 6)
        piece = batch[at : at + size]
        again = [m for m in piece for _ in range(rng.choice([1, 1, 2]))]
        rng.shuffle(again)
        await rng.choice(workers).apply(again)
        at += size if rng.random() < 0.7 else -min(at, 4)
    for number in range(4):
        assert await data_of(pool, case_id(number)) == await folded(pool, case_id(number))
    before = await pool.fetchval("select count(*) from eventlog.events")
    await Assessor(pool, RULEBOOK, clock).apply(batch)
    assert await pool.fetchval("select count(*) from eventlog.events") == before


async def test_a_redelivered_message_touches_nothing(pool, assessor):
    """What was seen is not even looked at again: the stored case stays as it is, and nothing is counted."""
    await tell(pool, A, opened(), said(), said(Answer.NO))
    batch = await messages(pool)
    await assessor.apply(batch)
    before = await pool.fetchrow("select * from criteria.case_state")
    await assessor.apply(batch[1:2])
    assert await pool.fetchrow("select * from criteria.case_state") == before
    assert assessor.counts.events == 3


async def test_a_gap_is_read_from_the_store(pool, assessor):
    """When Kafka skips versions, they are read in the event store; what comes late was seen."""
    await tell(pool, A, opened(), said(), NOTE, said(Answer.NO))
    one, two, three, four = await messages(pool)
    await assessor.apply([one, three, four, two])
    assert await data_of(pool, A) == await folded(pool, A)
    assert len(await assessments(pool, A)) == 3


async def test_a_lost_beginning_is_read_from_the_store(pool, assessor):
    """A consumer that starts in the middle of a case assesses it from its opening."""
    await tell(pool, A, opened(), said(), NOTE)
    await assessor.apply((await messages(pool))[2:])
    assert await data_of(pool, A) == await folded(pool, A)


@pytest.mark.parametrize(
    "damage",
    [
        "delete from criteria.case_state",
        "update criteria.case_state set format = 0",
        """update criteria.case_state set state = '{"young": true}'""",
    ],
)
async def test_the_tables_can_be_built_again(pool, assessor, clock, damage):
    """When the tables are lost, or of an older format, the history is read again and nothing is assessed twice."""
    await tell(pool, A, opened(), said())
    await tell(pool, B, opened(9))
    await assessor.apply(await messages(pool))
    before = await data_of(pool, A), await data_of(pool, B)
    await pool.execute(damage)
    await tell(pool, A, NOTE, start=2)
    assessor = Assessor(pool, RULEBOOK, clock)  # one that remembers nothing either
    await assessor.apply(await messages(pool, "case-%"))
    assert (await data_of(pool, A), await data_of(pool, B)) == before
    await tell(pool, A, said(Answer.NO), start=3)
    await assessor.apply(await messages(pool, "case-%"))
    assert await data_of(pool, A) == await folded(pool, A)


async def test_two_workers_at_once(pool, clock):
    """After a rebalance two workers may hold the same messages: together they assess each change once."""
    await tell(pool, A, opened(), said(), said(Answer.NO), said(), CLOSED)
    await tell(pool, B, opened(9), CLOSED)
    batch = await messages(pool)
    workers = [Assessor(pool, RULEBOOK, clock) for _ in range(4)]
    await asyncio.gather(*(worker.apply(batch[: n + 4]) for n, worker in enumerate(workers)))
    for case in (A, B):
        assert await data_of(pool, case) == await folded(pool, case)


async def test_a_stale_worker_cannot_overwrite(pool, assessor):
    """A worker that loaded a case before another one changed it is refused, and writes nothing."""
    await tell(pool, A, opened(), said())
    batch = await messages(pool)
    await assessor.apply(batch[:1])
    async with pool.acquire() as connection:
        old = (await store.load(connection, [A], {}))[A]
        await assessor.apply(batch[1:])
        with pytest.raises(store.StaleCaseError):
            await store.save(connection, [store.Change(A, old, old.file, old.assessment_version)])
        new = replace(old, changed_at=None)
        with pytest.raises(store.StaleCaseError):
            await store.save(connection, [store.Change(A, new, old.file, 0)])
        assert (await store.load(connection, [A], {}))[A].version == 2


async def test_a_worker_that_remembers_a_case_sees_what_others_wrote(pool, clock):
    """After two rebalances the first worker's memory is of an older row, or of a row that is gone: neither counts."""
    await tell(pool, A, opened(), said(), said(Answer.NO))
    one, two, three = await messages(pool)
    first, second = (Assessor(pool, RULEBOOK, clock) for _ in range(2))
    await first.apply([one])
    await second.apply([two])
    await first.apply([three])
    assert await data_of(pool, A) == await folded(pool, A)
    await pool.execute("delete from criteria.case_state")
    await tell(pool, A, said(), start=3)
    await first.apply(await messages(pool, "case-%"))
    assert await data_of(pool, A) == await folded(pool, A)


async def test_a_fact_about_nothing_the_rules_ask_writes_only_how_far_the_case_is(pool, assessor, clock):
    """A note leaves the two documents of the row as they are; whoever reads the row knows that it was seen."""
    await tell(pool, A, opened(), NOTE, NOTE)
    first, *notes = await messages(pool)
    await assessor.apply([first])
    written = "select state, assessment from criteria.case_state"
    before = await pool.fetchrow(written)
    await assessor.apply(notes)
    assert await pool.fetchrow(written) == before
    async with pool.acquire() as connection:
        (stored,) = (await store.load(connection, [A], {})).values()
    assert (stored.version, stored.file.state.version) == (3, 3)


async def test_a_row_that_was_written_again_is_read_again(pool, assessor, clock):
    """What is remembered of a case ends with the row it was read from, even when the case stands at the same version."""
    await tell(pool, A, opened(), said())
    await assessor.apply((await messages(pool))[:1])
    await pool.execute(
        "update criteria.case_state set state = jsonb_set(state, '{case_number}', '\"9\"'), changed_at = clock_timestamp()"
    )
    await assessor.apply(await messages(pool, "case-%"))
    assert (await assessments(pool, A))[-1].data.case_number == "9"


# ── poison ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_poison_event_quarantines_only_its_case(pool, assessor):
    """The case of an unreadable event stops there, a person is paged once, every other case goes on."""
    await tell(pool, A, opened(), said(), said(Answer.NO), NOTE)
    await tell(pool, B, opened(), said())
    batch = await messages(pool)
    batch[1] = broken(batch[1])
    await assessor.apply(batch[:3])
    await assessor.apply(batch[3:])
    assert len(await assessments(pool, A)) == 1
    assert [e.data.worrying for e in await assessments(pool, B)] == [False, True]
    (page,) = await open_pages(pool)
    assert (str(A) in page.text, page.times, page.lasting) == (True, 1, True)
    (case,) = await store.quarantined(pool)
    assert (case.case_id, case.messages, case.error_class) == (A, 3, "ValidationError")
    assert assessor.counts.parked == 3
    assert await pool.fetchval("select next_offset from kernel.consumer_progress") == 6


async def test_a_parked_message_is_kept_whole(pool, assessor):
    """What was set aside can be looked at: value and headers as they came."""
    await tell(pool, A, opened())
    message = broken((await messages(pool))[0])
    await assessor.apply([message])
    row = await pool.fetchrow("select * from criteria.parked")
    assert (row["value"], row["stream_version"]) == (message.value, 1)
    assert len(orjson.loads(row["headers"])) == len(message.headers)


async def test_a_quarantined_case_is_resumed_from_the_store(pool, assessor):
    """Resuming reads the stream in the event store, assesses what waited, and later messages flow again."""
    await tell(pool, A, opened(), said(), NOTE)
    batch = await messages(pool)
    await assessor.apply([batch[0], broken(batch[1]), batch[2]])
    assert await assessor.resume(A) == 3
    assert await data_of(pool, A) == await folded(pool, A)
    assert (await store.quarantined(pool), await open_pages(pool)) == ([], [])
    await tell(pool, A, said(Answer.NO), start=3)
    await assessor.apply(await messages(pool, "case-%"))
    assert await data_of(pool, A) == await folded(pool, A)


async def test_a_case_that_is_still_poison_stays_in_quarantine(pool, assessor):
    """Resuming a case whose stored event still cannot be read is refused, and says which version it is."""
    await tell(pool, A, opened())
    await spoil(pool, A, 2, "case.circumstance_reported.v1")
    await assessor.apply(await messages(pool, "case-%"))
    with pytest.raises(StillPoisonError, match="after version 1"):
        await assessor.resume(A)
    assert len(await store.quarantined(pool)) == 1


async def test_a_gap_that_holds_poison_quarantines_the_case(pool, assessor):
    """Reading a gap in the store may find the poison there: as far as readable, then quarantine."""
    await tell(pool, A, opened(), said())
    await spoil(pool, A, 3, "case.circumstance_reported.v1")
    await tell(pool, A, NOTE, start=3)
    one, *_, four = await messages(pool, "case-%")
    await assessor.apply([one, four])
    assert [e.data.worrying for e in await assessments(pool, A)] == [False, True]
    assert len(await store.quarantined(pool)) == 1


async def test_an_unknown_type_is_skipped_and_counted(pool, assessor):
    """A newer event type stops nothing, whether it comes by Kafka or is met in the store."""
    for case in (A, B):
        await tell(pool, case, opened())
        await spoil(pool, case, 2, "case.teleported.v1")
        await tell(pool, case, said(), start=2)
    batch = await messages(pool, "case-%")
    await assessor.apply([m for m in batch if m.key == str(A).encode()])
    await assessor.apply([m for m in batch if m.key == str(B).encode()][2:])
    for case in (A, B):
        assert [e.data.worrying for e in await assessments(pool, case)] == [False, True]
    assert assessor.counts.skipped == 2
    assert await store.quarantined(pool) == []


@pytest.mark.parametrize(
    ("key", "given"),
    [
        (str(A).encode(), ((b"ce_stream", b"\xff"),)),
        (str(A).encode(), ()),
        (b"\xff", ()),
        (b"", (("ce_stream", b"case-nobody"), ("ce_streamversion", b"1"))),
        (str(A).encode(), (("ce_stream", f"case-{A}".encode()), ("ce_streamversion", b"first"))),
    ],
)
async def test_a_message_without_sense_is_set_aside(pool, assessor, key, given):
    """A message whose headers say nothing is parked under its key's case, or under none, and a person is paged."""
    given = tuple((n.decode() if isinstance(n, bytes) else n, v) for n, v in given)
    await tell(pool, B, opened(9))
    batch = await messages(pool)
    await assessor.apply([Message("case-events", 1, 7, key, b"?", given), *batch])
    (case,) = await store.quarantined(pool)
    assert case.case_id == (A if key == str(A).encode() else None)
    assert len(await open_pages(pool)) == 1
    assert len(await assessments(pool, B)) == 1


async def test_an_event_that_the_store_does_not_hold(pool, assessor):
    """A version beyond the store's own stops the case: Kafka and the store disagree."""
    await tell(pool, A, opened(), said(), NOTE)
    last = (await messages(pool))[-1]
    foreign = [(n, b"9" if n == "ce_streamversion" else v) for n, v in last.headers]
    await assessor.apply([last._replace(headers=tuple(foreign))])
    (case,) = await store.quarantined(pool)
    assert case.error_class == "MissingEventError"


async def test_an_error_of_the_assessment_quarantines_too(pool, assessor, monkeypatch):
    """Whatever the pure code raises for one event is that case's matter alone."""

    def failing(file, event, rules, now):
        if event.subject == str(A):
            raise ZeroDivisionError
        return advance(file, event, rules, now)

    monkeypatch.setattr("services.criteria.work.advance", failing)
    await tell(pool, A, opened())
    await tell(pool, B, opened(9))
    await assessor.apply(await messages(pool))
    (case,) = await store.quarantined(pool)
    assert (case.case_id, case.error_class) == (A, "ZeroDivisionError")
    assert len(await assessments(pool, B)) == 1


# ── timers ──────────────────────────────────────────────────────────────────────────────────────────────────

DUE = T0 + timedelta(hours=4)


async def test_a_timer_raises_urgency_without_an_event(pool, assessor, clock):
    """When the dose is due, the case is assessed by the clock alone, once, by whichever process is there."""
    await tell(pool, A, opened(), said(due=DUE))
    await assessor.apply(await messages(pool))
    assert await assessor.fire_timers() == 0
    clock.time = DUE
    workers = [Assessor(pool, RULEBOOK, clock) for _ in range(3)]
    assert sum(await asyncio.gather(*(worker.fire_timers() for worker in workers))) == 1
    last = (await assessments(pool, A))[-1]
    assert isinstance(last.data, AssessmentChanged)
    assert last.data.changes == ("medication_overdue[0]: false → true",)
    assert (last.time, last.cause.actor, last.cause.origin, last.cause.causation_id) == (
        DUE,
        "criteria",
        Origin.LIVE,
        None,
    )
    assert await pool.fetchval("select count(*) from criteria.timer") == 0


async def test_a_timer_without_a_reason_fires_once(pool, assessor, clock):
    """A timer that finds nothing to say, as after a step of the clock, is gone nevertheless."""
    await tell(pool, A, opened())
    await assessor.apply(await messages(pool))
    await pool.execute("insert into criteria.timer (case_id, due_at) values ($1, $2)", A, T0)
    assert await assessor.fire_timers() == 1
    assert await assessor.fire_timers() == 0
    assert len(await assessments(pool, A)) == 1


async def test_a_timer_goes_when_its_reason_goes(pool, assessor):
    """A closed case waits for no dose; a later dose moves the timer."""
    await tell(pool, A, opened(), said(due=DUE))
    await assessor.apply(await messages(pool, "case-%"))
    await tell(pool, A, said(due=DUE + timedelta(hours=1)), start=2)
    await assessor.apply(await messages(pool, "case-%"))
    assert await pool.fetchval("select due_at from criteria.timer") == DUE + timedelta(hours=1)
    await tell(pool, A, CLOSED, start=3)
    await assessor.apply(await messages(pool, "case-%"))
    assert await pool.fetchval("select count(*) from criteria.timer") == 0


async def test_a_timer_goes_with_the_report_that_asked_for_it(pool, assessor):
    """A dose that was never due, for nobody is said any more to need it, wakes nobody."""
    await tell(pool, A, opened(), said(due=DUE), CircumstanceRetracted(event_id=event_id(A, 2), reason=BOX))
    *earlier, retraction = await messages(pool)
    await assessor.apply(earlier)
    assert await pool.fetchval("select count(*) from criteria.timer") == 1
    await assessor.apply([retraction])
    assert await pool.fetchval("select count(*) from criteria.timer") == 0


async def test_imported_cases_have_no_timer(pool, assessor):
    """History never acts by the clock; a live fact on an imported case does."""
    due = circumstance(MEDICATION, due=DUE)
    await tell(pool, A, opened(circumstances=[due]), origin=Origin.IMPORT)
    await assessor.apply(await messages(pool, "case-%"))
    assert await pool.fetchval("select count(*) from criteria.timer") == 0
    await tell(pool, A, NOTE, start=1)
    await assessor.apply(await messages(pool, "case-%"))
    assert await pool.fetchval("select count(*) from criteria.timer") == 1


async def test_a_timer_of_a_quarantined_case_waits(pool, assessor, clock):
    """The clock does not judge a case of which something is not known yet."""
    await tell(pool, A, opened(), said(due=DUE), CLOSED)
    batch = await messages(pool)
    await assessor.apply([*batch[:2], broken(batch[2])])
    clock.time = DUE
    assert await assessor.fire_timers() == 0
    await assessor.resume(A)
    assert await assessor.fire_timers() == 0
    assert not (await assessments(pool, A))[-1].data.medication_overdue


async def test_a_timer_of_another_format_reads_the_store(pool, assessor, clock):
    """A timer that outlives an upgrade finds its case in the event store."""
    await tell(pool, A, opened(), said(due=DUE))
    await assessor.apply(await messages(pool))
    await pool.execute("update criteria.case_state set format = 0")
    clock.time = DUE
    assert await assessor.fire_timers() == 1
    assert [e.data.medication_overdue for e in await assessments(pool, A)] == [(), (), (0,)]


@pytest.mark.parametrize("step", [timedelta(hours=-3), timedelta(hours=3), timedelta(days=400)])
async def test_a_clock_that_steps_loses_no_timer(pool, clock, step):
    """Whatever the clock does between, and whoever is restarted: once it shows the dose's time, the dose is overdue once."""
    await tell(pool, A, opened(), said(due=DUE))
    await Assessor(pool, RULEBOOK, clock).apply(await messages(pool))
    clock.time = T0 + step
    for _ in range(3):
        await Assessor(pool, RULEBOOK, clock).fire_timers()
    assert (await assessments(pool, A))[-1].data.medication_overdue == ((0,) if clock.time >= DUE else ())
    clock.time = DUE - timedelta(minutes=1)
    await Assessor(pool, RULEBOOK, clock).fire_timers()
    clock.time = DUE
    await Assessor(pool, RULEBOOK, clock).fire_timers()
    found = await assessments(pool, A)
    assert [e.data.medication_overdue for e in found] == [(), (), (0,)]


async def test_a_dose_in_the_night_of_summer_time(pool, assessor, clock):
    """At 02:00 the clocks jump to 03:00; a dose at 03:30 summer time is due half an hour later, not an hour and a half."""
    due = datetime.fromisoformat("2021-03-28T03:30:00+02:00")
    clock.time = datetime.fromisoformat("2021-03-28T01:59:59+01:00")
    await tell(pool, A, opened(), said(due=due))
    await assessor.apply(await messages(pool))
    clock.time += timedelta(minutes=30)
    assert await assessor.fire_timers() == 0
    clock.time += timedelta(seconds=1)
    assert await assessor.fire_timers() == 1
    assert (await assessments(pool, A))[-1].data.medication_overdue == (0,)


# ── rules come into force ───────────────────────────────────────────────────────────────────────────────────

LATER = RULES.model_copy(update={"version": "LATER", "age_limit": 12, "in_force": date(2021, 3, 5)})
TWO = replace(RULEBOOK, versions=(RULES, LATER), zone=ZoneInfo("Europe/Brussels"))


async def test_rules_that_come_into_force_reach_open_cases(pool, clock):
    """At midnight of their day, and once, without any event; closed and imported cases keep what was said of them."""
    await tell(pool, A, opened(12))
    await tell(pool, B, opened(12), CLOSED)
    await tell(pool, C, opened(12), origin=Origin.IMPORT)
    await Assessor(pool, TWO, clock).apply(await messages(pool))
    clock.time = datetime(2021, 3, 4, 22, 59, 59, tzinfo=UTC)
    assert await Assessor(pool, TWO, clock).fire_timers() == 0
    clock.time += timedelta(seconds=1)
    workers = [Assessor(pool, TWO, clock) for _ in range(3)]
    assert sum(await asyncio.gather(*(worker.fire_timers() for worker in workers))) == 1
    last = (await assessments(pool, A))[-1]
    assert last.data.changes[:2] == ("worrying: true → false", "rules: MD-2002-02-20 → LATER")
    assert last.data.because is None
    assert [len(await assessments(pool, case)) for case in (A, B, C)] == [2, 2, 1]
    assert await Assessor(pool, TWO, clock).fire_timers() == 0


async def test_a_pin_taken_back_reaches_open_cases_too(pool, clock):
    """Pinning an earlier version takes back what the later one changed; also a case that nothing is said of is seen once."""
    await tell(pool, A, opened(12))
    await tell(pool, B, opened(6, kind=CaseKind.INTERNATIONAL_PARENTAL_ABDUCTION, details=PREVENTIVE))
    late = Assessor(pool, replace(TWO, pinned=LATER), clock)
    await late.begin()
    await late.apply(await messages(pool))
    for pin in (RULES, LATER):
        pinned = Assessor(pool, replace(TWO, pinned=pin), clock)
        await pinned.begin()
        assert [await pinned.fire_timers() for _ in range(2)] == [2, 0]
    assert [e.data.rules for e in await assessments(pool, A)] == ["LATER", RULES.version, "LATER"]


async def test_workers_of_two_versions_do_not_argue(pool, clock):
    """During a rolling upgrade only those workers look again whose rules were the last to begin to act."""
    await tell(pool, A, opened(12))
    old, new = (Assessor(pool, replace(TWO, pinned=rules), clock) for rules in (RULES, LATER))
    await old.begin()
    await old.apply(await messages(pool))
    await new.begin()
    assert [await worker.fire_timers() for worker in (old, new, old, new, old)] == [0, 1, 0, 0, 0]
    assert len(await assessments(pool, A)) == 2


async def test_rules_that_acted_may_not_change_their_content(pool, clock):
    """The same version must give the same bytes for ever: a changed file stops the start and says what to do."""
    await Assessor(pool, RULEBOOK, clock).begin()
    await Assessor(pool, RULEBOOK, clock).begin()
    changed = replace(RULEBOOK, versions=(RULES.model_copy(update={"age_limit": 14}),))
    with pytest.raises(RulesError, match=r"rules MD-2002-02-20: .*a version of its own"):
        await Assessor(pool, changed, clock).begin()


async def test_the_clock_passes_over_a_case_that_cannot_be_read(pool, assessor, clock):
    """A case whose history cannot be read any more holds up no other timer: a person is paged, once."""
    await tell(pool, A, opened())
    await assessor.apply(await messages(pool))
    await spoil(pool, A, 2, "case.circumstance_reported.v1")
    await pool.execute("update criteria.case_state set format = 0, rules = 'others'")
    assert [await assessor.fire_timers() for _ in range(2)] == [1, 0]
    (page,) = await open_pages(pool)
    assert (str(A) in page.text, page.times) == (True, 1)


# ── the whole way ───────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Ground:
    """A relay at work on real servers, and what a service is given."""

    pool: asyncpg.Pool
    runtime: Runtime
    relaying: asyncio.Task[None]


@pytest.fixture
async def ground(settings_with_kafka, pool):
    async with relaying(settings_with_kafka) as relay:
        yield Ground(pool, Runtime("criteria", settings_with_kafka, pool), relay)


async def test_from_the_store_through_kafka_to_the_assessment(ground):
    """Relay, Kafka and the stream processor: a reported fact becomes an assessment, a due dose another one."""
    pool, runtime, clock = ground.pool, ground.runtime, Hands()
    assessor = Assessor(pool, RULEBOOK, clock)
    parts = [
        asyncio.create_task(
            run_stream(
                criteria_stream(runtime.settings, assessor), runtime, partial(is_overdue, pool, CONSUMER)
            )
        ),
        asyncio.create_task(run_timers(assessor, runtime, 0.05)),
        asyncio.create_task(run_reports(assessor, runtime, 0.05)),
    ]
    await tell(pool, A, opened(), said(due=DUE))
    await tell(pool, B, opened(9))
    await _until(pool, [A, A, B], [ground.relaying, *parts])
    clock.time = DUE
    await _until(pool, [A, A, A, B], [ground.relaying, *parts])
    assert (await assessments(pool, A))[-1].data.medication_overdue == (0,)
    assert runtime.progress["events"] == 3
    runtime.stop.set()
    await asyncio.wait_for(asyncio.gather(*parts), 20)


async def test_the_service_starts_stops_and_goes_on(ground):
    """The whole service ends when asked, and its successor goes on where it was, assessing nothing twice."""
    pool = ground.pool
    for version, expected in ((0, [A]), (1, [A, A])):
        runtime = Runtime("criteria", ground.runtime.settings, pool)
        service = asyncio.create_task(serve(runtime))
        await tell(pool, A, *([opened()] if version == 0 else [said()]), start=version)
        await _until(pool, expected, [ground.relaying, service])
        runtime.stop.set()
        await asyncio.wait_for(service, 20)
    assert await data_of(pool, A) == await folded(pool, A)


async def test_wrong_rules_stop_the_start(settings, pool, tmp_path):
    """The service does not start with rules that cannot be read, and says which file it is."""
    (tmp_path / "mine.toml").write_text("version = 3")
    runtime = Runtime("criteria", settings.model_copy(update={"rules": tmp_path}), pool)
    with pytest.raises(RulesError, match=r"mine\.toml: version"):
        await serve(runtime)


async def _until(pool: asyncpg.Pool, cases: Sequence[UUID], parts: Sequence[asyncio.Task[None]]) -> None:
    """Waits until these cases have these assessments, each appended event being one look."""
    async with asyncio.timeout(30):
        while True:
            rows = await pool.fetch("select subject from eventlog.events where stream like 'assessment-%'")
            if sorted(row["subject"] for row in rows) == sorted(map(str, cases)):
                return
            assert not any(part.done() for part in parts)
            await asyncio.sleep(0.02)
