"""What the commands have in common."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="ZOEKLICHT_DATA",
        help="The folder of the installation; the system running there is used, or its servers are started.",
        file_okay=False,
    ),
]
DEFAULT_DATA = Path(".zoeklicht")


def do(work: Callable[[], Coroutine[Any, Any, int | None]]) -> None:
    """Runs a command's work and ends with its exit code."""
    raise typer.Exit(asyncio.run(work()) or 0)
