"""`zoeklicht audit …`: what was looked at and decided, exported and proven. What is heavy is imported late."""

# ruff: noqa: PLC0415 - late imports are the point here
from pathlib import Path
from typing import Annotated

import typer

from services.cli.options import DEFAULT_DATA, DataOption, do

audit_app = typer.Typer(help="Who looked at whose identity, and who decided what.", no_args_is_help=True)


@audit_app.command("verify")
def audit_verify(
    file: Annotated[
        Path | None,
        typer.Argument(help="An export to check instead of the installation.", exists=True, dir_okay=False),
    ] = None,
    kept: Annotated[
        str | None, typer.Option(help="A digest that was kept elsewhere: must be one of the chain's.")
    ] = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Count the chain again; 1 and a list when anything was changed, removed or slipped in."""
    from services.cli import audit

    do(lambda: audit.verify_file(file, kept) if file else audit.verify(data, kept))


@audit_app.command("export")
def audit_export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The NDJSON file to write.", dir_okay=False)],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Write every entry into a file that `audit verify FILE` checks anywhere."""
    from services.cli import audit

    do(lambda: audit.export(data, output))


@audit_app.command("head")
def audit_head(data: DataOption = DEFAULT_DATA) -> None:
    """Print the newest entry's number and digest, to be kept elsewhere."""
    from services.cli import audit

    do(lambda: audit.print_head(data))
