"""`zoeklicht keys …`: what wraps the keys of the vault. What is heavy is imported late."""

# ruff: noqa: PLC0415 - late imports are the point here
from typing import Annotated

import typer

from services.cli.options import DEFAULT_DATA, DataOption, do

keys_app = typer.Typer(help="What wraps the keys of children, cases and alerts.", no_args_is_help=True)


@keys_app.command("status")
def keys_status(data: DataOption = DEFAULT_DATA) -> None:
    """Show how many keys each wrapping key wraps, and whether this process has it."""
    from services.cli import keys

    do(lambda: keys.status(data))


@keys_app.command("rewrap")
def keys_rewrap(
    data: DataOption = DEFAULT_DATA,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Also what it wraps already: with its newest version.")
    ] = False,
) -> None:
    """Wrap every key anew with the first of ZOEKLICHT_WRAPPING_KEYS, while the system runs."""
    from services.cli import keys

    do(lambda: keys.rewrap_all(data, every=every))
