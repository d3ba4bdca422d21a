"""When public figures are known: by quarter of the installation's calendar, three months after it ended, and then for good.

What is published of a quarter is what was recorded by then. Whatever is corrected later changes it no more: the difference
between two days would be one case.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

QUARTERS = 4
_MONTHS = 3
SETTLES = timedelta(days=1)
"""After the last moment that counts: read models have caught up by then."""


@dataclass(frozen=True, slots=True, order=True)
class Quarter:
    """A quarter of a year, 1 to 4."""

    year: int
    number: int

    def __str__(self) -> str:
        return f"{self.year}-Q{self.number}"

    @property
    def months(self) -> tuple[str, ...]:
        """Its months as they are written: 01 to 12."""
        first = (self.number - 1) * _MONTHS + 1
        return tuple(f"{month:02}" for month in range(first, first + _MONTHS))

    @property
    def next(self) -> "Quarter":
        """The one after it."""
        last = self.number == QUARTERS
        return Quarter(self.year + last, 1 if last else self.number + 1)

    def begins(self, zone: ZoneInfo) -> datetime:
        """Its first moment."""
        return datetime(self.year, int(self.months[0]), 1, tzinfo=zone)

    def ends(self, zone: ZoneInfo) -> datetime:
        """The first moment of the next one."""
        return self.next.begins(zone)

    def known_at(self, zone: ZoneInfo) -> datetime:
        """What was recorded by then counts: three months after its end, when the next one ends."""
        return self.next.ends(zone)


def published(first: datetime, now: datetime, zone: ZoneInfo) -> list[Quarter]:
    """The quarters that are published, from the one of `first`, the first case of all."""
    begin = first.astimezone(zone)
    quarter = Quarter(begin.year, (begin.month - 1) // _MONTHS + 1)
    found = []
    while now >= quarter.known_at(zone) + SETTLES:
        found.append(quarter)
        quarter = quarter.next
    return found
