"""Commands about what was: taking in history from elsewhere, and the figures of a year."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from services.cli.caught_up import NEEDED, Behind, caught_up, topics_reader
from services.cli.insight import pool_of
from services.cli.local import System, system, with_services
from services.cli.place import Place
from services.intake.handlers import IntakeDeps
from services.intake.importer import ImportResult, import_lines
from services.intake.policy import load_policy
from services.kernel.clock import SystemClock
from services.kernel.errors import ZoeklichtError
from services.kernel.postgres import Pool, create_pool
from services.kernel.vault import Vault
from services.projections import case_list, reports
from services.projections.render import annual_table

REPORT_WITHIN_S = 30.0
_PAGE = 200

out = Console(highlight=False, soft_wrap=True)
err = Console(highlight=False, soft_wrap=True, stderr=True)


class HistoryError(ZoeklichtError):
    """The command cannot do what was asked; the message says what to do."""


async def import_file(file: Path, data: Path) -> int:
    """Imports a file and waits until it is in every report; 1 when the file holds bad lines, the second time too.

    Raises HistoryError when the file is not UTF-8, ImportBusyError.
    """
    lines = _lines(file)
    async with system(Place(data)) as found, with_services(found, NEEDED), pool_of(found, 4) as pool:
        with _progress() as bar:
            task = bar.add_task("lines", total=len(lines))
            result = await _import(found, pool, lines, lambda done: bar.update(task, completed=done))
            await _all_caught_up(found, pool, bar, bar.add_task("read models"), None)
        open_worrying = await _open_worrying(pool)
    _tell(result, open_worrying)
    return 1 if result.bad else 0


def _lines(file: Path) -> Sequence[str]:
    try:
        with file.open(encoding="utf-8", newline="\n") as source:
            return source.readlines()
    except UnicodeDecodeError as error:
        raise HistoryError(f"{file} is not UTF-8 at byte {error.start}: convert it first") from error


async def _import(
    found: System, pool: Pool, lines: Sequence[str], progress: Callable[[int], None]
) -> ImportResult:
    keys = await create_pool(found.settings.vault_url, size=2, application="zoeklicht-import-vault")
    try:
        vault = Vault(keys, found.settings.master_key_bytes)
        deps = IntakeDeps(pool, vault, found.settings, load_policy(found.settings.policy))
        return await import_lines(deps, lines, progress)
    finally:
        await keys.close()


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


async def report(year: int, form: str, output: Path | None, data: Path) -> int:
    """Shows the report of a year; waits up to 30 s for what was written last. Raises HistoryError."""
    this_year = SystemClock().now().year
    if not reports.FIRST_YEAR <= year <= this_year:
        raise HistoryError(f"ask for a year from {reports.FIRST_YEAR} to {this_year}")
    if form == "xlsx" and output is None:
        raise HistoryError("a workbook is no text: name a file with --output")
    async with system(Place(data)) as found, with_services(found, NEEDED), pool_of(found) as pool:
        with _progress() as bar:
            whole = await _all_caught_up(found, pool, bar, bar.add_task("read models"), REPORT_WITHIN_S)
        figures = await reports.annual(pool, found.settings.zone, year)
    if not whole:
        err.print(
            f"the read models had not caught up within {REPORT_WITHIN_S:.0f} s: the newest events are missing"
        )
    _write(figures, form, output)
    return 0


def _write(figures: reports.Report, form: str, output: Path | None) -> None:
    if form == "table":
        target = output.open("w", encoding="utf-8") if output else nullcontext()
        with target as file:
            (Console(file=file, width=120) if output else out).print(annual_table([figures]))
        return
    content = _bytes(figures, form)
    if output is None:
        out.file.write(content.decode())
        out.file.flush()
    else:
        output.write_bytes(content)


def _bytes(figures: reports.Report, form: str) -> bytes:
    if form == "json":
        return orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if form == "csv":
        return reports.as_csv(figures).encode()
    return reports.as_xlsx(figures)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


async def _all_caught_up(
    found: System, pool: Pool, bar: Progress, task: TaskID, within_s: float | None
) -> bool:
    most = 0

    def tell(now: Behind) -> None:
        nonlocal most
        most = max(most, now.total)
        bar.update(task, total=most, completed=most - now.total)

    async with topics_reader(found.settings) as client:
        return await caught_up(pool, client, found.settings, within_s=within_s, tell=tell)
