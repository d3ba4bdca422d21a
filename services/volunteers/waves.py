"""Asking more people while something is lacking: whom, by distance, load and what they bring; and when."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from schemas.events import EventData, Need, VolunteersAsked
from services.eventlog.store import Cause
from services.kernel.postgres import Connection, in_transaction
from services.volunteers.callouts import SQL, Done, Work, execute, found, look_again
from services.volunteers.desk import VolunteerDeps
from services.volunteers.domain import callout as domain
from services.volunteers.domain.availability import minute_of_week
from services.volunteers.domain.callout import Callout
from services.volunteers.domain.choice import KM_PER_ASKED, KM_PER_OUT, MOST_AT_ONCE, Candidate

ACTOR = "volunteers"
AGAIN = timedelta(seconds=30)

log = structlog.get_logger()


async def ask_more(deps: VolunteerDeps) -> int:
    """Looks at every call-out that may have to ask more people; returns how many were asked."""
    asked = 0
    for row in await deps.pool.fetch(SQL["waves_due"]):
        done = await in_transaction(deps.pool, partial(wave, deps, row["callout_id"]))
        asked += sum(len(event.chosen) for event in done.events if isinstance(event, VolunteersAsked))
    return asked


async def wave(deps: VolunteerDeps, callout_id: UUID, connection: Connection) -> Done:
    """The next wave of a call-out, if one is due; when nobody is left, it is looked again after a while."""
    row = await found(connection, callout_id)
    work = Work(deps, connection, callout_id, Cause(ACTOR, row["correlation_id"]))

    async def decide(state: Callout) -> Sequence[EventData]:
        now: datetime = await connection.fetchval(SQL["moment"])
        if state.need is None or not domain.wave_due(state, now, work.patience):
            return []
        minute = minute_of_week(now.astimezone(deps.settings.zone))
        candidates = await candidates_for(connection, state, state.need, now, minute)
        rest = await connection.fetch(
            SQL["left_out"], state.need.lat, state.need.lon, state.exercise, minute, now, callout_id
        )
        return domain.ask(state, candidates, {row["reason"]: row["people"] for row in rest})

    done = await execute(work, decide)
    if done.events:
        log.info("asked", callout_id=str(callout_id), wave=done.state.waves)
    else:
        await look_again(work, done.state, min(work.patience, AGAIN))  # somebody's hours may begin
    return done


async def candidates_for(
    connection: Connection, state: Callout, need: Need, now: datetime, minute: int
) -> list[Candidate]:
    """The nearest who can be called now, and the nearest with each thing that is lacking."""
    rows = await connection.fetch(
        SQL["candidates"],
        need.lat,
        need.lon,
        state.exercise,
        minute,
        now,
        list(state.lack.things),
        state.callout_id,
        MOST_AT_ONCE,
        KM_PER_ASKED,
        KM_PER_OUT,
    )
    return [_candidate(row) for row in rows]


def _candidate(row: Mapping[str, Any]) -> Candidate:
    return Candidate(
        row["volunteer_id"],
        row["distance_km"],
        exercise=row["exercise"],
        car=row["car"],
        languages=tuple(row["languages"]),
        skills=tuple(row["skills"]),
        asked_lately=row["asked_lately"],
        out_lately=row["out_lately"],
    )
