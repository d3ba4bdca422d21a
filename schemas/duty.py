"""People who can be paged, and their hours: bodies of the calls that administer them."""

import re
from datetime import time
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from schemas.base import ShortText, Strict
from schemas.vocabulary import Language

_CHANNEL = re.compile(r"^([^@\s:/]+@[^@\s:/]+|[a-z][a-z0-9+.-]*://\S+)$")


def _channel(value: str) -> str:
    if not _CHANNEL.match(value):
        raise ValueError("write an e-mail address, or an Apprise URL such as ntfys://host/topic")
    return value


def _minutes(value: time) -> time:
    if value.tzinfo is not None or value.second or value.microsecond:
        raise ValueError("write hours and minutes of the installation's calendar, such as 18:30")
    return value


Channel = Annotated[ShortText, AfterValidator(_channel)]
WallTime = Annotated[time, AfterValidator(_minutes)]


class Weekday(StrEnum):
    """Days as people write a roster."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class Desk(StrEnum):
    """Where people on duty sit: with the operators of this installation, or at the federal police unit."""

    OPERATIONS = "operations"
    MISSING_PERSONS_UNIT = "missing_persons_unit"


class DutySlot(Strict):
    """Weekly hours on duty, in the installation's calendar; `until` at or before `from` is on the next day."""

    day: Weekday
    begins: Annotated[WallTime, Field(alias="from")]
    until: WallTime


class NewPerson(Strict):
    """Somebody who can be paged. `channels` are tried in their order; `slots` absent: on duty at any hour."""

    name: ShortText
    language: Language
    channels: Annotated[list[Channel], Field(min_length=1, max_length=8)]
    slots: Annotated[list[DutySlot], Field(max_length=50)] | None = None
    place: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Where in the order; absent: last."""
    desk: Desk = Desk.OPERATIONS


class ChangePerson(Strict):
    """What changes about somebody; absent fields stay, `slots: null` means at any hour, `slots: []` never."""

    name: ShortText | None = None
    language: Language | None = None
    channels: Annotated[list[Channel], Field(min_length=1, max_length=8)] | None = None
    slots: Annotated[list[DutySlot], Field(max_length=50)] | None = None
    place: Annotated[int, Field(ge=1, le=10_000)] | None = None
    desk: Desk | None = None
