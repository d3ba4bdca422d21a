"""A figure of the annual report, opened: which cases make it. Case numbers and clear facts, nobody's identity."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.kernel.postgres import Pool
from services.kernel.problems import InvalidError
from services.projections.figures import BREAKDOWNS, COUNTS, PARTS, QUOTIENTS, Count
from services.projections.reports import SOURCES, parameters


@dataclass(frozen=True, slots=True)
class Opened:
    """What is behind a figure: a count, and for a breakdown the column and the key it is of."""

    count: Count
    by: str | None = None
    key: str | None = None


def opened(figure: str, *, denominator: bool = False) -> Opened:
    """What is behind a figure, by its name in the report; `_share` may be left off.

    Of shares and means it is the numerator, or the denominator. Raises InvalidError when there is no such figure.
    """
    shares = QUOTIENTS.get(figure) or QUOTIENTS.get(f"{figure}_share")
    if shares:
        figure = shares[denominator]
        return Opened((COUNTS | PARTS)[figure])
    name, _, key = figure.rpartition(".")
    breakdown = BREAKDOWNS.get(name)
    if breakdown and denominator and breakdown.whole:
        return Opened((COUNTS | PARTS)[breakdown.whole])
    if not denominator and figure in COUNTS:
        return Opened(COUNTS[figure])
    if not denominator and breakdown and (key in breakdown.keys or not breakdown.keys):
        return Opened(breakdown.count, breakdown.by, key)
    if denominator:
        raise InvalidError("figure", "only shares and means have a denominator: leave part out")
    raise InvalidError("figure", "there is no such figure: take a name from the report, as in its csv format")


async def cases_behind(
    pool: Pool,
    zone: ZoneInfo,
    year: int,
    what: Opened,
    *,
    as_of: datetime | None = None,
    province: str | None = None,
    after: str | None = None,
    limit: int = 500,
) -> dict[str, Any]:
    """A page of the cases behind a figure, by case number, and the cursor of the next page (None: this is the last).

    `amount` is the figure counted over that case alone; what belongs to no case comes by its time.
    """
    count = what.count
    numbers = "(select min(case_number) from projections.annual_lifecycle l where l.case_id = s.case_id)"
    time = (
        "case when s.case_id is null then s.time end" if count.source == "counters" else "null::timestamptz"
    )
    condition = f"({count.opens or count.where})" + (
        f" and {what.by} = $6" if what.by else " and $6::text is null"
    )
    query = (
        f"{SOURCES}\nselect * from (select {numbers} as case_number, s.case_id, {time} as at,"
        f" {count.measure} as amount from {count.source} s where {condition} group by s.case_id, 1, 3) found"
        " where $7::text is null or case_number > $7 order by case_number, at limit $8"
    )
    rows = await pool.fetch(query, *parameters(zone, year, as_of, province), what.key, after, limit + 1)
    more, rows = len(rows) > limit, rows[:limit]
    return {
        "items": [_item(row) for row in rows],
        "next_cursor": rows[-1]["case_number"] if more else None,
    }


def _item(row: Any) -> dict[str, Any]:
    amount = row["amount"]
    number = round(amount, 2) if isinstance(amount, float) else int(amount)
    found = {"case_id": row["case_id"], "case_number": row["case_number"], "amount": number}
    return found if row["at"] is None else found | {"at": row["at"]}
