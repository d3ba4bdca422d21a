"""One transaction's work on some cases: loaded together, advanced in memory, written together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import structlog

from schemas.events import AssessmentChanged
from schemas.upcasters import UnknownEventTypeError
from schemas.vocabulary import Origin
from services.criteria import store
from services.criteria.domain import CaseFile, advance, has_times, next_evaluation, reassess
from services.criteria.errors import MissingEventError
from services.criteria.rulebook import Rulebook
from services.eventlog.store import (
    Append,
    Cause,
    NewEvent,
    Recorded,
    append,
    as_text,
    assessment_stream,
    case_stream,
    read_stream,
)
from services.kernel.ids import derived_id
from services.kernel.postgres import Connection

ACTOR = "criteria"
log = structlog.get_logger()


@dataclass(slots=True)
class Desk:
    """A case on the desk. `poison`: why it goes no further."""

    case_id: UUID
    before: store.Stored
    file: CaseFile
    assessment_version: int
    poison: str | None = None
    appends: list[Append] = field(default_factory=list)
    said: str | None = None
    """The assessment that was appended last, as it is written."""

    @property
    def version(self) -> int:
        """The last version of the case's stream that was seen."""
        return self.file.state.version

    @property
    def touched(self) -> bool:
        """Whether there is anything to write."""
        return self.file is not self.before.file

    @property
    def may_have_a_timer(self) -> bool:
        """Whether the clock has, or had, anything to say about the case."""
        known = self.before.readable
        return not known or has_times(self.before.file.state) or has_times(self.file.state)


class Work:
    """Cases in one transaction that has locked their assessment streams. `now` is the wall clock."""

    def __init__(self, connection: Connection, rulebook: Rulebook, now: datetime) -> None:
        self._connection = connection
        self._rulebook = rulebook
        self._now = now
        self.desks: dict[UUID, Desk] = {}
        self.written: dict[UUID, store.Stored] = {}
        self.skipped = 0

    async def load(
        self, case_ids: Sequence[UUID], remembered: Mapping[UUID, store.Stored], *, from_log: bool = False
    ) -> None:
        """Puts cases on the desk. `from_log`: the assessment that stands is taken from the event store."""
        for case_id, stored in (await store.load(self._connection, case_ids, remembered)).items():
            desk = Desk(case_id, stored, stored.file, stored.assessment_version)
            if from_log or not stored.readable:
                past = await read_stream(self._connection, assessment_stream(case_id))
                desk.assessment_version = past[-1].version if past else 0
                latest = past[-1].data if past else None
                assert latest is None or isinstance(latest, AssessmentChanged)  # noqa: S101 - the stream's only type
                desk.file = replace(stored.file, latest=latest)
            self.desks[case_id] = desk

    def take(self, desk: Desk, version: int, event: Recorded | None) -> None:
        """The next event of a case; None: of a type that this process does not know, which is counted and skipped.

        Whatever the pure code raises is this event's fault: the case is poisoned, every other one goes on.
        """
        if event is None:
            self.skipped += 1
            desk.file = replace(desk.file, state=desk.file.state.model_copy(update={"version": version}))
            return
        now = event.time if event.cause.origin is Origin.IMPORT else self._now
        before = desk.file.latest
        try:
            desk.file, changed = advance(desk.file, event, self._rulebook.in_force(now), now)
        except Exception as error:
            desk.poison = type(error).__name__
            return
        if changed is not None:
            event_id = derived_id("assessment", desk.case_id, changed.case_version, changed.rules)
            self._append(desk, before, _derived(changed, event_id, event, now), _cause(event))

    async def catch_up(self, desk: Desk, up_to: int = 0) -> None:
        """Reads on in the event store: what Kafka did not bring, and whatever came after it."""
        stream = case_stream(desk.case_id)
        try:
            for event in await read_stream(self._connection, stream, after=desk.version):
                self._take_next(desk, event.version, event)
        except Exception as error:
            if not _is_content(error):
                raise
            await self._one_by_one(desk, stream)
        if desk.poison is None and desk.version < up_to:
            desk.poison = MissingEventError.__name__

    async def _one_by_one(self, desk: Desk, stream: str) -> None:
        """As far as the events can be read; one of an unknown type is skipped."""
        while desk.poison is None:
            try:
                found = await read_stream(self._connection, stream, after=desk.version, limit=1)
            except UnknownEventTypeError:
                self.take(desk, desk.version + 1, None)
                continue
            except Exception as error:
                if not _is_content(error):
                    raise
                desk.poison = type(error).__name__
                return
            if not found:
                return
            self._take_next(desk, found[0].version, found[0])

    def _take_next(self, desk: Desk, version: int, event: Recorded) -> None:
        if desk.poison is None:
            self.take(desk, version, event)

    def tick(self, desk: Desk) -> None:
        """Lets the clock alone look at a case."""
        before = desk.file.latest
        desk.file, changed = reassess(desk.file, self._rulebook.in_force(self._now), self._now)
        if changed is not None:
            number = desk.assessment_version + 1
            event_id = derived_id(
                "assessment", desk.case_id, changed.case_version, "clock", number, changed.rules
            )
            cause = Cause(actor=ACTOR, correlation_id=str(event_id), mode=desk.file.state.mode)
            self._append(
                desk, before, NewEvent(changed, event_id, time=self._now, text=as_text(changed)), cause
            )

    def pass_over(self, desk: Desk) -> None:
        """Leaves a case that cannot be read as it stands, so that the clock does not come back to it at once."""
        desk.file = replace(desk.file, rules=self._rulebook.in_force(self._now).version)

    def _append(self, desk: Desk, before: AssessmentChanged | None, event: NewEvent, cause: Cause) -> None:
        stream, expected = assessment_stream(desk.case_id), desk.assessment_version
        desk.appends.append(Append(stream, str(desk.case_id), [event], cause, expected))
        desk.assessment_version += 1
        desk.said = event.text
        worrying = desk.file.latest is not None and desk.file.latest.worrying
        # Every other change is in the event itself; a line for each would hide these, and costs as much as to assess.
        if cause.origin is Origin.LIVE and worrying is not (before is not None and before.worrying):
            log.info(
                "the case is worrying" if worrying else "the case is not worrying any more",
                correlation_id=cause.correlation_id,
                case_id=str(desk.case_id),
                version=desk.assessment_version,
            )

    async def write(self) -> int:
        """Appends the assessments, writes the cases, sets their timers; returns how many assessments there were."""
        desks = sorted((d for d in self.desks.values() if d.touched), key=lambda d: d.case_id)
        appends = [one for desk in desks for one in desk.appends]
        if appends:
            await append(self._connection, appends)
        changes = [store.Change(d.case_id, d.before, d.file, d.assessment_version, d.said) for d in desks]
        self.written |= await store.save(self._connection, changes)
        await self.set_timers(d.case_id for d in desks if d.file.state.live and d.may_have_a_timer)
        return len(appends)

    async def set_timers(self, case_ids: Iterable[UUID]) -> None:
        """Notes when the clock alone will change the assessment of these cases."""
        states = {case_id: self.desks[case_id].file.state for case_id in case_ids}
        timers = {case_id: next_evaluation(state, self._now) for case_id, state in states.items()}
        await store.set_timers(self._connection, timers)


def _is_content(error: Exception) -> bool:
    """Whether an error of reading is about what an event says; any other is the infrastructure's."""
    return isinstance(error, ValueError)


def _derived(changed: AssessmentChanged, event_id: UUID, event: Recorded, now: datetime) -> NewEvent:
    if event.cause.origin is Origin.IMPORT:
        return NewEvent(changed, event_id, event.time, event.time, event.imported_time, as_text(changed))
    return NewEvent(changed, event_id, time=now, text=as_text(changed))


def _cause(event: Recorded) -> Cause:
    cause = event.cause
    return Cause(
        actor=ACTOR,
        correlation_id=cause.correlation_id,
        causation_id=str(event.event_id),
        traceparent=cause.traceparent,
        origin=cause.origin,
        mode=cause.mode,
    )
