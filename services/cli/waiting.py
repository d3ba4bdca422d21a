"""Showing a wait: how far everything is, in the terminal."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.cli.caught_up import Behind, caught_up, topics_reader
from services.cli.local import System
from services.cli.terminal import err
from services.kernel.postgres import Pool


def progress_bar() -> Progress:
    """A bar on standard error; a file sees nothing of it."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


async def until_caught_up(found: System, pool: Pool, bar: Progress, within_s: float | None = None) -> bool:
    """Waits until the read models hold everything; False when `within_s` seconds were not enough."""
    task = bar.add_task("read models")
    most = 0

    def tell(now: Behind) -> None:
        nonlocal most
        most = max(most, now.total)
        bar.update(task, total=most, completed=most - now.total)

    async with topics_reader(found.settings) as client:
        return await caught_up(pool, client, found.settings, within_s=within_s, tell=tell)
