"""Call-outs: commands in, events and messages out, all in one transaction under the lock of the call-out's stream."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from schemas.base import Sealed
from schemas.commands import CallOut, GiveTask, PlacePoster, RecordAnswer, RemovePoster
from schemas.events import EventData, Need, PosterPlaced, VolunteersAsked, VolunteersCalledOut
from schemas.vocabulary import Mode, StandDown
from services.eventlog.store import Append, Cause, NewEvent, append, lock_streams, read_stream
from services.kernel.ids import derived_id, new_id
from services.kernel.postgres import Connection, queries
from services.kernel.problems import ConflictError, NotFoundError, Problem
from services.kernel.vault import context, key_name, seal, unseal
from services.volunteers import photos
from services.volunteers.cases import facts_of
from services.volunteers.desk import Ask, VolunteerDeps
from services.volunteers.domain import callout as domain
from services.volunteers.domain.callout import Callout, Said
from services.volunteers.domain.errors import NotAskedError, VolunteersError
from services.volunteers.planning import plan
from services.volunteers.roster import spot_of

SQL = queries("services.volunteers", "callouts.sql")
MEETING_PLACE = "meeting_place"
CALLED_CHANNEL = "volunteers_called"
Decide = Callable[[Callout], Awaitable[Sequence[EventData]]]
"""What a command makes of a call-out."""


@dataclass(frozen=True, slots=True)
class Work:
    """A command on a call-out: in whose transaction, which has written nothing yet, and why."""

    deps: VolunteerDeps
    connection: Connection
    callout_id: UUID
    cause: Cause

    @property
    def patience(self) -> timedelta:
        """How long a wave has to answer."""
        return timedelta(seconds=self.deps.settings.volunteer_wave_s)


@dataclass(frozen=True, slots=True)
class Done:
    """What a command did: the call-out after it, and the events."""

    state: Callout
    events: Sequence[EventData]


def callout_stream(callout_id: UUID) -> str:
    """Owned by volunteers."""
    return f"callout-{callout_id}"


def _case_lock(case_id: UUID) -> str:
    return f"callouts-of-{case_id}"


async def load(connection: Any, row: Mapping[str, Any]) -> Callout:
    """The call-out of a row, as its events say."""
    state = domain.initial_state(row["callout_id"], exercise=row["exercise"])
    return domain.fold(state, await read_stream(connection, callout_stream(row["callout_id"])))


async def found(source: Any, callout_id: UUID) -> Mapping[str, Any]:
    """The row of a call-out. Raises NotFoundError."""
    row: Mapping[str, Any] | None = await source.fetchrow(SQL["callout"], callout_id)
    if row is None:
        raise NotFoundError("callout", "there is no such call-out; GET /v1/callouts lists them")
    return row


async def execute(work: Work, decide: Decide) -> Done:
    """One command on a call-out that exists. Raises NotFoundError, ConflictError."""
    await lock_streams(work.connection, [callout_stream(work.callout_id)])
    return await execute_locked(work, decide)


async def execute_locked(work: Work, decide: Decide) -> Done:
    """The same, once the stream is locked."""
    connection = work.connection
    row = await found(connection, work.callout_id)
    before = await load(connection, row)
    try:
        events = await decide(before)
    except VolunteersError as error:
        raise _problem(error) from error
    after = before
    for event in events:
        after = domain.evolve(after, event, await connection.fetchval(SQL["moment"]))
    if events:
        await _keep(work, row, before, events)
        await _note(work, after, events)
        await plan(connection, after, events)
        await connection.execute(f"notify {CALLED_CHANNEL}")
    return Done(after, events)


async def _keep(work: Work, row: Mapping[str, Any], before: Callout, events: Sequence[EventData]) -> None:
    stream, case_id = callout_stream(before.callout_id), str(row["case_id"])
    cause = replace(work.cause, mode=Mode.EXERCISE if row["exercise"] else Mode.ACTUAL)
    appends = [Append(stream, case_id, [NewEvent(event) for event in events], cause, before.version)]
    if before.waves == 0 and any(isinstance(event, VolunteersAsked) for event in events):
        counted = NewEvent(VolunteersCalledOut(), derived_id("called-out", before.callout_id))
        appends.append(Append(f"ops-{stream}", case_id, [counted], cause))
    await append(work.connection, appends)


async def _note(work: Work, after: Callout, events: Sequence[EventData]) -> None:
    """The tables that find call-outs, and people who are busy, say what the events say."""
    connection = work.connection
    for event in events:
        if isinstance(event, VolunteersAsked):
            people = [one.volunteer_id for one in event.chosen]
            await connection.execute(SQL["asked"], after.callout_id, people)
    await connection.execute(SQL["coming"], after.callout_id, [] if after.over else after.coming)
    wait = timedelta()
    if after.waiting_for and after.last_wave:
        wait = after.last_wave + work.patience - await connection.fetchval(SQL["moment"])
    await look_again(work, after, max(wait, timedelta()))


async def look_again(work: Work, after: Callout, wait: timedelta) -> None:
    """Notes how far a call-out is, and when to see whether more people must be asked: after `wait`, or never."""
    state = "over" if after.over else "called" if after.need else "standby"
    lacks = not after.over and bool(after.lack)
    await work.connection.execute(SQL["callout_state"], after.callout_id, state, lacks, wait)


def _problem(error: VolunteersError) -> Problem:
    if isinstance(error, NotAskedError):
        return NotFoundError(error.rule, error.detail)
    return ConflictError(error.rule, error.detail)


# ── beginning ───────────────────────────────────────────────────────────────────────────────────────────────


async def begin(connection: Connection, case_id: UUID, alert_id: UUID | None, cause: Cause) -> UUID:
    """The open call-out of a case, a new one if there is none; its stream is locked then.

    Raises NotFoundError for a case that does not exist, ConflictError for one that is closed.
    """
    standing = await connection.fetchval(SQL["callout_of_case"], case_id)
    callout_id: UUID = standing or new_id()
    await lock_streams(connection, [_case_lock(case_id), callout_stream(callout_id)])
    again = await connection.fetchval(SQL["callout_of_case"], case_id)
    if again != standing:
        raise ConflictError(
            "busy", "somebody began a call-out at this moment: look at it", headers={"Retry-After": "1"}
        )
    if standing is None:
        facts = await facts_of(connection, case_id)
        if facts is None:
            raise NotFoundError(
                "no-such-case", "there is no case with this id: take it from the list of cases"
            )
        if not facts.open:
            raise ConflictError("case-closed", "the case is closed: reopen it before calling people out")
        await connection.execute(
            SQL["callout_new"],
            callout_id,
            facts.exercise,
            case_id,
            facts.version,
            alert_id,
            cause.correlation_id,
        )
    return callout_id


async def call_out(
    deps: VolunteerDeps, ask: Ask, connection: Connection, case_id: UUID, wish: CallOut
) -> Done:
    """Calls people out for a case, or says anew who is needed. Raises NotFoundError, ConflictError, InvalidError."""
    municipality, lat, lon = spot_of(wish.postal_code, wish.lat, wish.lon)
    work = Work(deps, connection, await begin(connection, case_id, None, ask.cause), ask.cause)

    async def decide(state: Callout) -> Sequence[EventData]:
        need = Need(
            people=wish.people,
            cars=wish.cars,
            languages=tuple(wish.languages),
            skills=tuple(wish.skills),
            municipality=municipality,
            lat=lat,
            lon=lon,
            by=wish.by,
            spot=await _spot(deps, state, wish.meeting_place),
        )
        return domain.call_out(state, need)

    return await execute_locked(work, decide)


async def _spot(deps: VolunteerDeps, state: Callout, text: str | None) -> Sealed | None:
    """The meeting place, sealed; the same value as before when it is the same place."""
    if text is None:
        return None
    if state.need and state.need.spot:
        before = await opened(deps, state.callout_id, state.need.spot, MEETING_PLACE)
        if before == text:
            return state.need.spot
    return await sealed(deps, state.callout_id, text, MEETING_PLACE)


async def sealed(deps: VolunteerDeps, callout_id: UUID, value: Any, field: str) -> Sealed:
    """A value sealed with the key of the call-out, bound to its stream and to what it is."""
    name = key_name("callout", callout_id)
    key = (await deps.vault.ensure([name]))[name]
    return seal(name, key, value, context(callout_stream(callout_id), callout_id, field))


async def opened(deps: VolunteerDeps, callout_id: UUID, value: Sealed, field: str) -> Any:
    """The value again; None once the key is destroyed."""
    name = key_name("callout", callout_id)
    key = (await deps.vault.find([name])).get(name)
    if key is None:
        return None
    return unseal(value, key, context(callout_stream(callout_id), callout_id, field))


# ── going on ────────────────────────────────────────────────────────────────────────────────────────────────


async def answer(work: Work, who: UUID, said: Said) -> Done:
    """An answer, by whatever way it came. Raises NotFoundError."""

    async def decide(state: Callout) -> Sequence[EventData]:
        return domain.answer(state, who, said)

    return await execute(work, decide)


async def record_answer(work: Work, command: RecordAnswer) -> Done:
    """What somebody said by telephone, written down by a colleague."""
    said = Said(command.reply, command.since, by=work.cause.actor)
    return await answer(work, command.volunteer_id, said)


async def give_task(work: Work, command: GiveTask) -> Done:
    """Something to do for some of those who come."""
    task_id = new_id()

    async def decide(state: Callout) -> Sequence[EventData]:
        places = await sealed(work.deps, work.callout_id, list(command.places), f"places.{task_id}")
        return domain.give_task(state, task_id, command.volunteers, places, command.material)

    return await execute(work, decide)


async def place(work: Work, command: PlacePoster, picture: bytes | None = None) -> Done:
    """Something was put up; listed until it is taken down. `picture`, cleaned, proves it and is kept sealed."""
    poster_id = new_id()
    spot = {"place": command.place, "lat": command.lat, "lon": command.lon}

    async def decide(state: Callout) -> Sequence[EventData]:
        digest = None
        if picture is not None:
            digest = await photos.keep(work.deps, work.connection, work.callout_id, poster_id, picture)
        placed = PosterPlaced(
            callout_id=work.callout_id,
            poster_id=poster_id,
            task_id=command.task_id,
            volunteer_id=command.volunteer_id,
            spot=await sealed(work.deps, work.callout_id, spot, f"spot.{poster_id}"),
            at=command.at,
            photo=digest,
        )
        return domain.place(state, placed)

    return await execute(work, decide)


async def take_down(work: Work, poster_id: UUID, command: RemovePoster) -> Done:
    """It hangs there no longer."""

    async def decide(state: Callout) -> Sequence[EventData]:
        return domain.take_down(state, poster_id, command.volunteer_id, command.at)

    return await execute(work, decide)


async def stand_down(work: Work, reason: StandDown) -> Done:
    """The end."""

    async def decide(state: Callout) -> Sequence[EventData]:
        return domain.stand_down(state, reason)

    return await execute(work, decide)
