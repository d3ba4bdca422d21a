"""Somebody who helps, as kept and as changed. Pure: bodies in, profiles out."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from schemas.commands import ChangeVolunteer, NewVolunteer
from schemas.duty import Weekday
from services.volunteers.domain.availability import Availability, week_of

_DAYS = list(Weekday)


@dataclass(frozen=True, slots=True)
class Volunteer:
    """Somebody who helps, in clear."""

    volunteer_id: UUID
    profile: NewVolunteer

    @property
    def name(self) -> str:
        """For colleagues."""
        return f"{self.profile.given_name} {self.profile.family_name}"

    @property
    def availability(self) -> Availability:
        """When they can be called."""
        return availability_of(self.profile)


def availability_of(profile: NewVolunteer) -> Availability:
    """When somebody with this profile can be called."""
    hours = None
    if profile.hours is not None:
        hours = [(_DAYS.index(slot.day), slot.begins, slot.until) for slot in profile.hours]
    quiet = (profile.quiet.begins, profile.quiet.until) if profile.quiet else None
    return Availability(week_of(hours, quiet), tuple((one.begins, one.until) for one in profile.away))


def document(profile: NewVolunteer) -> dict[str, Any]:
    """The profile as JSON, as bodies have it."""
    return profile.model_dump(mode="json", by_alias=True)


def changed(profile: NewVolunteer, wish: ChangeVolunteer) -> NewVolunteer:
    """The profile with what is named changed. Raises pydantic's ValidationError when the whole does not fit."""
    given = wish.model_dump(mode="json", by_alias=True, include=wish.model_fields_set)
    # Only hours and quiet hours can be taken away; null elsewhere says nothing.
    kept = {name: value for name, value in given.items() if value is not None or name in ("hours", "quiet")}
    if "postal_code" in kept and "lat" not in kept:
        kept |= {"lat": None, "lon": None}
    return NewVolunteer.model_validate({**document(profile), **kept})


def identity(profile: NewVolunteer, channel: str) -> tuple[str, ...]:
    """What tells that a line of a file is about somebody who is known: the name and a channel."""
    parts = profile.given_name, profile.family_name, channel
    return (*(" ".join(part.casefold().split()) for part in parts), str(profile.exercise))


def kind_of(channel: str) -> str:
    """`sms`, `voice`, `email`, or the schema of an Apprise URL: what may be logged."""
    if channel.startswith(("sms:", "voice:")):
        return channel.partition(":")[0]
    return channel.partition("://")[0] if "://" in channel else "email"
