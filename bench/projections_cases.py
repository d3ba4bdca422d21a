"""The read model of the annual report filled by COPY, as so many cases over twenty years leave it."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from services.kernel.postgres import Pool

YEARS = range(2002, 2022)
"""The last one is reported."""
_KINDS = ("runaway",) * 6 + (
    "international_parental_abduction",
    "undefined",
    "unaccompanied_minor",
    "third_party_abduction",
)
_PROVINCES = (
    "10000",
    "20001",
    "20002",
    "30000",
    "40000",
    "50000",
    "60000",
    "70000",
    "80000",
    "90000",
    "04000",
)
_BEGIN = datetime(YEARS[0], 1, 1, tzinfo=UTC)
_SPAN_S = (datetime(YEARS[-1] + 1, 1, 1, tzinfo=UTC) - _BEGIN).total_seconds()
_PART = 50_000
Row = tuple[Any, ...]
Place = dict[str, list[Row]]
"""Rows by the table they go to."""

COLUMNS = {
    "lifecycle": "case_id version recorded_time time what merged_into case_number",
    "case": "case_id last_version first_time last_time last_recorded open",
    "nature": "case_id version recorded_time kind status abducting_parent subject country region towards_belgium helped",
    "child": "case_id child version recorded_time child_id age_min age_max gender nationality",
    "place": "case_id version recorded_time province",
    "outcome": "case_id child version recorded_time outcome time located",
    "worrying": "case_id recorded_time",
    "reason": "case_id reason recorded_time",
    "campaign": "campaign_id case_id kind time recorded_time",
    "ending": "campaign_id time recorded_time",
    "alert": "alert_id campaign_id case_id recorded_time displays",
    "display": "alert_id recipient dark time recorded_time",
    "counter": "stream version type case_id time recorded_time count interactions",
}


def _id(kind: int, number: int) -> UUID:
    """Spread as random ones are, and the same in every run."""
    return UUID(int=(((number * 8 + kind) * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128))


def _case(number: int, cases: int, dice: random.Random, put: Callable[..., None]) -> None:
    case = _id(1, number)
    opened = _BEGIN + timedelta(seconds=_SPAN_S * number / cases)
    kind = _KINDS[number % len(_KINDS)]
    abduction = kind == "international_parental_abduction"
    put("lifecycle", case, 1, opened, opened, "opened", None, f"{opened:%Y}-{number:07}")
    put(
        "nature",
        case,
        1,
        opened,
        kind,
        *(("effective", "mother", None, "FR", "european_union", False, None) if abduction else (None,) * 7),
    )
    # One in three of the children ran away before.
    put("child", case, 0, 1, opened, _id(2, number if number % 3 else number // 2), 14, 14, "girl", None)
    put("place", case, 1, opened, _PROVINCES[number % len(_PROVINCES)])
    closed = opened
    if number % 50:
        found = opened + timedelta(days=dice.expovariate(1 / 20))
        put("outcome", case, 0, 2, found, "found_safe", found, True)
        put("lifecycle", case, 3, found, found, "closed", None, None)
        closed = found
    put("case", case, 3 if number % 50 else 1, opened, closed, closed, number % 50 == 0)
    if number % 3 == 0:
        put("worrying", case, opened)
        put("reason", case, "criterion:under_13", opened)
    if number % 20 == 0:
        _searched_for(number, case, opened, put)
    put("counter", f"ops-{number}", 1, "calls.counted", case, opened, opened, 3, 0)


def _searched_for(number: int, case: UUID, opened: datetime, put: Callable[..., None]) -> None:
    campaign, alert, ended = _id(3, number), _id(4, number), opened + timedelta(days=2)
    put("campaign", campaign, case, "public", opened, opened)
    put("ending", campaign, ended, ended)
    displays = [_id(5, display) for display in range(31)]
    put("alert", alert, campaign, case, opened, displays)
    for place, display in enumerate(displays):
        for dark, time in ((False, opened), (True, ended)):
            put("display", alert, display, dark, time + timedelta(seconds=place), time)


def _parts(cases: int) -> Iterator[Place]:
    dice = random.Random(116_000)
    found: Place = {table: [] for table in COLUMNS}

    def put(table: str, *row: Any) -> None:
        found[table].append(row)

    for number in range(cases):
        _case(number, cases, dice, put)
        if sum(map(len, found.values())) > _PART or number == cases - 1:
            yield found
            for rows in found.values():
                rows.clear()


async def fill_report(pool: Pool, schema: str, cases: int) -> int:
    """Fills the tables of a version; returns how many rows."""
    total = 0
    async with pool.acquire() as connection:
        for table in COLUMNS:
            await connection.execute(f'truncate "{schema}"."annual_{table}"')
        for part in _parts(cases):
            for table, rows in part.items():
                total += len(rows)
                await connection.copy_records_to_table(
                    f"annual_{table}",
                    schema_name=schema,
                    columns=COLUMNS[table].split(),
                    records=rows,
                    timeout=600,
                )
        for table in COLUMNS:
            await connection.execute(f'vacuum analyze "{schema}"."annual_{table}"', timeout=600)
    return total
