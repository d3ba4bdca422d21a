"""The annual report: figures counted in one statement, and here put into their places and into formats.

What each figure means is said in `figures`.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from services.kernel.postgres import Connection, Pool, queries
from services.projections.figures import BREAKDOWNS, COUNTS, PARTS, QUOTIENTS, SECTIONS, Breakdown, Count

SOURCES = queries("services.projections", "reports.sql")["sources"]

Number = int | float | None
Figure = Number | dict[str, Any]
Report = dict[str, Any]

WITHIN_S = 600
"""Seconds that a report may take: one of a continent's history takes longer than any other question may."""
FIRST_YEAR = 1990
"""Before it there were no such lines: the Belgian one dates from 1998."""
COLUMNS = ("figure", "value", "numerator", "denominator")
_FOREVER = datetime(9999, 12, 30, tzinfo=UTC)
_EVERY = COUNTS | PARTS


def parameters(
    zone: ZoneInfo, year: int, as_of: datetime | None, province: str | None
) -> tuple[datetime, datetime, datetime, str, str | None]:
    """The parameters of `SOURCES`."""
    begin, end = datetime(year, 1, 1, tzinfo=zone), datetime(year + 1, 1, 1, tzinfo=zone)
    return begin, end, as_of or _FOREVER, str(zone), province


async def annual(
    pool: Pool,
    zone: ZoneInfo,
    year: int,
    as_of: datetime | None = None,
    *,
    beside: int = 0,
    province: str | None = None,
) -> Report:
    """The report of a year, with `beside` so many earlier years beside it.

    With `as_of`, as it was known then (recorded by that moment). With `province`, of the cases there alone.
    """
    async with pool.acquire() as connection:
        # For this report alone: given back to the pool, a connection forgets them.
        await connection.execute(f"set transaction_timeout = '{WITHIN_S}s'; set work_mem = '64MB'")
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            report = await year_of(connection, zone, year, as_of, province)
            earlier = range(year - 1, max(year - 1 - beside, FIRST_YEAR - 1), -1)
            if beside:
                report["beside"] = {
                    str(y): strip(await year_of(connection, zone, y, as_of, province)) for y in earlier
                }
    return report


async def year_of(
    connection: Connection,
    zone: ZoneInfo,
    year: int,
    as_of: datetime | None = None,
    province: str | None = None,
) -> Report:
    """The report of one year, in the caller's transaction."""
    rows = await connection.fetch(_STATEMENT, *parameters(zone, year, as_of, province), timeout=WITHIN_S)
    counts, broken_down = counted(rows)
    report: Report = {"year": year}
    if as_of is not None:
        report["as_of"] = as_of.isoformat()
    if province is not None:
        report["province"] = province
    return report | _nested(_figures(counts, broken_down))


def counted(rows: Iterable[Any]) -> tuple[dict[str, Number], dict[str, dict[str, Number]]]:
    """The answer to a `statement`: counts by name, and numbers by key for each breakdown."""
    counts: dict[str, Number] = {}
    broken_down: dict[str, dict[str, Number]] = {}
    for row in rows:
        numbers = orjson.loads(row["numbers"] or "{}")
        if row["breakdown"] is None:
            counts |= numbers
        else:
            broken_down[row["breakdown"]] = numbers
    return counts, broken_down


def strip(report: Report) -> Report:
    """The figures alone."""
    return {section: report[section] for section in SECTIONS if section in report}


def statement(counts: Mapping[str, Count], breakdowns: Mapping[str, Breakdown]) -> str:
    """One statement for all: one pass over each source, and one for each breakdown. `counted` reads its answer."""
    selects = []
    for source in dict.fromkeys(count.source for count in counts.values()):
        measures = [
            f"'{name}', {count.measure} filter (where {count.where})"
            for name, count in counts.items()
            if count.source == source
        ]
        # A function takes at most 100 arguments: two for each figure.
        parts = [", ".join(measures[start : start + 40]) for start in range(0, len(measures), 40)]
        whole = " || ".join(f"jsonb_build_object({part})" for part in parts)
        selects.append(f"select null as breakdown, {whole} as numbers from {source}")
    for name, breakdown in breakdowns.items():
        count = breakdown.count
        inner = f"select {breakdown.by} as key, {count.measure} as number from {count.source} where {count.where} group by 1"
        selects.append(f"select '{name}', jsonb_object_agg(key, number) from ({inner}) b")
    return SOURCES + "\n" + "\nunion all\n".join(selects)


_STATEMENT = statement(_EVERY, BREAKDOWNS)


def _figures(
    counted: Mapping[str, Number], broken_down: Mapping[str, Mapping[str, Number]]
) -> dict[str, Figure]:
    counted = {name: _number(counted[name], count.empty) for name, count in _EVERY.items()}
    figures: dict[str, Figure] = {name: n for name, n in counted.items() if n is not None and name in COUNTS}
    for name, (part, whole) in QUOTIENTS.items():
        figures[name] = quotient(_whole(counted[part]), _whole(counted[whole]))
    for name, breakdown in BREAKDOWNS.items():
        if not breakdown.keys and not broken_down[name]:
            figures[name] = {}
        whole_number = _whole(counted[breakdown.whole]) if breakdown.whole else None
        for key, n in _by_key(breakdown, broken_down[name]):
            figures[f"{name}.{key}"] = n if whole_number is None else quotient(_whole(n), whole_number)
    return figures


def _by_key(breakdown: Breakdown, found: Mapping[str, Number]) -> Iterable[tuple[str, Number]]:
    if not breakdown.keys:
        # The most frequent first, as one reads it.
        return sorted(
            ((k, _number(n, None)) for k, n in found.items()), key=lambda kv: (-(kv[1] or 0), kv[0])
        )
    return ((key, _number(found.get(key), 0)) for key in breakdown.keys)


def _number(value: Number, empty: int | None) -> Number:
    """Medians and times to hundredths: more digits would say nothing."""
    if isinstance(value, float):
        return round(value, 2)
    return empty if value is None else value


def _whole(value: Number) -> int:
    return int(value or 0)


def quotient(numerator: int, denominator: int) -> dict[str, Any]:
    """A share or a mean with what it was made from; of nothing, there is no share."""
    value = numerator / denominator if denominator else None
    return {"value": value, "numerator": numerator, "denominator": denominator}


def _nested(figures: dict[str, Figure]) -> Report:
    report: Report = {}
    for name, figure in sorted(figures.items(), key=lambda item: SECTIONS.index(item[0].partition(".")[0])):
        *path, last = name.split(".")
        place = report
        for step in path:
            place = place.setdefault(step, {})
        place[last] = figure
    return report


Row = tuple[str, Number, int | None, int | None]


def rows(report: Report) -> Iterator[Row]:
    """The figures of a report, one a row: dotted name, value, and for shares and means numerator, denominator.

    Those of the years beside it come last, named `beside.2020.…`.
    """
    yield from _walk("", strip(report))
    for year, earlier in report.get("beside", {}).items():
        yield from _walk(f"beside.{year}.", earlier)


def _walk(prefix: str, place: dict[str, Any]) -> Iterator[Row]:
    for name, figure in place.items():
        if not isinstance(figure, dict):
            yield f"{prefix}{name}", figure, None, None
        elif figure.keys() == {"value", "numerator", "denominator"}:
            yield f"{prefix}{name}", figure["value"], figure["numerator"], figure["denominator"]
        else:
            yield from _walk(f"{prefix}{name}.", figure)


def as_csv(report: Report) -> str:
    """The report as comma-separated values."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(rows(report))
    return text.getvalue()
