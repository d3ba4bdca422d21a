"""The annual report: figures counted in SQL, and here only put into their places.

New: opened in the year of the installation's calendar, by the time of the event. Handled: open at any time in it.
Worrying: new, and assessed as worrying at least once. Kind, details and children: as known at `as_of`, which means
recorded by then. Closed: not open when the year ends. A campaign counts in the year of its release.
"""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from openpyxl import Workbook

from services.kernel.postgres import Pool, queries

_SQL = queries("services.projections", "reports.sql")

Figure = int | dict[str, Any]
Report = dict[str, Any]

FIRST_YEAR = 1990
"""Before it there were no such lines: the Belgian one dates from 1998."""
_FOREVER = datetime(9999, 12, 30, tzinfo=UTC)
_QUERIES = ("by_case", "by_child", "by_count")
_ABDUCTION = "details.international_parental_abduction"

QUOTIENTS = {
    "details.reach_people_per_disappearance": ("details.reach_people", "reached"),
    "details.reach_interactions_per_disappearance": ("details.reach_interactions", "reached"),
    "details.runaway.girls_share": ("runaway_girls", "runaways"),
    "details.runaway.under_13_share": ("runaways_under_13", "runaways"),
    "details.runaway.13_to_15_share": ("runaways_13_to_15", "runaways"),
    "details.runaway.16_to_17_share": ("runaways_16_to_17", "runaways"),
    f"{_ABDUCTION}.closed_share": (f"{_ABDUCTION}.closed", f"{_ABDUCTION}.handled_effective"),
    f"{_ABDUCTION}.mother_share": ("mothers", "handled.international_parental_abduction"),
    f"{_ABDUCTION}.father_share": ("fathers", "handled.international_parental_abduction"),
    "details.third_party_abduction.under_10_share": ("third_party_under_10", "third_party"),
    "details.unaccompanied_minor.boys_share": ("minor_boys", "minors"),
    "details.unaccompanied_minor.closed_share": ("minors_closed", "handled.unaccompanied_minor"),
}
"""Shares and means: what is divided by what."""

_SECTIONS = ("new_cases", "worrying", "campaigns", "handled", "details")
COLUMNS = ("figure", "value", "numerator", "denominator")


async def annual(pool: Pool, zone: ZoneInfo, year: int, as_of: datetime | None = None) -> Report:
    """The report of a year; with `as_of`, as it was known then (recorded by that moment)."""
    begin, end = datetime(year, 1, 1, tzinfo=zone), datetime(year + 1, 1, 1, tzinfo=zone)
    counted: dict[str, int | None] = {}
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        for name in _QUERIES:
            query = f"{_SQL['cases']}\n{_SQL[name]}"
            counted |= dict(await connection.fetchrow(query, begin, end, as_of or _FOREVER))
    report: Report = {"year": year}
    if as_of is not None:
        report["as_of"] = as_of.isoformat()
    return report | _nested(_figures(counted))


def _figures(counted: dict[str, int | None]) -> dict[str, Figure]:
    figures: dict[str, Figure] = {
        name: count
        for name, count in counted.items()
        if count is not None and name.partition(".")[0] in _SECTIONS
    }
    for name, (part, whole) in QUOTIENTS.items():
        figures[name] = quotient(counted[part] or 0, counted[whole] or 0)
    return figures


def quotient(numerator: int, denominator: int) -> dict[str, Any]:
    """A share or a mean with what it was made from; of nothing, there is no share."""
    value = numerator / denominator if denominator else None
    return {"value": value, "numerator": numerator, "denominator": denominator}


def _nested(figures: dict[str, Figure]) -> Report:
    report: Report = {}
    for name, figure in sorted(figures.items(), key=lambda item: _SECTIONS.index(item[0].partition(".")[0])):
        *path, last = name.split(".")
        place = report
        for step in path:
            place = place.setdefault(step, {})
        place[last] = figure
    return report


def rows(report: Report) -> Iterator[tuple[str, int | float | None, int | None, int | None]]:
    """The figures of a report, one a row: dotted name, value, and for shares and means numerator, denominator."""
    yield from _walk("", {section: report[section] for section in _SECTIONS if section in report})


def _walk(prefix: str, place: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
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


def as_xlsx(report: Report) -> bytes:
    """The report as an Excel workbook with one sheet."""
    book = Workbook()
    sheet = book.active
    if sheet is None:
        raise AssertionError("a new workbook has a sheet")
    sheet.title = str(report["year"])
    sheet.append(COLUMNS)
    for row in rows(report):
        sheet.append(row)
    sheet.column_dimensions["A"].width = 60
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()
