"""Who helps: registered, changed, looked up, forgotten. Everything personal is sealed with a key of the person's own."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import ValidationError

from schemas.base import Sealed
from schemas.commands import ChangeVolunteer, NewVolunteer
from schemas.events import VolunteerChanged, VolunteerLeft, VolunteerRegistered
from services.eventlog.store import Append, NewEvent, append, lock_streams
from services.geography import municipality_of
from services.geography.centers import center_of
from services.kernel.ids import new_id
from services.kernel.postgres import Connection, Pool
from services.kernel.problems import ConflictError, InvalidError, NotFoundError, field_errors
from services.kernel.vault import Vault, blind, context, derive, key_name, seal, unseal
from services.volunteers.desk import SQL, Ask, VolunteerDeps
from services.volunteers.domain.availability import Availability
from services.volunteers.domain.people import (
    Volunteer,
    availability_of,
    changed,
    document,
    identity,
    kind_of,
)

_FIELD = "profile"


def volunteer_stream(volunteer_id: UUID) -> str:
    """Owned by volunteers."""
    return f"volunteer-{volunteer_id}"


def spot_of(postal_code: str, lat: float | None, lon: float | None) -> tuple[str, float, float]:
    """The municipality of a postcode, and the given spot or its middle, in degrees. Raises InvalidError."""
    municipality = municipality_of(postal_code)
    middle = center_of(municipality) if municipality else None
    if municipality is None or middle is None:
        detail = "no municipality has this postcode; write one such as 3000"
        wrong = {"field": "postal_code", "rule": "postal-code", "detail": detail}
        raise InvalidError("postal-code", detail, errors=[wrong])
    return (municipality, *middle) if lat is None or lon is None else (municipality, lat, lon)


async def register(deps: VolunteerDeps, ask: Ask, connection: Connection, profile: NewVolunteer) -> UUID:
    """Somebody new; returns their number. Raises ConflictError when they are registered already."""
    volunteer_id = new_id()
    await _keep(deps, ask, connection, Volunteer(volunteer_id, profile), version=0)
    return volunteer_id


async def change(
    deps: VolunteerDeps, ask: Ask, connection: Connection, volunteer_id: UUID, wish: ChangeVolunteer
) -> Volunteer:
    """Changes what is named; nothing is written when nothing changes. Raises NotFoundError, InvalidError."""
    await lock_streams(connection, [volunteer_stream(volunteer_id)])
    before, row = await _found(deps.vault, connection, volunteer_id)
    try:
        profile = changed(before.profile, wish)
    except ValidationError as error:
        raise InvalidError(
            "content", "the change does not fit the rest of the profile", errors=field_errors(error.errors())
        ) from None
    after = Volunteer(volunteer_id, profile)
    if profile != before.profile:
        await _keep(deps, ask, connection, after, version=row["version"], known_by=row["fingerprint"])
    return after


async def locked(deps: VolunteerDeps, connection: Connection, volunteer_id: UUID) -> Volunteer:
    """Somebody as they are now, and until this transaction ends. Raises NotFoundError."""
    await lock_streams(connection, [volunteer_stream(volunteer_id)])
    return (await _found(deps.vault, connection, volunteer_id))[0]


async def leave(deps: VolunteerDeps, ask: Ask, connection: Connection, volunteer_id: UUID) -> None:
    """Forgets somebody. The key goes first: whatever fails after that, nobody can read any more who it was.

    Raises NotFoundError.
    """
    await lock_streams(connection, [volunteer_stream(volunteer_id)])
    version = await connection.fetchval(SQL["leave"], volunteer_id)
    if version is None:
        raise _unknown()
    await deps.vault.destroy([key_name("volunteer", volunteer_id)])
    await _append(connection, ask, volunteer_id, version, NewEvent(VolunteerLeft(volunteer_id=volunteer_id)))


async def one(deps: VolunteerDeps, volunteer_id: UUID) -> Volunteer:
    """Somebody. Raises NotFoundError."""
    return (await _found(deps.vault, deps.pool, volunteer_id))[0]


async def some(
    source: Pool | Connection, vault: Vault, volunteer_ids: Sequence[UUID]
) -> dict[UUID, Volunteer]:
    """Those of these who are still there."""
    rows = await source.fetch(SQL["people"], None, list(volunteer_ids), None)
    return {one.volunteer_id: one for one in await _opened(vault, rows)}


async def page_of(deps: VolunteerDeps, after: UUID | None, limit: int) -> tuple[list[Volunteer], UUID | None]:
    """Volunteers in order of registration, and after whom the next page begins (None: there is none)."""
    rows = await deps.pool.fetch(SQL["people"], after, None, limit + 1)
    more = rows[limit - 1]["volunteer_id"] if len(rows) > limit else None
    return await _opened(deps.vault, rows[:limit]), more


async def known(deps: VolunteerDeps, source: Pool | Connection, profile: NewVolunteer) -> UUID | None:
    """Who this is, when they are registered already."""
    rows = await source.fetch(SQL["known"], _fingerprints(deps, profile)[:1])
    return rows[0]["volunteer_id"] if rows else None


def view(volunteer: Volunteer, *, whole: bool) -> dict[str, Any]:
    """For colleagues: alone with everything, in lists of the channels only their kinds."""
    shown = document(volunteer.profile)
    if not whole:
        shown["channels"] = [kind_of(channel) for channel in volunteer.profile.channels]
    return {"volunteer_id": str(volunteer.volunteer_id), **shown}


# ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────


def _unknown() -> NotFoundError:
    return NotFoundError("volunteer", "there is no such volunteer; GET /v1/volunteers lists them")


def _fingerprints(deps: VolunteerDeps, profile: NewVolunteer) -> list[bytes]:
    """By any of which a line of a file may name this person: one for each way to them, in their order."""
    secret = derive(deps.settings.master_key_bytes, "volunteer-index")
    return [blind(secret, *identity(profile, channel)) for channel in profile.channels]


async def _found(
    vault: Vault, source: Pool | Connection, volunteer_id: UUID
) -> tuple[Volunteer, Mapping[str, Any]]:
    row = await source.fetchrow(SQL["person"], volunteer_id)
    opened = await _opened(vault, [row]) if row else []
    if not opened:
        raise _unknown()
    return opened[0], row


async def _opened(vault: Vault, rows: Sequence[Mapping[str, Any]]) -> list[Volunteer]:
    """Volunteers from their rows; whose key is destroyed is gone."""
    names = {row["volunteer_id"]: key_name("volunteer", row["volunteer_id"]) for row in rows}
    keys = await vault.find(list(names.values())) if names else {}
    return [
        _volunteer(row, keys[names[row["volunteer_id"]]])
        for row in rows
        if names[row["volunteer_id"]] in keys
    ]


def _volunteer(row: Mapping[str, Any], key: bytes) -> Volunteer:
    volunteer_id = row["volunteer_id"]
    place = context(volunteer_stream(volunteer_id), row["profile_event"], _FIELD)
    opened = unseal(Sealed.model_validate_json(row["profile"]), key, place)
    return Volunteer(volunteer_id, NewVolunteer.model_validate(opened))


async def _keep(
    deps: VolunteerDeps,
    ask: Ask,
    connection: Connection,
    volunteer: Volunteer,
    *,
    version: int,
    known_by: bytes | None = None,
) -> None:
    volunteer_id, profile, event_id = volunteer.volunteer_id, volunteer.profile, new_id()
    _, lat, lon = spot_of(profile.postal_code, profile.lat, profile.lon)
    stream, name = volunteer_stream(volunteer_id), key_name("volunteer", volunteer_id)
    key = (await deps.vault.ensure([name]))[name]
    box = seal(name, key, document(profile), context(stream, event_id, _FIELD))
    fact: VolunteerChanged | VolunteerRegistered
    if version:
        fact = VolunteerChanged(volunteer_id=volunteer_id, profile=box, consent=profile.consent)
    else:
        await lock_streams(connection, [stream])
        fact = VolunteerRegistered(
            volunteer_id=volunteer_id, profile=box, consent=profile.consent, exercise=profile.exercise
        )
    await _append(connection, ask, volunteer_id, version, NewEvent(fact, event_id))
    week, away = _ranges(availability_of(profile))
    marks = _fingerprints(deps, profile)
    row = (
        volunteer_id,
        profile.exercise,
        profile.consent,
        profile.team.value,
        [language.value for language in profile.languages],
        profile.skills,
        profile.car,
        lat,
        lon,
        profile.radius_km,
        week,
        away,
        box.model_dump_json(),
        event_id,
        version + 1,
        # Who puts another way first is still who the next file means.
        known_by if known_by in marks else marks[0],
        len(profile.channels),
    )
    try:
        await connection.execute(SQL["keep"], *row)
    except asyncpg.UniqueViolationError:
        raise ConflictError(
            "registered-already",
            "somebody with this name and this first channel is registered: change that one instead",
        ) from None


def _ranges(availability: Availability) -> tuple[str, str]:
    """As PostgreSQL writes multiranges."""
    week = ",".join(f"[{begins},{until})" for begins, until in availability.week)
    away = ",".join(f'["{begins.isoformat()}","{until.isoformat()}")' for begins, until in availability.away)
    return f"{{{week}}}", f"{{{away}}}"


async def _append(
    connection: Connection, ask: Ask, volunteer_id: UUID, version: int, event: NewEvent
) -> None:
    stream = volunteer_stream(volunteer_id)
    await append(connection, [Append(stream, str(volunteer_id), [event], ask.cause, version)])
