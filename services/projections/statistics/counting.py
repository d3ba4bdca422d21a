"""What is counted of a quarter, as it was known when it was published."""

from zoneinfo import ZoneInfo

from services.kernel.postgres import Connection
from services.projections.reports import counted, statement
from services.projections.statistics.periods import Quarter
from services.projections.statistics.publication import Counts
from services.projections.statistics.tables import ACTIVITY, MONTHS, TABLES, TOTALS

_MONTHS = "months"
_STATEMENT = statement(TOTALS | ACTIVITY, {table.name: table.counts for table in TABLES} | {_MONTHS: MONTHS})


async def counts_of(connection: Connection, quarter: Quarter, zone: ZoneInfo) -> Counts:
    """One statement; the whole country, as everything here is."""
    begin, end, known_at = quarter.begins(zone), quarter.ends(zone), quarter.known_at(zone)
    rows = await connection.fetch(_STATEMENT, begin, end, known_at, str(zone), None)
    numbers, broken_down = counted(rows)
    whole = {name: int(number or 0) for name, number in numbers.items()}
    parts = {name: {key: int(n or 0) for key, n in part.items()} for name, part in broken_down.items()}
    return Counts(
        totals={name: whole[name] for name in TOTALS},
        months=parts.pop(_MONTHS),
        tables=parts,
        activity={name: whole[name] for name in ACTIVITY},
    )
