"""When somebody can be called: minutes of a week by the clock on the wall, and times away.

Summer time is right because nothing here counts hours: 02:30 in the night in which it comes twice is 02:30 both times,
and somebody whose hours begin at 02:30 in the night in which that does not exist begins at three.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time

DAY = 24 * 60
WEEK = 7 * DAY
"""Minutes; a week begins on Monday at midnight."""

Range = tuple[int, int]
"""From a minute of the week to the one before another."""
Hours = tuple[int, time, time]
"""A day of the week (0 is Monday), from, until; `until` at or before `from` is on the next day."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Minutes of the week, in order and apart from each other; times away, from and until."""

    week: tuple[Range, ...] = ((0, WEEK),)
    away: tuple[tuple[datetime, datetime], ...] = ()

    def holds(self, now: datetime, local: datetime) -> bool:
        """Whether somebody can be called now; `local` is the same moment by the clock on the wall."""
        minute = minute_of_week(local)
        return any(begins <= minute < until for begins, until in self.week) and not any(
            begins <= now < until for begins, until in self.away
        )


def minute_of_week(local: datetime) -> int:
    """The minute of the week of a moment by the clock on the wall."""
    return local.weekday() * DAY + local.hour * 60 + local.minute


def week_of(hours: Sequence[Hours] | None, quiet: tuple[time, time] | None) -> tuple[Range, ...]:
    """The minutes in which somebody can be called: their hours (None: all) without the quiet ones of every day."""
    wanted = _covered([(0, WEEK)] if hours is None else [r for one in hours for r in _ranges(*one)])
    if quiet is None:
        return wanted
    silent = _covered(r for day in range(7) for r in _ranges(day, *quiet))
    return _without(wanted, silent)


def _ranges(day: int, begins: time, until: time) -> list[Range]:
    start = day * DAY + begins.hour * 60 + begins.minute
    end = day * DAY + until.hour * 60 + until.minute
    if end <= start:
        end += DAY
    # Sunday night ends in the week's first hours.
    return [(start, end)] if end <= WEEK else [(start, WEEK), (0, end - WEEK)]


def _covered(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """The same minutes as ranges that are in order and do not touch."""
    found: list[Range] = []
    for begins, until in sorted(r for r in ranges if r[0] < r[1]):
        if found and begins <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], until)
        else:
            found.append((begins, until))
    return tuple(found)


def _without(wanted: Sequence[Range], silent: Sequence[Range]) -> tuple[Range, ...]:
    found: list[Range] = []
    for begins, until in wanted:
        at = begins
        for quiet_from, quiet_until in silent:
            if quiet_until <= at or quiet_from >= until:
                continue
            if at < quiet_from:
                found.append((at, quiet_from))
            at = max(at, quiet_until)
        if at < until:
            found.append((at, until))
    return tuple(found)
