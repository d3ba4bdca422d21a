"""Standby and its end: what dispatch says of a worrying case becomes messages to the mobile team, in their hours."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from schemas.duty import Desk
from schemas.events import AlertIssued, AlertWithdrawn, AssessmentChanged, EventData
from schemas.vocabulary import AlertKind, Origin, StandDown
from services.eventlog import wire
from services.eventlog.store import (
    Cause,
    Recorded,
    alert_stream,
    assessment_stream,
    read_streams,
    recent_stops,
)
from services.geography.names import name_of
from services.kernel.messages import Message, record_progress
from services.kernel.paging import all_clear, page
from services.kernel.paging.duty import staffed
from services.kernel.postgres import Connection, in_transaction
from services.kernel.problems import ConflictError, NotFoundError
from services.volunteers.callouts import SQL, Work, begin, execute_locked, found, stand_down
from services.volunteers.cases import facts_of
from services.volunteers.desk import VolunteerDeps
from services.volunteers.domain import callout as domain
from services.volunteers.domain.availability import minute_of_week
from services.volunteers.domain.callout import Callout
from services.volunteers.waves import ACTOR

CONSUMER = "volunteers"
_MATTER = "standby"
_TYPES = frozenset({AlertIssued.TYPE, AlertWithdrawn.TYPE})

log = structlog.get_logger()


class Follower:
    """Acts on standby alerts as they come from Kafka. Twice is as good as once."""

    def __init__(self, deps: VolunteerDeps) -> None:
        self._deps = deps

    async def apply(self, batch: Sequence[Message]) -> None:
        """Acts on a batch in order."""
        for message in batch:
            told = _told(message)
            if told.get("type") in _TYPES and told.get("origin") == Origin.LIVE.value:
                await self._one(message, told)
        async with self._deps.pool.acquire() as connection, connection.transaction():
            await record_progress(connection, CONSUMER, batch)

    async def _one(self, message: Message, told: dict[str, str]) -> None:
        try:
            event = wire.event(told, message.value)
            UUID(event.subject)
        except Exception as error:  # whatever it is, it is this message's fault, and no attempt will mend it
            where = f"{message.topic}/{message.partition}/{message.offset}"
            log.exception("alert not read", exc_info=error, message=where)
            text = (
                f"an alert for the mobile team cannot be read ({where} gives {type(error).__name__}), so that nobody was"
                " asked to stand by for it, or told that it ended: look at the board, and call them by hand"
            )
            async with self._deps.pool.acquire() as connection, connection.transaction():
                await page(connection, f"volunteers: message {where}", text)
        else:
            await alerted(self._deps, event)


def _told(message: Message) -> dict[str, str]:
    try:
        return wire.attributes(message.headers)
    except wire.WireError:
        return {}


async def alerted(deps: VolunteerDeps, event: Recorded) -> None:
    """A standby alert began or ended."""
    cause = Cause(ACTOR, event.cause.correlation_id, str(event.event_id), event.cause.traceparent)
    match event.data:
        case AlertIssued(kind=AlertKind.STANDBY) as data:
            await _begin(deps, UUID(event.subject), data.alert_id, cause)
            await inform_unit(deps, UUID(event.subject), data.alert_id)
        case AlertWithdrawn(kind=AlertKind.STANDBY) as data:
            await in_transaction(deps.pool, lambda c: all_clear(c, [f"{_MATTER}:{data.alert_id}"]))
            callout_id = await deps.pool.fetchval(SQL["callout_of_alert"], data.alert_id)
            if callout_id is not None:
                await _end(deps, callout_id, StandDown.NOT_WORRYING, cause)
        case _:
            pass


async def _begin(deps: VolunteerDeps, case_id: UUID, alert_id: UUID, cause: Cause) -> None:
    async def work(connection: Connection) -> None:
        if await connection.fetchval(SQL["callout_of_alert"], alert_id) is not None:
            return
        callout_id = await begin(connection, case_id, alert_id, cause)
        row = await found(connection, callout_id)
        if row["alert_id"] != alert_id:
            return  # people are called out already
        facts = await facts_of(connection, case_id)
        now = await connection.fetchval(SQL["moment"])
        minute = minute_of_week(now.astimezone(deps.settings.zone))
        people = [
            r["volunteer_id"] for r in await connection.fetch(SQL["on_standby"], row["exercise"], minute, now)
        ]

        async def decide(state: Callout) -> Sequence[EventData]:
            return domain.stand_by(state, facts.municipality if facts else None, people)

        await execute_locked(Work(deps, connection, callout_id, cause), decide)

    try:
        await in_transaction(deps.pool, work)
    except (NotFoundError, ConflictError) as error:
        # The case was closed meanwhile, or is not known here after a restore: nobody is to stand by.
        log.info("no standby", case_id=str(case_id), rule=error.rule)


async def inform_unit(deps: VolunteerDeps, case_id: UUID, alert_id: UUID) -> None:
    """Has the Missing Persons Unit's people on duty told, one after the other until somebody acknowledges.

    Only where some are registered, never in an exercise, and not once the standby is withdrawn: a replay wakes nobody.
    """

    async def work(connection: Connection) -> None:
        streams = await read_streams(connection, [alert_stream(alert_id), assessment_stream(case_id)])
        assessed = [
            e.data
            for e in streams.get(assessment_stream(case_id), ())
            if isinstance(e.data, AssessmentChanged)
        ]
        withdrawn = any(isinstance(e.data, AlertWithdrawn) for e in streams.get(alert_stream(alert_id), ()))
        facts = await facts_of(connection, case_id)
        if withdrawn or not assessed or facts is None or facts.exercise:
            return
        if not await staffed(connection, Desk.MISSING_PERSONS_UNIT):
            return
        last = assessed[-1]
        why = ", ".join(sorted({reason.removeprefix("criterion:") for reason in last.reasons}))
        where = name_of(last.municipality, "nl") if last.municipality else "place unknown"
        text = f"case {last.case_number} is worrying ({why}), {where}; contact: 116 000. Acknowledge that you know"
        await page(connection, f"{_MATTER}:{alert_id}", text, lasting=True, desk=Desk.MISSING_PERSONS_UNIT)

    await in_transaction(deps.pool, work)


async def end_with_cases(deps: VolunteerDeps, within: timedelta) -> int:
    """Stands everybody down whose case was closed lately, without waiting for Kafka; returns how many call-outs."""
    stops = [stop for stop in await recent_stops(deps.pool, within) if stop.kind == "case"]
    rows = await deps.pool.fetch(
        SQL["cases_over"], [stop.id for stop in stops], [stop.version for stop in stops]
    )
    for row in rows:
        cause = Cause(ACTOR, (await found(deps.pool, row["callout_id"]))["correlation_id"])
        await _end(deps, row["callout_id"], StandDown.CASE_CLOSED, cause)
    return len(rows)


async def _end(deps: VolunteerDeps, callout_id: UUID, reason: StandDown, cause: Cause) -> None:
    await in_transaction(deps.pool, lambda c: stand_down(Work(deps, c, callout_id, cause), reason))
