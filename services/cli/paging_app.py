"""`zoeklicht page …` and `zoeklicht duty …`: what waits for a person, and who is told. What is heavy is imported late."""

# ruff: noqa: PLC0415 - late imports are the point here
from typing import Annotated, Literal
from uuid import UUID

import typer

from services.cli.options import DEFAULT_DATA, DataOption, do

page_app = typer.Typer(help="What waits for a person.", no_args_is_help=True)
duty_app = typer.Typer(help="Who is paged, in which order, and when.", no_args_is_help=True)

PersonArgument = Annotated[UUID, typer.Argument(metavar="PERSON", help="The person's id, from `duty list`.")]
LanguageOption = Literal["nl", "fr", "de", "en"]
Channels = Annotated[
    list[str] | None,
    typer.Option("--channel", help="An e-mail address or an Apprise URL; several are tried in their order."),
]
Slots = Annotated[
    list[str] | None,
    typer.Option(
        "--slot", help="Weekly hours such as mon@18:00-08:00; 'always' or 'never'; absent: at any hour."
    ),
]


@page_app.command("list")
def page_list(data: DataOption = DEFAULT_DATA) -> None:
    """Show what is not over: since when, who was told, who looks after it."""
    from services.cli import paging

    do(lambda: paging.page_list(data))


@page_app.command("ack")
def page_ack(
    page: Annotated[int, typer.Argument(min=1, help="The number of the page.")],
    name: Annotated[str, typer.Option("--as", help="Who looks after it.")],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Look after a page: nobody else is told any more."""
    from services.cli import paging

    do(lambda: paging.page_ack(data, page, name))


@page_app.command("test")
def page_test(data: DataOption = DEFAULT_DATA) -> None:
    """Page whoever is on duty, to see that it arrives; the running auditor sends it."""
    from services.cli import paging

    do(lambda: paging.page_test(data))


@duty_app.command("list")
def duty_list(data: DataOption = DEFAULT_DATA) -> None:
    """Show everybody who can be paged, in order, and who is on duty now."""
    from services.cli import paging

    do(lambda: paging.duty_list(data))


@duty_app.command("add")
def duty_add(  # noqa: PLR0917 - each is an option of its own
    name: Annotated[str, typer.Argument(help="The person's name.")],
    language: Annotated[LanguageOption, typer.Option(help="In which language to write.")],
    channel: Channels = None,
    slot: Slots = None,
    place: Annotated[int | None, typer.Option(min=1, help="Where in the order; absent: last.")] = None,
    desk: Annotated[
        Literal["operations", "missing_persons_unit"], typer.Option(help="Where this person sits.")
    ] = "operations",
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Add somebody who can be paged."""
    from services.cli import paging

    given = {"name": name, "language": language, "channels": channel or [], "place": place, "desk": desk}
    do(lambda: paging.duty_add(data, given, slot))


@duty_app.command("change")
def duty_change(  # noqa: PLR0917 - each is an option of its own
    person: PersonArgument,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    language: Annotated[LanguageOption | None, typer.Option(help="Another language.")] = None,
    channel: Channels = None,
    slot: Slots = None,
    place: Annotated[int | None, typer.Option(min=1, help="Another place in the order.")] = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Change what is given; the rest stays."""
    from services.cli import paging

    given = {"name": name, "language": language, "channels": channel, "place": place}
    do(lambda: paging.duty_change(data, person, given, slot))


@duty_app.command("remove")
def duty_remove(person: PersonArgument, data: DataOption = DEFAULT_DATA) -> None:
    """Remove somebody: nothing is sent there any more."""
    from services.cli import paging

    do(lambda: paging.duty_remove(data, person))
