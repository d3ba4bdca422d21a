"""`zoeklicht report`: the figures of a year."""

from contextlib import nullcontext
from datetime import datetime
from pathlib import Path

import orjson
from rich.console import Console

from schemas.vocabulary import Language
from services.cli.caught_up import NEEDED
from services.cli.insight import pool_of
from services.cli.local import system, with_services
from services.cli.place import Place
from services.cli.terminal import err
from services.cli.waiting import progress_bar, until_caught_up
from services.kernel.clock import SystemClock
from services.kernel.errors import ZoeklichtError
from services.projections import reports
from services.projections.printed import formats
from services.projections.printed.builder import document
from services.projections.render import annual_table

REPORT_WITHIN_S = 30.0
_NO_TEXT = ("xlsx", "pdf")

out = Console(highlight=False, soft_wrap=True)


class FiguresError(ZoeklichtError):
    """The figures cannot be shown like that; the message says what to do."""


async def annual(
    year: int,
    form: str,
    output: Path | None,
    data: Path,
    *,
    as_of: datetime | None = None,
    beside: int = 2,
    language: Language = Language.EN,
) -> int:
    """Shows the report of a year with earlier ones beside it; waits up to 30 s for what was written last.

    Raises FiguresError.
    """
    now = SystemClock().now()
    this_year = now.year
    if as_of is not None and (as_of.tzinfo is None or as_of.year < reports.FIRST_YEAR or as_of > now):
        raise FiguresError(
            f"--as-of: write a moment since {reports.FIRST_YEAR} that has been, with its offset:"
            " 2021-12-31T12:00:00+01:00"
        )
    if not reports.FIRST_YEAR <= year <= this_year:
        raise FiguresError(f"ask for a year from {reports.FIRST_YEAR} to {this_year}")
    if form in _NO_TEXT and output is None:
        raise FiguresError(f"{form} is no text: name a file with --output")
    async with system(Place(data)) as found, with_services(found, NEEDED), pool_of(found) as pool:
        with progress_bar() as bar:
            whole = await until_caught_up(found, pool, bar, REPORT_WITHIN_S)
        zone = found.settings.zone
        figures = await reports.annual(pool, zone, year, as_of, beside=beside)
    if not whole:
        err.print(
            f"the read models had not caught up within {REPORT_WITHIN_S:.0f} s: the newest events are missing"
        )
    _write(figures, form, output, language, now.astimezone(zone))
    return 0


def _write(
    figures: reports.Report, form: str, output: Path | None, language: Language, moment: datetime
) -> None:
    if form == "table":
        table = annual_table(document(figures, language, moment))
        target = output.open("w", encoding="utf-8") if output else nullcontext()
        with target as file:
            (Console(file=file, width=120) if output else out).print(table)
        return
    content = _bytes(figures, form, language, moment)
    if output is None:
        out.file.write(content.decode())
        out.file.flush()
    else:
        output.write_bytes(content)


def _bytes(figures: reports.Report, form: str, language: Language, moment: datetime) -> bytes:
    if form == "json":
        return orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if form == "csv":
        return reports.as_csv(figures).encode()
    if form == "xlsx":
        from services.projections import spreadsheet  # noqa: PLC0415 - large, and seldom asked for

        return spreadsheet.as_xlsx(figures)
    return formats.written(figures, "pdf" if form == "pdf" else "html", language, moment)
