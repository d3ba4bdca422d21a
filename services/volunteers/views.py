"""What a coordinator sees of a call-out: who was asked and why, how it reached them, who comes, what still hangs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from schemas.events import PosterPlaced, PosterRemoved, TaskGiven, VolunteersAsked
from services.eventlog.store import Recorded, read_stream
from services.kernel.postgres import queries
from services.volunteers import roster
from services.volunteers.callouts import MEETING_PLACE, callout_stream, found, opened
from services.volunteers.desk import VolunteerDeps
from services.volunteers.domain import callout as domain
from services.volunteers.domain.callout import Asked, Callout
from services.volunteers.domain.people import Volunteer, kind_of

_SQL = queries("services.volunteers", "messages.sql")

Json = dict[str, Any]
_KM_PER_DEGREE = 111.2


async def board(deps: VolunteerDeps, callout_id: UUID) -> Json:
    """Everything about a call-out. Raises NotFoundError."""
    row = await found(deps.pool, callout_id)
    events = await read_stream(deps.pool, callout_stream(callout_id))
    state = domain.fold(domain.initial_state(callout_id, exercise=row["exercise"]), events)
    messages = {m["volunteer_id"]: m for m in await deps.pool.fetch(_SQL["board"], callout_id)}
    involved = [*state.asked, *state.standby]
    people = await roster.some(deps.pool, deps.vault, involved)
    spots = {row["volunteer_id"]: row for row in await deps.pool.fetch(_SQL["spots"], involved)}
    return {
        "callout_id": str(callout_id),
        "case_id": str(row["case_id"]),
        "state": "over" if state.over else "called" if state.need else "standby",
        "exercise": row["exercise"],
        "sandbox": deps.settings.volunteer_channels == "sandbox",
        "opened_at": row["opened_at"].isoformat(),
        "need": await _need(deps, state),
        "lacking": {
            "people": state.lack.people,
            "cars": state.lack.cars,
            "languages": list(state.lack.languages),
            "skills": list(state.lack.skills),
        },
        "coming": len(state.coming),
        "waiting_for": len(state.waiting_for),
        "waves": [_wave(event) for event in events if isinstance(event.data, VolunteersAsked)],
        "people": [
            {
                **_person(who, state, people.get(who), messages.get(who)),
                "position": _position(state, spots.get(who)),
            }
            for who in dict.fromkeys([*state.asked, *sorted(state.standby)])
        ],
        "tasks": [await _task(deps, event) for event in events if isinstance(event.data, TaskGiven)],
        "posters": await _posters(deps, state, events),
    }


async def _need(deps: VolunteerDeps, state: Callout) -> Json | None:
    need = state.need
    if need is None:
        return None
    shown = need.model_dump(mode="json", exclude={"spot"})
    spot = await opened(deps, state.callout_id, need.spot, MEETING_PLACE) if need.spot else None
    return {**shown, "meeting_place": spot, "revision": state.revision}


def _wave(event: Recorded) -> Json:
    data = event.data
    assert isinstance(data, VolunteersAsked)  # noqa: S101 - the caller chose
    return {
        "wave": data.wave,
        "at": event.time.isoformat(),
        "revision": data.revision,
        "asked": len(data.chosen),
        "left_out": data.left_out,
    }


def _person(
    who: UUID, state: Callout, volunteer: Volunteer | None, message: Mapping[str, Any] | None
) -> Json:
    asked = state.asked.get(who)
    channels = [kind_of(one) for one in volunteer.profile.channels] if volunteer else []
    return {
        "volunteer_id": str(who),
        # Whoever left is still counted, as nobody.
        "name": volunteer.name if volunteer else None,
        "asked": None if asked is None else _asked(asked),
        "coming": who in state.coming,
        "message": None if message is None else _message(message, channels),
    }


def offset(lat: float, lon: float, to_lat: float, to_lon: float) -> tuple[float, float]:
    """How many km east and north of a spot another one is, on a plane that touches the globe there."""
    return (to_lon - lon) * _KM_PER_DEGREE * math.cos(math.radians(lat)), (to_lat - lat) * _KM_PER_DEGREE


def _position(state: Callout, spot: Mapping[str, Any] | None) -> Json | None:
    if state.need is None or spot is None:
        return None
    east, north = offset(state.need.lat, state.need.lon, spot["lat"], spot["lon"])
    return {"east_km": round(east, 1), "north_km": round(north, 1)}


def _asked(one: Asked) -> Json:
    late = one.late
    return {
        **one.chosen.model_dump(mode="json", exclude={"volunteer_id"}),
        "revision": one.revision,
        "reply": one.reply,
        "from": one.since.isoformat() if one.since else None,
        "answered_revision": one.answered or None,
        "not_needed": one.not_needed,
        "late": None
        if late is None
        else {"reply": late[0], "from": late[1].isoformat() if late[1] else None},
    }


def _message(message: Mapping[str, Any], channels: Sequence[str]) -> Json:
    transmissions = orjson.loads(message["transmissions"])
    for one in transmissions:
        one["kind"] = channels[one["channel"]] if one["channel"] < len(channels) else None
    return {
        "step": message["step"],
        "state": message["state"],
        "at": message["created_at"].isoformat(),
        "channels": transmissions,
    }


async def _task(deps: VolunteerDeps, event: Recorded) -> Json:
    data = event.data
    assert isinstance(data, TaskGiven)  # noqa: S101 - the caller chose
    return {
        "task_id": str(data.task_id),
        "volunteers": [str(one) for one in data.volunteers],
        "places": await opened(deps, data.callout_id, data.places, f"places.{data.task_id}"),
        "material": data.material.model_dump(),
    }


async def _posters(deps: VolunteerDeps, state: Callout, events: Sequence[Recorded]) -> list[Json]:
    """What was put up, those that still hang first: the take-down round works off this list."""
    removed = {e.data.poster_id: e.data.at for e in events if isinstance(e.data, PosterRemoved)}
    shown = []
    for event in events:
        data = event.data
        if isinstance(data, PosterPlaced):
            spot = await opened(deps, data.callout_id, data.spot, f"spot.{data.poster_id}")
            gone = removed.get(data.poster_id)
            shown.append(
                {
                    "poster_id": str(data.poster_id),
                    "up": data.poster_id in state.up,
                    "volunteer_id": str(data.volunteer_id) if data.volunteer_id else None,
                    "task_id": str(data.task_id) if data.task_id else None,
                    "placed_at": data.at.isoformat(),
                    "removed_at": gone.isoformat() if gone else None,
                    "photo": data.photo,
                    **(spot or {"place": None, "lat": None, "lon": None}),
                }
            )
    return sorted(shown, key=lambda one: not one["up"])
