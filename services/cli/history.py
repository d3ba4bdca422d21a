"""`zoeklicht import`: taking in history from elsewhere."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from services.cli.caught_up import NEEDED
from services.cli.insight import keys_of, pool_of
from services.cli.local import System, system, with_services
from services.cli.place import Place
from services.cli.terminal import err
from services.cli.waiting import progress_bar, until_caught_up
from services.intake.handlers.steps import IntakeDeps
from services.intake.import_file import FileLines
from services.intake.importer import ImportResult, import_lines
from services.intake.policy import load_policy
from services.kernel.postgres import Pool
from services.kernel.vault import Vault, ring_of
from services.projections.models import case_list

_PAGE = 200

out = Console(highlight=False, soft_wrap=True)


async def import_file(file: Path, data: Path) -> int:
    """Imports a file and waits until it is in every report; 1 when the file holds bad lines, the second time too.

    Raises ImportFileError when the file is not UTF-8, ImportBusyError.
    """
    with FileLines(file) as lines:
        async with system(Place(data)) as found, with_services(found, NEEDED), pool_of(found, 4) as pool:
            with progress_bar() as bar:
                task = bar.add_task("lines", total=None)

                def tell(done: int, of: int) -> None:
                    bar.update(task, completed=done, total=of)

                result = await _import(found, pool, lines, tell)
                await until_caught_up(found, pool, bar)
            open_worrying = await _open_worrying(pool)
    _tell(result, open_worrying)
    return 1 if result.bad else 0


async def _import(
    found: System, pool: Pool, lines: FileLines, progress: Callable[[int, int], None]
) -> ImportResult:
    async with keys_of(found) as keys:
        vault = Vault(keys, ring_of(found.settings))
        deps = IntakeDeps(pool, vault, found.settings, load_policy(found.settings.policy))
        return await import_lines(deps, lines, progress)


async def _open_worrying(pool: Pool) -> list[str]:
    wanted = case_list.Filter(worrying=True, open=True, q=None)
    numbers: list[str] = []
    cursor: str | None = None
    while True:
        page = await case_list.page_of(pool, wanted, cursor, _PAGE)
        numbers += [item["case_number"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            return numbers


def _tell(result: ImportResult, open_worrying: Sequence[str]) -> None:
    for number, reason in result.bad:
        err.print(f"line {number}: {reason}", markup=False)
    out.print(f"{result.appended} lines taken in, {result.skipped} known already, {len(result.bad)} bad")
    if open_worrying:
        out.print(f"{len(open_worrying)} open worrying cases, to be looked at by a person:")
        out.print("  " + ", ".join(open_worrying), markup=False)
