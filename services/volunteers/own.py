"""What somebody who helps changes about themselves, behind a signed link and without an account.

The page shows no name, and of the ways to somebody only their ends: a link may be forwarded. New ways come from staff,
who have seen whose they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

from schemas.commands import ChangeVolunteer, NewVolunteer
from schemas.vocabulary import Language, Team
from services.kernel.ids import new_id
from services.kernel.postgres import Connection, in_transaction
from services.kernel.principals import Principal, Role
from services.kernel.problems import InvalidError
from services.kernel.vault import blind, derive
from services.volunteers import callouts, links, roster
from services.volunteers.desk import Ask, VolunteerDeps
from services.volunteers.domain.clock import date_of, time_of
from services.volunteers.domain.people import kind_of

_SHOWN = 3
"""Characters of a channel's end: enough to know one's own."""

Json = dict[str, Any]
Form = Sequence[tuple[str, str]]


class Done(Enum):
    """What became of a button."""

    CHANGED = "changed"
    ASKS = "asks"
    """Leaving is for good: it is asked once more."""
    LEFT = "left"


class WrongError(ValueError):
    """What was written does not fit; `field` says where: quiet, away, car."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


@dataclass(frozen=True, slots=True)
class Owner:
    """Somebody with a link to their own details."""

    volunteer_id: UUID
    ask: Ask


async def owner(deps: VolunteerDeps, token: str) -> Owner | None:
    """Whose link it is; None when it is not ours, or too old."""
    now = await deps.pool.fetchval(callouts.SQL["moment"])
    found = links.volunteer_behind(deps.settings.master_key_bytes, token, now)
    if found is None:
        return None
    return Owner(found, Ask(Principal(f"volunteer:{found}", Role.VIEWER), str(new_id())))


async def link(deps: VolunteerDeps, volunteer_id: UUID, valid: timedelta = links.OWN_VALID) -> Json:
    """A link for somebody, to hand over. Raises NotFoundError."""
    await roster.one(deps, volunteer_id)
    until = await deps.pool.fetchval(callouts.SQL["moment"]) + valid
    token = links.own_token(deps.settings.master_key_bytes, volunteer_id, until)
    return {"url": f"{deps.settings.base_url}/me/{token}", "until": until.isoformat(timespec="seconds")}


async def page_for(deps: VolunteerDeps, who: Owner) -> tuple[Json, Language]:
    """What the page shows, and in which language somebody wants to read. Raises NotFoundError."""
    volunteer = await roster.one(deps, who.volunteer_id)
    profile, zone = volunteer.profile, deps.settings.zone
    now: datetime = await deps.pool.fetchval(callouts.SQL["moment"])
    shown = {
        "languages": [language.value for language in profile.languages],
        "channels": [
            {"mark": _mark(deps, channel), "kind": kind_of(channel), "end": channel[-_SHOWN:]}
            for channel in profile.channels
        ],
        "quiet": {"from": _clock(profile.quiet.begins), "until": _clock(profile.quiet.until)}
        if profile.quiet
        else None,
        "hours": profile.hours is not None,
        "away": [
            {
                "mark": one.begins.isoformat(),
                "from": f"{one.begins.astimezone(zone):%d.%m.%Y %H:%M}",
                "until": f"{one.until.astimezone(zone):%d.%m.%Y %H:%M}",
            }
            for one in profile.away
            if one.until > now
        ],
        "car": profile.car,
        "radius_km": profile.radius_km if profile.team is Team.LOCAL else None,
        "consent": profile.consent,
    }
    return shown, profile.languages[0]


async def act(deps: VolunteerDeps, who: Owner, form: Form) -> Done:
    """A button was pressed. Raises WrongError, NotFoundError."""
    said = dict(form)
    if said.get("act") == "leave":
        return Done.ASKS
    if said.get("act") == "leave_for_good":
        await in_transaction(deps.pool, lambda c: roster.leave(deps, who.ask, c, who.volunteer_id))
        return Done.LEFT
    make = _WISHES.get(said.get("act", ""))
    if make is not None:

        async def work(connection: Connection) -> None:
            before = await roster.locked(deps, connection, who.volunteer_id)
            wish = make(deps, before.profile, form)
            if "away" in wish:  # what is over is not kept
                now = await connection.fetchval(callouts.SQL["moment"])
                wish["away"] = [one for one in wish["away"] if datetime.fromisoformat(one["until"]) > now]
            change = ChangeVolunteer.model_validate(wish)
            await roster.change(deps, who.ask, connection, who.volunteer_id, change)

        try:
            await in_transaction(deps.pool, work)
        # Of the body and the profile pydantic says it with a ValueError, too.
        except (InvalidError, ValueError, OverflowError) as error:
            raise WrongError(said["act"]) from error
    return Done.CHANGED


# ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────


def _languages(_: VolunteerDeps, profile: NewVolunteer, form: Form) -> Json:
    first = dict(form).get("first", profile.languages[0].value)
    others = [value for name, value in form if name == "also" and value != first]
    return {"languages": [first, *dict.fromkeys(others)]}


def _first(deps: VolunteerDeps, profile: NewVolunteer, form: Form) -> Json:
    """The one with this mark before the others; a page that is older than a change moves nothing."""
    wanted = [one for one in profile.channels if _mark(deps, one) == dict(form).get("channel")]
    return {"channels": wanted + [one for one in profile.channels if one not in wanted]}


def _quiet(_: VolunteerDeps, __: NewVolunteer, form: Form) -> Json:
    """Both times, or neither: then there are no quiet hours."""
    begins, until = (dict(form).get(name, "").strip() for name in ("from", "until"))
    if not begins and not until:
        return {"quiet": None}
    times = _clock(time_of(begins)), _clock(time_of(until))
    if times[0] == times[1]:
        raise ValueError("quiet all day is not what anybody means who helps")
    return {"quiet": dict(zip(("from", "until"), times, strict=True))}


def _coming(_: VolunteerDeps, __: NewVolunteer, form: Form) -> Json:
    said = dict(form)
    return {"car": "car" in said} | ({"radius_km": said["radius_km"]} if said.get("radius_km") else {})


def _away(deps: VolunteerDeps, profile: NewVolunteer, form: Form) -> Json:
    """Whole days, the last one with."""
    first, last = (date_of(dict(form).get(name, "")) for name in ("from", "until"))
    begins, until = (
        datetime.combine(day, time(), deps.settings.zone).isoformat()
        for day in (first, last + timedelta(days=1))
    )
    return {"away": [*_bodies(profile.away), {"from": begins, "until": until}]}


def _not_away(_: VolunteerDeps, profile: NewVolunteer, form: Form) -> Json:
    kept = [one for one in profile.away if one.begins.isoformat() != dict(form).get("away")]
    return {"away": _bodies(kept)}


_WISHES: Mapping[str, Callable[[VolunteerDeps, NewVolunteer, Form], Json]] = {
    "languages": _languages,
    "first": _first,
    "quiet": _quiet,
    "car": _coming,
    "away": _away,
    "not_away": _not_away,
    "consent": lambda *_: {"consent": True},
    "stop": lambda *_: {"consent": False},
}
"""Button → what it changes, as the body of a call would say it."""


def _bodies(away: Sequence[Any]) -> list[Json]:
    return [one.model_dump(mode="json", by_alias=True) for one in away]


def _clock(at: time) -> str:
    return f"{at:%H:%M}"


def _mark(deps: VolunteerDeps, channel: str) -> str:
    """Names a channel to its page without telling it."""
    return blind(derive(deps.settings.master_key_bytes, "volunteer-channel"), channel)[:8].hex()
