"""`zoeklicht volunteers …`: people who help, as an administrator works with them. What is heavy is imported late."""

# ruff: noqa: PLC0415 - late imports are the point here
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import typer

from services.cli.options import DEFAULT_DATA, DataOption, do

volunteers_app = typer.Typer(help="People who help.")

Who = Annotated[UUID, typer.Argument(metavar="VOLUNTEER", help="The number, from `volunteers list`.")]
Form = Annotated[Literal["table", "json"], typer.Option("--format", help="How to write it.")]


@volunteers_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A CSV file in UTF-8.", exists=True, dir_okay=False)],
    data: DataOption = DEFAULT_DATA,
    form: Form = "table",
) -> None:
    """Register who is new and change who is known; says line by line what is wrong, and ends with 1 if anything is.

    The first line names the columns: given_name, family_name, team (mobile or local), languages, postal_code, channels,
    consent; and if wanted lat, lon, radius_km, car, skills, hours, quiet, away, exercise. Several values in one field
    are separated by spaces, as in "sms:+32470000000 an@example.org" or "mon@18:00-23:00 sat@08:00-20:00".
    """
    from services.cli import volunteers

    do(lambda: volunteers.import_(data, file, form))


@volunteers_app.command("list")
def list_(data: DataOption = DEFAULT_DATA, form: Form = "table") -> None:
    """Show everybody, and who can be called now; of the ways to them only the kinds."""
    from services.cli import volunteers

    do(lambda: volunteers.list_(data, form))


@volunteers_app.command()
def show(who: Who, data: DataOption = DEFAULT_DATA) -> None:
    """Show everything about somebody; that somebody looked is written down."""
    from services.cli import volunteers

    do(lambda: volunteers.show(data, who))


@volunteers_app.command()
def link(who: Who, data: DataOption = DEFAULT_DATA) -> None:
    """A link for somebody to their own details, for a week: to be handed to nobody else."""
    from services.cli import volunteers

    do(lambda: volunteers.link(data, who))


@volunteers_app.command()
def forget(who: Who, data: DataOption = DEFAULT_DATA) -> None:
    """Somebody leaves: everything personal is erased, for good."""
    from services.cli import volunteers

    do(lambda: volunteers.forget(data, who))
