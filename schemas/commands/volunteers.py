"""Bodies of the calls about people who help. Clear text lives only here, until it is sealed."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from schemas.base import Instant, PostalCode, ShortText, Skill, Strict
from schemas.duty import DutySlot, WallTime
from schemas.vocabulary import Language, Team

_CHANNEL = re.compile(
    r"^((sms|voice):\+[1-9][0-9]{6,14}|[^@\s:/]+@[^@\s:/]+|(?!sms:|voice:)[a-z][a-z0-9+.-]*://\S+)$"
)


def _channel(value: str) -> str:
    if not _CHANNEL.match(value):
        raise ValueError(
            "write sms:+32470000000, voice:+32470000000, an e-mail address, or an Apprise URL such as ntfys://host/topic"
        )
    return value


Channel = Annotated[ShortText, AfterValidator(_channel)]
"""A way to somebody: a text message, a call, an e-mail, or whatever Apprise can reach."""
Channels = Annotated[list[Channel], Field(min_length=1, max_length=8)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
Languages = Annotated[list[Language], Field(min_length=1, max_length=4)]


class Quiet(Strict):
    """Hours of every day in which somebody is not called; `until` at or before `from` is on the next day."""

    begins: Annotated[WallTime, Field(alias="from")]
    until: WallTime


class Away(Strict):
    """Off duty, from a moment until another one."""

    begins: Annotated[Instant, Field(alias="from")]
    until: Instant

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.begins >= self.until:
            raise ValueError("away: until must be after from")
        return self


class NewVolunteer(Strict):
    """Somebody who helps. The first language is that of messages; `hours` absent: at any hour."""

    given_name: ShortText
    family_name: ShortText
    team: Team
    languages: Languages
    postal_code: PostalCode
    lat: Latitude | None = None
    lon: Longitude | None = None
    radius_km: Annotated[int, Field(ge=1, le=1000)] = 30
    """How far a local volunteer goes; the mobile team goes everywhere."""
    car: bool = False
    skills: Annotated[list[Skill], Field(max_length=20)] = []
    channels: Channels
    hours: Annotated[list[DutySlot], Field(max_length=50)] | None = None
    quiet: Quiet | None = None
    away: Annotated[list[Away], Field(max_length=100)] = []
    consent: bool
    """Agreed to be called, and to this being kept. Without it nobody is called."""
    exercise: bool = False

    @model_validator(mode="after")
    def _whole_spot(self) -> Self:
        if (self.lat is None) != (self.lon is None):
            raise ValueError("give lat and lon, or neither: the postcode's municipality does")
        return self


class ChangeVolunteer(Strict):
    """What changes about somebody; absent fields stay."""

    given_name: ShortText | None = None
    family_name: ShortText | None = None
    team: Team | None = None
    languages: Languages | None = None
    postal_code: PostalCode | None = None
    lat: Latitude | None = None
    lon: Longitude | None = None
    radius_km: Annotated[int, Field(ge=1, le=1000)] | None = None
    car: bool | None = None
    skills: Annotated[list[Skill], Field(max_length=20)] | None = None
    channels: Channels | None = None
    hours: Annotated[list[DutySlot], Field(max_length=50)] | None = None
    quiet: Quiet | None = None
    away: Annotated[list[Away], Field(max_length=100)] | None = None
    consent: bool | None = None
