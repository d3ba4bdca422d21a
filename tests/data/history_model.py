"""The invented history's words: times in the Belgian calendar, children, cases and their facts."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

BRUSSELS = ZoneInfo("Europe/Brussels")
YEARS = (2019, 2020, 2021)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ATTENTION = 10 * DAY  # facts of a case come in its first days, also when it stays open for years

# Switches to and from summer time: both have hours that a naive clock gets wrong.
CLOCK_CHANGES = {
    2019: (date(2019, 3, 31), date(2019, 10, 27)),
    2020: (date(2020, 3, 29), date(2020, 10, 25)),
    2021: (date(2021, 3, 28), date(2021, 10, 31)),
}

# Calls come at all hours, most of them late in the afternoon and in the evening.
_HOUR_WEIGHTS = (4, 3, 3, 2, 1, 1, 1, 2, 4, 5, 5, 5, 5, 5, 6, 7, 8, 9, 9, 9, 10, 10, 9, 7)

Data = dict[str, Any]
T = TypeVar("T")

Trigger = Literal[
    "age",  # under 13, known from the start
    "age_corrected",  # opened as 13 or older, a corrected date of birth shows under 13
    "age_withdrawn",  # opened as under 13, a corrected date of birth shows 13 or older
    "kind",  # undefined: worrying from the start
    "opening",  # another criterion, told in the first call
    "later",  # another criterion, reported afterwards
    "override",  # a person's reasoned decision
    "was_undefined",  # opened as undefined, reclassified afterwards
    "was_young_runaway",  # opened as a runaway under 13, reclassified afterwards
]


def year_start(year: int) -> datetime:
    """Return the first instant of a calendar year in Brussels, in UTC."""
    return datetime(year, 1, 1, tzinfo=BRUSSELS).astimezone(UTC)


def brussels_day(at: datetime) -> date:
    """Return the calendar day in Brussels of an instant."""
    return at.astimezone(BRUSSELS).date()


def random_opening(rng: random.Random, year: int) -> datetime:
    """Draw when a case of `year` is opened: any day up to noon of 31 December, some on clock changes."""
    last_noon = year_start(year + 1) - 12 * HOUR
    while True:
        if year in CLOCK_CHANGES and rng.random() < 0.01:
            day, hour = rng.choice(CLOCK_CHANGES[year]), rng.choice((1, 2, 2, 3))
        else:
            day = date(year, 1, 1) + timedelta(days=rng.randrange(365))
            hour = rng.choices(range(24), _HOUR_WEIGHTS)[0]
        local = datetime(
            day.year, day.month, day.day, hour, rng.randrange(60), rng.randrange(60), tzinfo=BRUSSELS
        )
        at = local.replace(fold=rng.randrange(2)).astimezone(UTC)
        if at < last_noon:
            return at


class Fact(NamedTuple):
    """One line to come: when, its type, its data, and an id where a later line names it."""

    at: datetime
    type: str
    data: Data
    id: str | None = None


@dataclass(eq=False)
class Child:
    """An invented child; `born` is true, `told` is what the caller said at first when that was wrong."""

    given_name: str
    family_name: str
    gender: str
    born: date | None = None
    told: date | None = None
    estimate: tuple[int, int] | None = None
    nationality: str | None = None
    ref: str | None = None


@dataclass(eq=False)
class Case:
    """A planned case: its kind, children and lifetime; `facts` are filled in after the plan."""

    ref: str
    kind: str
    opened: datetime
    year: int
    children: list[Child] = field(default_factory=list)
    details: Data = field(default_factory=dict)
    disappeared: datetime | None = None
    closed: datetime | None = None
    reopened: tuple[datetime, datetime] | None = None
    opened_as: str | None = None
    opened_preventive: bool = False
    trigger: Trigger | None = None
    outcome: str | None = None
    helped: bool = False
    circumstances: list[Data] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    campaigns: int = 0

    def lasts(self) -> timedelta:
        """Return how long people add facts: until it closes, ten days at most."""
        return min(self.closed - self.opened, ATTENTION) if self.closed else ATTENTION

    def moment(self, rng: random.Random, low: float, high: float) -> datetime:
        """Draw an instant between two fractions of the time in which facts come."""
        return (self.opened + rng.uniform(low, high) * self.lasts()).replace(microsecond=0)

    def open_in(self, year: int) -> bool:
        """Tell whether the case is open at any time in a calendar year."""
        if self.opened >= year_start(year + 1):
            return False
        ends = [self.closed] if self.reopened is None else [self.closed, self.reopened[1]]
        starts = [self.opened] if self.reopened is None else [self.opened, self.reopened[0]]
        return any(
            start < year_start(year + 1) and (end is None or end >= year_start(year))
            for start, end in zip(starts, ends, strict=True)
        )


class World:
    """The one seeded source of chance, the cases planned so far, and their numbering per year."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.cases: list[Case] = []
        self._numbers: Counter[int] = Counter()

    def open(self, kind: str, opened: datetime) -> Case:
        """Add a case, numbered in the calendar year of its opening."""
        year = brussels_day(opened).year
        self._numbers[year] += 1
        case = Case(f"{year}-{self._numbers[year]:04d}", kind, opened, year)
        self.cases.append(case)
        return case

    def open_many(self, kind: str, year: int | None, count: int) -> list[Case]:
        """Add cases opened in a year, or in 2015 to 2018 when no year is given."""
        return [
            self.open(kind, random_opening(self.rng, year or self.rng.randint(2015, 2018)))
            for _ in range(count)
        ]

    def shuffled(self, items: Iterable[T]) -> list[T]:
        """Return the items in a drawn order."""
        drawn = list(items)
        self.rng.shuffle(drawn)
        return drawn

    def close_in(self, case: Case, year: int, median: timedelta) -> None:
        """Close a case in a calendar year; `median` is how long its kind lasts when opened in that year."""
        end = year_start(year + 1) if year in YEARS else year_start(year) + 20 * DAY  # where the file ends
        if case.year == year:
            after = median * self.rng.lognormvariate(0, 1) + 4 * HOUR
            if case.opened + after > end - HOUR:
                after = (end - case.opened) * self.rng.uniform(0.6, 0.95)
        else:
            first = max(year_start(year), case.opened)
            after = first - case.opened + (end - first) * self.rng.uniform(0.01, 0.99)
        case.closed = (case.opened + after).replace(microsecond=0)

    def settle(self, cases: list[Case], closings: dict[int, int], median: timedelta) -> list[Case]:
        """Close so many of the cases in each year, drawn by lot, and return those still open."""
        waiting = self.shuffled(cases)
        for year, count in closings.items():
            for _ in range(count):
                self.close_in(waiting.pop(), year, median)
        return waiting
