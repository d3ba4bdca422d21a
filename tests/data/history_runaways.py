"""Runaways: who ran away, how often, and which cases were still open in a later year.

The shares hold for distinct children and for appearances of children in cases alike, so that both readings
of "children of new cases" round to the published digits.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from history_model import (
    DAY,
    HOUR,
    MINUTE,
    Case,
    Child,
    Trigger,
    World,
    brussels_day,
    random_opening,
    year_start,
)
from history_people import People

Band = Literal["young", "mid", "old"]
BANDS: tuple[Band, ...] = ("young", "mid", "old")
AGES: dict[Band, tuple[int, int]] = {"young": (7, 12), "mid": (13, 15), "old": (16, 17)}
ESTIMATES: dict[Band, tuple[tuple[int, int], ...]] = {
    "young": ((9, 12), (10, 11)),
    "mid": ((13, 15), (14, 15)),
    "old": ((16, 17),),
}
MEDIAN = 2 * DAY
Who = tuple[Band, str]


@dataclass(frozen=True)
class RunawayYear:
    """What a year's new runaway cases add up to; `episodes` beyond the first of each child who repeats."""

    appearances: dict[Band, int]
    extras: dict[Band, tuple[int, ...]]
    girls: float
    pairs: tuple[tuple[Who, Who], ...]
    straddling: int
    others: dict[Trigger, int]
    closed_next_year: int
    lasting: int  # open when 2021 begins, or for 2021 when 2022 begins
    lasting_worrying: int
    lasting_closed: int  # of these, closed in the year that follows


_GIRLS_PAIRS: tuple[tuple[Who, Who], ...] = (
    (("young", "girl"), ("young", "girl")),
    (("young", "boy"), ("mid", "girl")),
    *((("mid", "girl"), ("mid", "girl")),) * 4,
    (("mid", "boy"), ("mid", "boy")),
    (("old", "boy"), ("mid", "boy")),
)
PLANS: dict[int, RunawayYear] = {
    2019: RunawayYear(
        appearances={"young": 83, "mid": 437, "old": 304},
        extras={
            "young": (3, *(2,) * 4, *(1,) * 11),
            "mid": (9, 7, 4, 3, 3, *(2,) * 11, *(1,) * 44),
            "old": (6, 4, 3, *(2,) * 8, *(1,) * 36),
        },
        girls=0.66,
        pairs=_GIRLS_PAIRS,
        straddling=2,
        others={"opening": 6, "later": 6, "override": 2, "age_withdrawn": 1, "was_undefined": 2},
        closed_next_year=40,
        lasting=25,
        lasting_worrying=8,
        lasting_closed=20,
    ),
    2020: RunawayYear(
        appearances={"young": 73, "mid": 385, "old": 269},
        extras={
            "young": ((2,) * 3 + (1,) * 10),
            "mid": (8, 5, 4, 3, 3, *(2,) * 10, *(1,) * 40),
            "old": (4, 3, *(2,) * 8, *(1,) * 30),
        },
        girls=2 / 3,
        pairs=_GIRLS_PAIRS,
        straddling=2,
        others={"opening": 16, "later": 20, "override": 2, "age_withdrawn": 2, "was_undefined": 2},
        closed_next_year=0,
        lasting=70,
        lasting_worrying=22,
        lasting_closed=53,
    ),
    2021: RunawayYear(
        appearances={"young": 88, "mid": 466, "old": 325},
        extras={
            "young": ((2,) * 4 + (4,) + (1,) * 12),
            "mid": (13, 8, 6, 5, 5, 4, 4, *(3,) * 8, *(2,) * 13, *(1,) * 33),
            "old": (7, 6, 5, 4, 4, *(3,) * 4, *(2,) * 8, *(1,) * 35),
        },
        girls=0.75,
        pairs=(
            *_GIRLS_PAIRS,
            *((("old", "girl"), ("old", "girl")),) * 2,
            *((("mid", "girl"), ("mid", "girl")),) * 2,
        ),
        straddling=3,
        others={"opening": 19, "later": 22, "override": 2, "age_withdrawn": 2, "was_undefined": 2},
        closed_next_year=0,
        lasting=67,
        lasting_worrying=18,
        lasting_closed=5,
    ),
}


def repeaters_by_gender(extras: tuple[int, ...], boys: int) -> list[tuple[int, str]]:
    """Say who repeats: boys with `boys` extra episodes together, the child with most episodes being a girl."""
    chosen: set[int] = set()
    ranked = sorted(range(len(extras)), key=lambda index: -extras[index])
    for rank, index in enumerate(ranked):
        last_ones = extras[index] == 1
        if (rank % 3 == 1 or last_ones) and extras[index] <= boys:
            chosen.add(index)
            boys -= extras[index]
    return [(extra, "boy" if index in chosen else "girl") for index, extra in enumerate(extras)]


class Runaways:
    """Plans the runaway cases of one year."""

    def __init__(self, world: World, people: People, year: int) -> None:
        self.world = world
        self.people = people
        self.rng = world.rng
        self.year = year
        self.plan = PLANS[year]
        self.singles: list[Case] = []  # cases whose children appear in no other case of the year
        self.band: dict[Case, Band] = {}

    def build(self) -> None:
        """Open the year's cases, decide which are worrying and why, and when they close."""
        pool: dict[Who, int] = {}
        for band in BANDS:
            self._repeaters(band, pool)
        pairs = list(self.plan.pairs)
        for pair in pairs:
            for who in pair:
                pool[who] -= 1
        for (band, gender), count in pool.items():
            for _ in range(count):
                self._single([(band, gender)])
        for pair in pairs:
            self._single(list(pair))
        self._at_the_edges()
        self._estimates()
        self._triggers()
        self._close()

    def _repeaters(self, band: Band, pool: dict[Who, int]) -> None:
        extras, appearances = self.plan.extras[band], self.plan.appearances[band]
        children = appearances - sum(extras)
        girls = int(self.plan.girls * children + 0.5)
        extra_boys = appearances - int(self.plan.girls * appearances + 0.5) - (children - girls)
        drawn = repeaters_by_gender(extras, extra_boys)
        for extra, gender in drawn:
            self._episodes(band, gender, extra + 1)
        repeating = sum(gender == "girl" for _, gender in drawn)
        pool[band, "girl"] = girls - repeating
        pool[band, "boy"] = children - girls - (len(drawn) - repeating)

    def _episodes(self, band: Band, gender: str, count: int) -> None:
        """Let one child run away `count` times: found each time before the next, in one age band all year."""
        child = self.people.one(gender)
        first_year, last_year = {"young": (12, 9), "mid": (15, 14), "old": (17, 17)}[band]
        born = self.year - self.rng.randint(last_year, first_year)
        child.born = date(born, 1, 1) + timedelta(days=self.rng.randrange(350))
        child.nationality = "BE"
        if self.rng.random() < 0.9:  # the others are recognised by name and date of birth
            self.people.ref(child)
        slot = (year_start(self.year + 1) - year_start(self.year)) / count
        for index in range(count):
            opened = year_start(self.year) + (index + self.rng.uniform(0.2, 0.6)) * slot
            case = self._open(opened.replace(microsecond=0), [child], band)
            found = self.rng.uniform(0.02, 1) * min(0.3 * slot, 6 * DAY) + 4 * HOUR
            case.closed = (case.opened + found).replace(microsecond=0)

    def _single(self, who: list[Who]) -> None:
        bands = [band for band, _ in who]
        children = self.people.family([gender for _, gender in who])
        opened = random_opening(self.rng, self.year)
        case = self._open(opened, children, min(bands, key=BANDS.index))
        self.people.ages(case, [self.rng.randint(*AGES[band]) for band in bands])
        self.singles.append(case)

    def _open(self, opened: datetime, children: list[Child], band: Band) -> Case:
        case = self.world.open("runaway", opened)
        case.disappeared = (opened - self.rng.uniform(1, 36) * HOUR).replace(microsecond=0)
        case.children = children
        case.trigger = "age" if band == "young" else None
        self.band[case] = band
        return case

    def alone(self, band: Band) -> list[Case]:
        """Return the cases of one child of an age band who appears in no other case."""
        return [case for case in self.singles if self.band[case] == band and len(case.children) == 1]

    def _move(self, case: Case, opened: datetime, disappeared: datetime, age: int) -> None:
        case.opened, case.disappeared = opened, disappeared
        self.people.ages(case, [age])

    def _at_the_edges(self) -> None:
        """Put cases on the edges: of the year (in UTC some lie in the other one) and of a 13th birthday."""
        young, mid = self.alone("young"), self.alone("mid")
        new_year = year_start(self.year)
        first = new_year + 30 * MINUTE  # 23:30 UTC on 31 December of the year before
        last = year_start(self.year + 1) - 10 * MINUTE
        self._move(young[0], first, first - 5 * HOUR, 11)
        self._move(young[1], last, last - 5 * HOUR, 10)
        self._move(mid[0], new_year, new_year - 2 * HOUR, 14)
        # 22:30 UTC on 9 June is 10 June in Brussels: the 13th birthday there, the day before in UTC.
        night = datetime(self.year, 6, 9, 22, 30, tzinfo=UTC)
        self._move(mid[1], night + 3 * HOUR, night, 13)
        self._move(young[2], night + 5 * HOUR, night, 12)
        mid[1].children[0].born = date(self.year - 13, 6, 10)
        young[2].children[0].born = date(self.year - 13, 6, 11)

    def _estimates(self) -> None:
        """Know some children by an estimated age only; a range that reaches below 13 counts as under 13."""
        for case in self.alone("young")[5 : 5 + self.plan.straddling]:
            self._estimate(case.children[0], (12, 14))
        for band in BANDS:
            for case in self.alone(band)[10::14]:
                self._estimate(case.children[0], self.rng.choice(ESTIMATES[band]))

    def _estimate(self, child: Child, ages: tuple[int, int]) -> None:
        child.born, child.estimate = None, ages

    def _triggers(self) -> None:
        """Choose which of the others are worrying and why: facts that all come before the year is over."""
        early = year_start(self.year + 1) - 11 * DAY
        known = [c for c in self.alone("young")[20:] if c.children[0].born and c.opened < early]
        for case in known[:2]:
            case.trigger = "age_corrected"
        able = [c for b in BANDS[1:] for c in self.alone(b)[5:] if c.opened < early]
        chosen = self.world.shuffled(able)
        for trigger, count in self.plan.others.items():
            for _ in range(count):
                case = chosen.pop()
                if trigger == "age_withdrawn" and not case.children[0].born:
                    case.children[0].estimate = None
                    self.people.ages(case, [AGES[self.band[case]][0]])
                case.trigger = trigger

    def _close(self) -> None:
        edge = self.alone("young")[1]
        drawn = [case for case in self.world.shuffled(self.singles) if case is not edge]
        worrying = [case for case in drawn if case.trigger][: self.plan.lasting_worrying - 1]
        calm = [case for case in drawn if not case.trigger][: self.plan.lasting - self.plan.lasting_worrying]
        lasting = [edge, *worrying, *calm]
        kept = set(lasting)
        rest = [case for case in drawn if case not in kept]
        next_year = {
            self.year + 1: self.plan.closed_next_year,
            self.year: len(rest) - self.plan.closed_next_year,
        }
        self.world.settle(rest, next_year, MEDIAN)
        self.world.settle(lasting, {max(self.year + 1, 2021): self.plan.lasting_closed}, MEDIAN)


def before_2019(world: World, people: People) -> None:
    """Open 24 runaway cases that are still open in 2021, 15 of them worrying."""
    for index, case in enumerate(world.open_many("runaway", None, 24)):
        young = index < 8
        case.disappeared = case.opened - world.rng.randint(2, 30) * HOUR
        case.children = [people.one("boy" if index % 3 == 0 else "girl")]
        people.ages(case, [world.rng.randint(9, 12) if young else world.rng.randint(13, 17)])
        case.trigger = "age" if young else "later" if index < 15 else None
        if index % 2:
            world.close_in(case, 2021, MEDIAN)


def edges_of_closing(cases: list[Case]) -> None:
    """Reopen some cases, and close one in 2020 and one in 2021 within an hour of midnight in Brussels."""
    older = [case for case in cases if case.year == 2020 and case.opened < year_start(2021) - 30 * DAY]
    still = [case for case in older if case.closed is None][:2]
    for case, month in zip(still, (2, 9), strict=True):
        again = datetime(2021, month, 3, 9, 15, tzinfo=UTC)
        case.closed = case.opened + 9 * DAY
        case.reopened = (again, again + 12 * DAY)
    newest = [case for case in cases if case.year == 2021 and case.closed and len(case.children) == 1]
    for case in [
        c for c in newest if c.closed and c.closed < year_start(2022) - 40 * DAY and not c.children[0].ref
    ][:3]:
        if case.closed:
            case.reopened = (case.closed + 5 * DAY, case.closed + 8 * DAY)
    next(c for c in older if c.closed and c.closed > year_start(2021)).closed = datetime(
        2020, 12, 31, 23, 30, tzinfo=UTC
    )
    silent = [
        c
        for c in older
        if c.closed and c.closed < year_start(2021) and not c.children[0].ref and not c.reopened
    ]
    silent[0].closed = datetime(2020, 12, 31, 22, 30, tzinfo=UTC)


def same_children_again(people: People, earlier: Runaways, later: Runaways, count: int) -> None:
    """Let children who ran away once in one year run away once in the next."""
    slots = [case for band in BANDS[1:] for case in later.alone(band)[5:] if not case.trigger]
    again = [case for case in earlier.alone("mid")[5:] if case.children[0].born and not case.trigger]
    again = [case for case in again if case.closed and case.closed < year_start(later.year)]
    done = 0
    for before in again:
        child = before.children[0]
        for slot in slots:
            if (
                done < count
                and slot.children[0].gender == child.gender
                and fits(child, slot, later.band[slot])
            ):
                slot.children = [people.ref(child)]
                slots.remove(slot)
                done += 1
                break
    if done < count:
        raise AssertionError(f"only {done} of {count} children appear again: plan more single cases")


def fits(child: Child, case: Case, band: Band) -> bool:
    """Tell whether a child has the age of a band on the day of a case's disappearance."""
    if child.born is None or case.disappeared is None or case.children[0].born is None:
        return False
    day = brussels_day(case.disappeared)
    age = day.year - child.born.year - ((day.month, day.day) < (child.born.month, child.born.day))
    return AGES[band][0] <= age <= AGES[band][1]
