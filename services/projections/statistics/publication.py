"""Public figures as rows: what was counted of each quarter, put together to years, and without what would tell of one child."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.projections.statistics.periods import QUARTERS, Quarter
from services.projections.statistics.suppression import Bound, Design, Sum, withheld
from services.projections.statistics.tables import ACTIVITY, CHILDREN, NEW_CASES, TABLES, TOTALS

TOTAL = "total"
_WORRYING = ("new_cases_by_assessment", "worrying")
_CRITERIA = "worrying_by_criterion"
_SIBLINGS = "siblings"
"""Never published: by how many the children are more than the cases, which follows from both."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted of a quarter: totals, months (01 to 12), each category of each table, and what tells of nobody."""

    totals: Mapping[str, int]
    months: Mapping[str, int] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    activity: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """One number. `value` is None where it is withheld."""

    period: str
    table: str
    category: str
    value: int | None


def lines(counted: Mapping[Quarter, Counts]) -> list[Line]:
    """All that is published, by year: the year, once it is whole, its quarters, its months."""
    found: list[Line] = []
    for year in sorted({quarter.year for quarter in counted}):
        found += _year(year, {q: counts for q, counts in sorted(counted.items()) if q.year == year})
    return found


def _name(period: object, table: str, category: str = TOTAL) -> str:
    return f"{period}/{table}/{category}"


def _year(year: int, counted: Mapping[Quarter, Counts]) -> Iterator[Line]:
    cells: dict[str, int] = {}
    settled: dict[str, bool] = {}
    sums: list[Sum] = []
    for quarter, counts in counted.items():
        own = {_name(quarter, NEW_CASES): counts.totals[NEW_CASES]} | {
            _name(f"{year}-{month}", NEW_CASES): counts.months.get(month, 0) for month in quarter.months
        }
        total, *months = own
        one = Sum(total, tuple(months))
        # Each quarter is published by itself, before anybody knows the year: that stays as it is.
        gone = withheld(own, Design([one]))
        settled |= {name: name in gone for name in own}
        cells |= own
        sums.append(one)
    activity: Mapping[str, int] = {}
    if len(counted) == QUARTERS:
        added = _added(list(counted.values()))
        cells |= {_name(year, *place): number for place, number in _places(added)}
        design = _design(year, sums, [name for name in settled if "-Q" in name])
        gone = withheld(cells, design, settled)
        settled |= {name: name in gone for name in cells}
        activity = added.activity
    for name in sorted(cells, key=_rank):
        period, table, category = name.split("/")
        if table != _SIBLINGS:
            yield Line(period, table, category, None if settled[name] else cells[name])
    for name, number in activity.items():
        yield Line(str(year), "activity", name, number)


def _rank(name: str) -> int:
    """Years, then quarters, then months."""
    period = name.partition("/")[0]
    return 1 if "-Q" in period else 2 if "-" in period else 0


def _added(quarters: Sequence[Counts]) -> Counts:
    """A year is the sum of what was published of its quarters, so that there is nothing between the two."""
    return Counts(
        totals={name: sum(one.totals[name] for one in quarters) for name in TOTALS},
        tables={
            table.name: {
                category: sum(one.tables.get(table.name, {}).get(category, 0) for one in quarters)
                for category in table.categories
            }
            for table in TABLES
        },
        activity={name: sum(one.activity.get(name, 0) for one in quarters) for name in ACTIVITY},
    )


def _places(counts: Counts) -> Iterator[tuple[tuple[str, str], int]]:
    for name, number in counts.totals.items():
        yield (name, TOTAL), number
    yield (_SIBLINGS, TOTAL), max(counts.totals[CHILDREN] - counts.totals[NEW_CASES], 0)
    for table in TABLES:
        for category in table.categories:
            yield (table.name, category), counts.tables[table.name][category]


def _design(year: int, sums: Sequence[Sum], quarters: Sequence[str]) -> Design:
    total, children = _name(year, NEW_CASES), _name(year, CHILDREN)
    siblings = _name(year, _SIBLINGS)
    tables = [
        Sum(_name(year, table.total), tuple(_name(year, table.name, one) for one in table.categories))
        for table in TABLES
        if table.total
    ]
    (criteria,) = (table for table in TABLES if table.name == _CRITERIA)
    worrying = _name(year, *_WORRYING)
    return Design(
        sums=[*sums, Sum(total, tuple(quarters)), *tables, Sum(children, (siblings, total))],
        bounds=[Bound(_name(year, _CRITERIA, one), worrying) for one in criteria.categories],
        unpublished=[siblings],
        spared=[total],
    )
