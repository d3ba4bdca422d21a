"""What the page behind a link shows, and what its buttons do: for one person, who needs no account for it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from schemas.commands import ChangeVolunteer, PlacePoster, RemovePoster
from schemas.events import PosterPlaced, TaskGiven
from schemas.vocabulary import Language, Reply
from services.eventlog.store import Cause, Recorded, read_stream
from services.kernel.pictures import clean
from services.kernel.postgres import Connection, in_transaction, queries
from services.kernel.principals import Principal, Role
from services.volunteers import callouts, links, roster
from services.volunteers.callouts import MEETING_PLACE, Work, callout_stream, found, opened
from services.volunteers.desk import Ask, VolunteerDeps
from services.volunteers.domain import callout as domain
from services.volunteers.domain.callout import Callout, Said
from services.volunteers.domain.clock import next_time
from services.volunteers.wording import where

_SQL = queries("services.volunteers", "messages.sql")
_AWAY = {"away_day": timedelta(days=1), "away_week": timedelta(days=7)}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody with a link: which message it is about."""

    message_id: UUID
    callout_id: UUID
    volunteer_id: UUID
    need_revision: int
    device: bytes | None

    @property
    def ask(self) -> Ask:
        """Who asks: the volunteer, by number."""
        return Ask(Principal(f"volunteer:{self.volunteer_id}", Role.VIEWER), str(self.message_id))


async def visit(deps: VolunteerDeps, token: str) -> Visit | None:
    """Whose link it is; None when it is not ours, too old, or of somebody who is forgotten."""
    now = await deps.pool.fetchval(callouts.SQL["moment"])
    number = links.number_behind(deps.settings.master_key_bytes, token, now)
    # A number beyond what the database counts to was never given out.
    if number is None or number >= 2**63:
        return None
    row = await deps.pool.fetchrow(_SQL["message_numbered"], number)
    if row is None:
        return None
    return Visit(
        row["message_id"], row["callout_id"], row["volunteer_id"], row["need_revision"], row["device"]
    )


async def page_for(deps: VolunteerDeps, who: Visit) -> tuple[Json, Language]:
    """What the page shows, and in which language somebody wants to read. Raises NotFoundError."""
    volunteer = await roster.one(deps, who.volunteer_id)
    row = await found(deps.pool, who.callout_id)
    events = await read_stream(deps.pool, callout_stream(who.callout_id))
    state = domain.fold(domain.initial_state(who.callout_id, exercise=row["exercise"]), events)
    language, zone = volunteer.profile.languages[0], deps.settings.zone
    asked, need = state.asked.get(who.volunteer_id), state.need
    spot = await opened(deps, who.callout_id, need.spot, MEETING_PLACE) if need and need.spot else None
    now = await deps.pool.fetchval(callouts.SQL["moment"])
    shown = {
        "exercise": state.exercise,
        "over": state.over,
        "where": where(need.municipality, language) if need else None,
        "spot": spot,
        "by": _moment(need.by, zone) if need else None,
        "asked": asked is not None,
        "revision": state.revision,
        "changed": max(who.need_revision, asked.answered if asked else 0) < state.confirm_from,
        "enough": bool(need) and not state.lack and who.volunteer_id not in state.coming,
        "reply": asked.reply.value if asked and asked.reply else None,
        "since": _moment(asked.since, zone) if asked else None,
        "tasks": await _tasks(deps, who, events),
        "posters": await _posters(deps, who, state, events),
        "consent": volunteer.profile.consent,
        "away": next(
            (_moment(a.until, zone) for a in volunteer.profile.away if a.begins <= now < a.until), None
        ),
        "own": links.own_token(deps.settings.master_key_bytes, who.volunteer_id, now + links.OWN_VALID),
        "wrong_time": False,
        "wrong_photo": False,
        "placed": "",
    }
    return shown, language


async def _tasks(deps: VolunteerDeps, who: Visit, events: list[Recorded]) -> list[Json]:
    given = [
        e.data for e in events if isinstance(e.data, TaskGiven) and who.volunteer_id in e.data.volunteers
    ]
    return [
        {
            **one.material.model_dump(),
            "places": await opened(deps, who.callout_id, one.places, f"places.{one.task_id}") or [],
        }
        for one in given
    ]


async def _posters(deps: VolunteerDeps, who: Visit, state: Callout, events: list[Recorded]) -> list[Json]:
    """What this person put up and has not taken down."""
    mine = [
        e.data
        for e in events
        if isinstance(e.data, PosterPlaced)
        and e.data.volunteer_id == who.volunteer_id
        and e.data.poster_id in state.up
    ]
    return [
        {
            "poster_id": str(one.poster_id),
            "place": (await opened(deps, who.callout_id, one.spot, f"spot.{one.poster_id}") or {}).get(
                "place", ""
            ),
        }
        for one in mine
    ]


def _moment(at: datetime | None, zone: ZoneInfo) -> str | None:
    return f"{at.astimezone(zone):%d.%m. %H:%M}" if at else None


async def answer(
    deps: VolunteerDeps, who: Visit, form: Mapping[str, str], cookie: str, photo: bytes | None = None
) -> None:
    """A button was pressed, in the browser that holds this cookie; `photo` is of what was put up.

    Raises WrongTimeError, NotFoundError, and InvalidError for a photo that is none.
    """
    now: datetime = await deps.pool.fetchval(callouts.SQL["moment"])
    reply = form.get("reply")
    if reply in ("yes", "no", "later"):
        since = next_time(form.get("since", ""), now, deps.settings.zone) if reply == "later" else None
        said = Said(
            Reply(reply),
            since,
            revision=_number(form.get("revision", "")) or who.need_revision,
            other_device=who.device is not None and who.device != digest(cookie),
        )

        async def work(connection: Connection) -> None:
            await callouts.answer(_work(deps, connection, who), who.volunteer_id, said)
            await connection.execute(_SQL["device"], who.message_id, digest(cookie))

        await in_transaction(deps.pool, work)
    elif form.get("act") == "placed" and form.get("placed", "").strip():
        wish = PlacePoster(place=form["placed"].strip()[:200], at=now, volunteer_id=who.volunteer_id)
        picture = None if photo is None else (await clean(photo))[0]
        await in_transaction(deps.pool, lambda c: callouts.place(_work(deps, c, who), wish, picture))
    elif form.get("act") == "removed":
        await _took_down(deps, who, form.get("poster", ""), now)
    elif form.get("act") in ("back", "stop", *_AWAY):
        await _not_available(deps, who, form["act"], now)


def _work(deps: VolunteerDeps, connection: Connection, who: Visit) -> Work:
    return Work(deps, connection, who.callout_id, Cause(who.ask.principal.name, str(who.message_id)))


def digest(cookie: str) -> bytes:
    """What is kept of a browser's cookie."""
    return hashlib.sha256(cookie.encode()).digest()


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 9 else None  # noqa: PLR2004 - nobody changes a need so often


async def _took_down(deps: VolunteerDeps, who: Visit, poster: str, now: datetime) -> None:
    """Only what this person put up. Raises NotFoundError."""
    shown, _ = await page_for(deps, who)
    if poster not in {one["poster_id"] for one in shown["posters"]}:
        return  # taken down already, or another's
    wish = RemovePoster(at=now, volunteer_id=who.volunteer_id)
    await in_transaction(deps.pool, lambda c: callouts.take_down(_work(deps, c, who), UUID(poster), wish))


async def _not_available(deps: VolunteerDeps, who: Visit, act: str, now: datetime) -> None:
    volunteer = await roster.one(deps, who.volunteer_id)
    wish: Json = {"consent": False}
    if act != "stop":
        # Times that are over, or that this ends, are not kept.
        later = [a.model_dump(mode="json", by_alias=True) for a in volunteer.profile.away if a.begins > now]
        if act in _AWAY:
            later.insert(0, {"from": now.isoformat(), "until": (now + _AWAY[act]).isoformat()})
        wish = {"away": later}
    change = ChangeVolunteer.model_validate(wish)
    await in_transaction(deps.pool, lambda c: roster.change(deps, who.ask, c, who.volunteer_id, change))
