"""The use cases: a batch of messages, timers that ran out, a case that is resumed. Each is one transaction."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar
from uuid import UUID

import structlog

from schemas.upcasters import UnknownEventTypeError
from services.criteria import store
from services.criteria.directive import Rules
from services.criteria.errors import StaleCaseError, StillPoisonError
from services.criteria.recent import RecentCases
from services.criteria.rulebook import Rulebook
from services.criteria.work import Desk, Work
from services.eventlog import wire
from services.eventlog.store import (
    Recorded,
    VersionConflictError,
    assessment_stream,
    lock_streams,
)
from services.kernel.clock import Clock
from services.kernel.messages import Message, record_progress
from services.kernel.paging import all_clear, page
from services.kernel.postgres import Connection, Pool, in_transaction

CONSUMER = "criteria"
TIMERS_AT_ONCE = 100
_TRIES = 5
_PREFIX = "case-"
_ADVICE = (
    "Its assessment stands still, every other case goes on. Judge the case by hand, mend the cause, then run"
    " `zoeklicht criteria resume` with its id."
)

T = TypeVar("T")
log = structlog.get_logger()


@dataclass(slots=True)
class Counts:
    """What was done since the start, for the heartbeat."""

    events: int = 0
    assessed: int = 0
    parked: int = 0
    skipped: int = 0
    timers: int = 0

    def add(self, other: "Counts") -> None:
        """Counts what was committed."""
        self.events += other.events
        self.assessed += other.assessed
        self.parked += other.parked
        self.skipped += other.skipped
        self.timers += other.timers


class Letter(NamedTuple):
    """A message, read as far as possible. `event` None without `poison`: of an unknown type.

    `case_id` None without `poison`: about something else than a case.
    """

    message: Message
    case_id: UUID | None = None
    version: int | None = None
    event: Recorded | None = None
    poison: str | None = None


@dataclass(slots=True)
class _Batch:
    """What a transaction does with its letters."""

    counts: Counts = field(default_factory=Counts)
    parked: list[store.Parked] = field(default_factory=list)
    pages: dict[UUID | str, str] = field(default_factory=dict)
    """By case, or by the place of a message that does not say which case it is about."""


def read_letter(message: Message) -> Letter:
    """Reads a message; by its headers alone when it is not about the stream of a case. Never raises."""
    try:
        attributes = wire.attributes(message.headers)
        stream = attributes["stream"]
        if not stream.startswith(_PREFIX):
            return Letter(message)
        case_id = UUID(stream[len(_PREFIX) :])
        version = wire.version_of(attributes)
    except (wire.WireError, KeyError, ValueError) as error:
        return Letter(message, _case_of_key(message.key), poison=type(error).__name__)
    try:
        return Letter(message, case_id, version, wire.event(attributes, message.value))
    except UnknownEventTypeError:
        return Letter(message, case_id, version)
    except Exception as error:  # whatever it is, it is this message's fault
        return Letter(message, case_id, version, poison=type(error).__name__)


def _case_of_key(key: bytes) -> UUID | None:
    try:
        return UUID(key.decode("ascii"))
    except ValueError:
        return None


class Assessor:
    """Assesses cases and remembers them. Several may run, in several processes."""

    def __init__(self, pool: Pool, rulebook: Rulebook, clock: Clock) -> None:
        self._pool = pool
        self._rulebook = rulebook
        self._clock = clock
        self._acting: str | None = None
        self._recent = RecentCases()
        self.counts = Counts()

    async def apply(self, messages: Sequence[Message]) -> None:
        """Reads a batch and works on it."""
        await self.work_on([read_letter(message) for message in messages])

    async def work_on(self, letters: Sequence[Letter]) -> None:
        """Works on a batch and commits: all of it, or an error of the infrastructure and nothing."""
        cases = {letter.case_id for letter in letters if letter.case_id is not None}

        async def one(connection: Connection, work: Work) -> Counts:
            batch = _Batch()
            for letter in letters:
                await _deliver(work, letter, batch)
            batch.counts.assessed = await work.write()
            batch.counts.skipped = work.skipped
            await _set_aside(connection, batch)
            await record_progress(connection, CONSUMER, [letter.message for letter in letters])
            return batch.counts

        self.counts.add(await self._transaction(cases, one))

    async def begin(self) -> None:
        """Notes which rules act. Raises RulesError when they acted before with another content."""
        await self._act_by(self._rulebook.in_force(self._clock.now()))

    async def _act_by(self, rules: Rules) -> None:
        if self._acting != rules.version:
            await store.act_by(self._pool, rules)
            self._acting = rules.version
            log.info("rules act", rules=rules.version)

    async def fire_timers(self) -> int:
        """Looks at the cases whose time has come: a dose is due, or other rules came into force; returns how many."""
        now = self._clock.now()
        rules = self._rulebook.in_force(now)
        await self._act_by(rules)
        due = await store.due_cases(self._pool, now, rules.version, TIMERS_AT_ONCE)
        if not due:
            return 0

        async def one(connection: Connection, work: Work) -> Counts:
            timed = set(await store.claim_due(connection, due, now))
            ruled = {c for c in due if work.desks[c].file.rules != rules.version}
            claimed = sorted(c for c in timed | ruled if not work.desks[c].before.parked)
            for desk in (work.desks[case_id] for case_id in claimed):
                if desk.version == 0:  # its row is of another format
                    await work.catch_up(desk)
                if desk.poison is None:
                    work.tick(desk)
                else:
                    work.pass_over(desk)
                    text = f"the clock cannot look at case {desk.case_id}: its history gives {desk.poison}. {_ADVICE}"
                    await page(connection, _matter(desk.case_id), text, lasting=True)
            assessed = await work.write()
            await work.set_timers(claimed)
            return Counts(assessed=assessed, timers=len(claimed))

        counts = await self._transaction(due, one)
        self.counts.add(counts)
        return counts.timers

    async def resume(self, case_id: UUID) -> int:
        """Takes a case out of quarantine by reading its stream in the event store; returns its version.

        Raises StillPoisonError when it holds an event that still cannot be read or assessed: it stays in quarantine.
        """

        async def one(connection: Connection, work: Work) -> int:
            desk = work.desks[case_id]
            await work.catch_up(desk)
            if desk.poison is not None:
                raise StillPoisonError(case_id, desk.version, desk.poison)
            await store.unpark(connection, case_id)
            await all_clear(connection, [_matter(case_id)])
            await work.write()
            return desk.version

        version = await self._transaction([case_id], one)
        log.info("case resumed", case_id=str(case_id), version=version)
        return version

    async def _transaction(
        self, cases: Iterable[UUID], work: Callable[[Connection, Work], Awaitable[T]]
    ) -> T:
        """Runs `work` on cases whose assessment streams are locked; does it again when another worker was faster."""
        cases = sorted(cases)
        remembered = self._recent.known(cases)
        for attempt in range(1, _TRIES + 1):

            async def one(connection: Connection, from_log: bool = attempt > 1) -> tuple[T, Work]:
                await lock_streams(connection, [assessment_stream(case_id) for case_id in cases])
                desk_work = Work(connection, self._rulebook, self._clock.now())
                await desk_work.load(cases, remembered, from_log=from_log)
                return await work(connection, desk_work), desk_work

            try:
                done, of_cases = await in_transaction(self._pool, one)
            except (VersionConflictError, StaleCaseError):
                if attempt == _TRIES:
                    raise
            else:
                self._recent.keep(of_cases.written)
                return done
        raise AssertionError("unreachable")


async def _deliver(work: Work, letter: Letter, batch: _Batch) -> None:
    """One message in its turn: seen before, next, after a gap, or to be set aside."""
    if letter.case_id is None:
        if letter.poison is not None:
            _park(batch, letter, letter.poison, newly=True)
        return
    desk = work.desks[letter.case_id]
    if letter.version is not None and letter.version <= desk.version:
        return
    if desk.before.parked or desk.poison is not None:
        _park(batch, letter, desk.poison or "Parked", newly=False)
        return
    await _read(work, desk, letter)
    if desk.poison is None:
        batch.counts.events += 1
    else:
        _park(batch, letter, desk.poison, newly=True)


async def _read(work: Work, desk: Desk, letter: Letter) -> None:
    version = letter.version
    if version is not None and version > desk.version + 1:
        await work.catch_up(desk, up_to=version)
    elif letter.poison is not None or version is None:
        desk.poison = letter.poison
    else:
        work.take(desk, version, letter.event)


def _park(batch: _Batch, letter: Letter, error_class: str, *, newly: bool) -> None:
    batch.parked.append(store.Parked(letter.message, letter.case_id, letter.version, error_class))
    batch.counts.parked += 1
    if newly:
        where = f"{letter.message.topic}/{letter.message.partition}/{letter.message.offset}"
        batch.pages[letter.case_id or where] = f"{where} gives {error_class}. {_ADVICE}"


async def _set_aside(connection: Connection, batch: _Batch) -> None:
    if batch.parked:
        await store.park(connection, batch.parked)
    for what, text in batch.pages.items():
        if isinstance(what, UUID):
            await page(connection, _matter(what), f"case {what} is in quarantine: {text}", lasting=True)
        else:
            await page(connection, f"criteria: message {what}", f"message {what} is set aside: {text}")


def _matter(case_id: UUID) -> str:
    """What a person is paged about; over when the case is resumed."""
    return f"criteria: case {case_id}"
