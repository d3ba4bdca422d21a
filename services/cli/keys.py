"""The work of `zoeklicht keys …`: one wrapping key takes the place of another while everything goes on."""

import getpass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from services.cli.insight import keys_of, pool_of
from services.cli.local import system
from services.cli.place import Place
from services.cli.terminal import err
from services.kernel.audit import note
from services.kernel.vault import ring_of
from services.kernel.vault.keys import rewrap, wrapped_with

AT_ONCE = 500
console = Console(highlight=False, soft_wrap=True)


async def status(data: Path) -> None:
    """Shows which wrapping keys are in use."""
    async with system(Place(data), with_kafka=False) as found, keys_of(found, 1) as pool:
        ring, counts = ring_of(found.settings), await wrapped_with(pool)
    table = Table("wrapping key", "keys", "")
    for key_id in sorted({*ring.key_ids, *counts}):
        here = "opens" if key_id in ring.key_ids else "MISSING here: nothing of it opens"
        table.add_row(key_id, str(counts.get(key_id, 0)), "wraps new keys" if key_id == ring.key_id else here)
    console.print(table)


async def rewrap_all(data: Path, *, every: bool) -> None:
    """Wraps all keys with the first of the ring. Raises WrappingError; called again it goes on with what is left."""
    async with system(Place(data), with_kafka=False) as found, keys_of(found, 1) as pool:
        ring, before = ring_of(found.settings), await wrapped_with(pool)
        due = sum(count for key_id, count in before.items() if every or key_id != ring.key_id)
        columns = TextColumn("wrapping anew"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        done, last = 0, ""
        with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
            task = bar.add_task("keys", total=due)
            while True:
                reached, some = await rewrap(pool, ring, last, AT_ONCE, every=every)
                if reached is None:
                    break
                last, done = reached, done + some
                bar.update(task, completed=done)
        left = sum(count for key_id, count in (await wrapped_with(pool)).items() if key_id != ring.key_id)
        async with pool_of(found) as main:
            await note(main, getpass.getuser(), "command", f"keys.rewrapped {ring.key_id}", ())
    console.print(f"{done} keys are wrapped anew, with {ring.key_id}")
    if left:
        console.print(
            f"{left} are not: a service still wraps with another key; restart it with the new order, then"
            " rewrap again"
        )
