"""What an operations room sees of cases and figures at a glance, without anybody's identity."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from services.kernel.postgres import Pool, queries

DAYS = 30
"""How far back the trends go."""

_SQL = queries("services.projections", "overview.sql")


async def moved(pool: Pool) -> int:
    """A number that changes whenever a projection takes something in; cheap to ask for, again and again."""
    return int(await pool.fetchval(_SQL["moved"]))


async def open_cases(pool: Pool, *, worrying: bool, limit: int) -> Sequence[Mapping[str, Any]]:
    """Open cases of one sort, the last opened first."""
    found: Sequence[Mapping[str, Any]] = await pool.fetch(_SQL["open_cases"], worrying, limit)
    return found


async def open_places(pool: Pool) -> Sequence[Mapping[str, Any]]:
    """How many cases are open, and worrying among them, by municipality (None: nobody knows where)."""
    found: Sequence[Mapping[str, Any]] = await pool.fetch(_SQL["open_places"])
    return found


async def trends(pool: Pool, zone: ZoneInfo, now: datetime) -> list[dict[str, Any]]:
    """The last `DAYS` days in the installation's calendar, today last: cases opened, worrying ones, calls and reach."""
    today = now.astimezone(zone).date()
    first = today - timedelta(days=DAYS - 1)
    since = datetime(first.year, first.month, first.day, tzinfo=zone)
    days = {first + timedelta(days=n): _empty() for n in range(DAYS)}
    for row in await pool.fetch(_SQL["opened_days"], zone.key, since):
        _add(days, row["day"], cases=row["cases"], worrying=row["worrying"])
    for row in await pool.fetch(_SQL["counted_days"], zone.key, since):
        _add(days, row["day"], calls=row["calls"], people=row["people"], interactions=row["interactions"])
    return [{"day": day.isoformat(), **counts} for day, counts in days.items()]


def _empty() -> dict[str, int]:
    return dict.fromkeys(("cases", "worrying", "calls", "people", "interactions"), 0)


def _add(days: dict[date, dict[str, int]], day: date, **counts: Any) -> None:
    if day in days:  # an event may be dated tomorrow
        for name, count in counts.items():
            days[day][name] += int(count or 0)
