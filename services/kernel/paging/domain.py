"""Whom to page, and when. Pure: people, their hours and what was tried give the next one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from uuid import UUID

_FIRST_RETRY_S = 5.0
_FACTOR = 3.0
_LONGEST_RETRY_S = 300.0
_DAYS = 7


@dataclass(frozen=True, slots=True)
class Slot:
    """Weekly hours in the installation's calendar. `day`: 0 is Monday; `until` at or before `begins`: the next day."""

    day: int
    begins: time
    until: time

    def holds(self, local: datetime) -> bool:
        """Whether this wall-clock moment is in it."""
        at, day = local.time(), local.weekday()
        if self.begins < self.until:
            return day == self.day and self.begins <= at < self.until
        return (day == self.day and at >= self.begins) or (day == (self.day + 1) % _DAYS and at < self.until)


@dataclass(frozen=True, slots=True)
class OnCall:
    """Somebody who can be paged; `slots` None: at any hour."""

    person_id: UUID
    slots: tuple[Slot, ...] | None = None

    def on_duty(self, local: datetime) -> bool:
        """Whether this person is on duty at this wall-clock moment."""
        return self.slots is None or any(slot.holds(local) for slot in self.slots)


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody who was told of a page. `failed`: none of the channels took it."""

    person_id: UUID
    at: datetime
    failed: bool = False


def candidates(people: Sequence[OnCall], local: datetime) -> tuple[list[UUID], bool]:
    """Who may be paged now, in order, and whether they are on duty: when nobody is, everybody may be."""
    on_duty = [one.person_id for one in people if one.on_duty(local)]
    return (on_duty, True) if on_duty else ([one.person_id for one in people], False)


def next_to_tell(
    order: Sequence[UUID], told: Sequence[Told], now: datetime, escalate: timedelta
) -> UUID | None:
    """Who is to be told of a page that nobody looks after; None: nobody now.

    One person after the other, `escalate` apart, those first who were told least often. Somebody who cannot be
    reached does not hold up the next one.
    """
    if not order:
        return None
    times = Counter(one.person_id for one in told)
    chosen = min(order, key=lambda one: times[one])
    if not told or now - told[-1].at >= escalate:
        return chosen
    return chosen if told[-1].failed and times[chosen] == 0 else None


def retry_s(attempts: int) -> float:
    """Seconds until a message that no channel took is tried again, after so many attempts."""
    return float(min(_FIRST_RETRY_S * _FACTOR ** (min(attempts, 10) - 1), _LONGEST_RETRY_S))
