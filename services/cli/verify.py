"""`zoeklicht verify`: every invariant, proven from the tables alone."""

from datetime import timedelta
from pathlib import Path

from rich.console import Console

from services.cli.insight import pool_of
from services.cli.local import system
from services.cli.place import Place
from services.dispatch import auditor
from services.kernel.postgres import Pool, queries

_SQL = queries("services.cli")
_SHOWN = 20

console = Console(highlight=False, soft_wrap=True)


async def findings(pool: Pool, linger: timedelta) -> dict[str, list[str]]:
    """Each invariant, and what breaks it: of the log and the read models, and the auditor's of the deliveries."""
    found = {name: [row["finding"] for row in await pool.fetch(sql)] for name, sql in _SQL.items()}
    found |= {f"deliveries: {rule}": [] for rule in auditor.RULES}
    for one in await auditor.verify(pool, linger):
        found[f"deliveries: {one.rule}"].append(str(one))
    return found


async def verify(data: Path) -> int:
    """Checks everything and lists what is broken; 1 when anything is."""
    async with system(Place(data), with_kafka=False) as found, pool_of(found) as pool:
        result = await findings(pool, timedelta(seconds=found.settings.standby_linger_s))
    broken = {name: lines for name, lines in result.items() if lines}
    for name, lines in broken.items():
        console.print(f"broken: {name} ({len(lines)})", markup=False)
        for line in lines[:_SHOWN]:
            console.print(f"  {line}", markup=False)
    console.print(f"{len(result) - len(broken)} of {len(result)} invariants hold")
    return 1 if broken else 0
