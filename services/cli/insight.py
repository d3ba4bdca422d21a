"""Commands that look: how far the read models are, and whether every invariant holds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from schemas.events import TOPICS
from services.cli.caught_up import topics_reader
from services.cli.local import System, system
from services.cli.place import Place
from services.kernel.kafka import end_offsets
from services.kernel.postgres import Pool, create_pool
from services.projections.projection import label
from services.projections.registry import PROJECTIONS
from services.projections.status import status

console = Console(highlight=False)


@asynccontextmanager
async def pool_of(found: System, size: int = 2) -> AsyncIterator[Pool]:
    """A small pool for one command."""
    pool = await create_pool(
        found.settings.database_url.get_secret_value(), size=size, application="zoeklicht-cli"
    )
    try:
        yield pool
    finally:
        await pool.close()


async def projections_list(_data: Path) -> None:
    """Every read model of this version; needs no server."""
    table = Table("projection", "topics")
    for projection in PROJECTIONS:
        table.add_row(label(projection), ", ".join(projection.topics))
    console.print(table)


async def projections_status(data: Path) -> int:
    """How far each read model is; 1 when one was stopped by an event."""
    async with system(Place(data)) as found, pool_of(found) as pool, topics_reader(found.settings) as client:
        ends = await end_offsets(client, [found.settings.topic(name) for name in TOPICS])
        states = await status(pool, ends)
    table = Table("projection", "behind", "moved", "stopped at", "unknown types skipped")
    for one in states:
        table.add_row(
            f"{one.name}.v{one.version}",
            str(one.lag),
            f"{one.moved_at:%Y-%m-%d %H:%M:%S}" if one.moved_at else "never",
            one.stopped or "none",
            ", ".join(f"{name} x{count}" for name, count in one.unknown.items()) or "none",
        )
    console.print(table)
    return 1 if any(one.stopped for one in states) else 0
