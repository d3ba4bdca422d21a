"""`zoeklicht backup` and `zoeklicht restore`. What is heavy is imported late."""

# ruff: noqa: PLC0415 - late imports are the point here
from pathlib import Path
from typing import Annotated

import typer

from services.cli.options import DEFAULT_DATA, DataOption, do

backup_app = typer.Typer()


@backup_app.command("backup")
def backup(
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write, or a folder that gets one more.")
    ],
    keys: Annotated[
        bool,
        typer.Option("--keys", help="The keys alone; keep them elsewhere: they live for 30 days at most."),
    ] = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Write everything but the keys, as it is at one moment, into one file; the system may run meanwhile."""
    from services.cli import backup as work

    do(lambda: work.backup(data, output, "keys" if keys else "main"))


@backup_app.command("restore")
def restore(
    *,
    file: Annotated[
        Path | None,
        typer.Argument(help="A backup; without, keys alone are brought back.", exists=True, dir_okay=False),
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option("--keys", help="A backup of the keys, best a younger one.", exists=True, dir_okay=False),
    ] = None,
    recovered: Annotated[
        bool,
        typer.Option(
            "--recovered", help="In place of a backup: PostgreSQL itself recovered the database to a moment."
        ),
    ] = False,
    certificate: Annotated[
        list[Path] | None,
        typer.Option(
            help="A certificate of erasure that is younger than the backups: it is erased again.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    keep_lit: Annotated[
        bool, typer.Option("--keep-lit", help="Campaigns go on: only if nothing happened since the backup.")
    ] = False,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Go on although keys are lost: those children are nobody.")
    ] = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Bring a backup back into an empty database; nothing is sent again, and what was lit goes dark.

    With --recovered the same for a database that PostgreSQL brought back from its archive.
    """
    from services.cli import restore as work

    if file and recovered:
        raise typer.BadParameter("--recovered is for a database that needs no backup: name one of the two")
    if not (file or keys or recovered):
        raise typer.BadParameter("name a backup, --recovered, --keys, or keys and one of the others")
    wish = work.Wish(
        file,
        keys,
        tuple(certificate or ()),
        keep_lit=keep_lit,
        without_keys=without_keys,
        recovered=recovered,
    )
    do(lambda: work.restore(data, wish))
