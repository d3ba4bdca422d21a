"""`zoeklicht projections`: the service, and the versions of its read models."""

# ruff: noqa: PLC0415 - late imports are the point here
from typing import Annotated, Literal

import typer

from services.cli.options import DEFAULT_DATA, DataOption, do

projections_app = typer.Typer(help="The read models: their versions, how far they are, building them anew.")

NameArgument = Annotated[str, typer.Argument(help="The read model, as in `projections list`.")]
VersionArgument = Annotated[
    str, typer.Argument(metavar="NAME.vN", help="The version, as in `projections list`.")
]
ToOption = Annotated[
    int | None, typer.Option("--to", min=1, help="The number of the version; by default the newest beside.")
]
FormOption = Annotated[Literal["table", "json"], typer.Option("--format", help="How to write it.")]


@projections_app.callback(invoke_without_command=True)
def projections(context: typer.Context) -> None:
    """The read models; without a command: the service that builds them."""
    if context.invoked_subcommand is None:
        from services.cli.service import run

        raise typer.Exit(run("projections"))


@projections_app.command("list")
def projections_list(form: FormOption = "table", data: DataOption = DEFAULT_DATA) -> None:
    """Show every version of every read model, and which one readers see."""
    from services.cli import read_models

    do(lambda: read_models.show_list(data, form))


@projections_app.command("status")
def projections_status(form: FormOption = "table", data: DataOption = DEFAULT_DATA) -> None:
    """Show how far each version is behind, and what stopped it; exit 1 when something did."""
    from services.cli import read_models

    do(lambda: read_models.show_status(data, form))


@projections_app.command("rebuild")
def projections_rebuild(
    name: NameArgument,
    swap: Annotated[
        bool, typer.Option("--swap", help="Show it to readers when it holds what they see now.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Whether to wait until it has caught up.")
    ] = True,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Build a new version from the event store, beside the one readers see, and compare both.

    Readers notice nothing. An end of this command ends only the waiting: the service goes on building.
    """
    from services.cli import read_models

    do(lambda: read_models.rebuild(data, name, swap_then=swap, wait=wait))


@projections_app.command("compare")
def projections_compare(name: NameArgument, to: ToOption = None, data: DataOption = DEFAULT_DATA) -> None:
    """Show what another version holds differently from the one readers see; exit 1 when it does."""
    from services.cli import read_models

    do(lambda: read_models.show_comparison(data, name, to))


@projections_app.command("swap")
def projections_swap(
    name: NameArgument,
    to: ToOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even when it is behind, or holds something else.")
    ] = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Show readers another version, all of it at one moment; the one before goes on beside it until dropped."""
    from services.cli import read_models

    do(lambda: read_models.swap_to(data, name, to, force=force))


@projections_app.command("resume")
def projections_resume(version: VersionArgument, data: DataOption = DEFAULT_DATA) -> None:
    """Let a version go on that an event stopped, once the cause is mended."""
    from services.cli import read_models

    do(lambda: read_models.resume(data, version))


@projections_app.command("drop")
def projections_drop(version: VersionArgument, data: DataOption = DEFAULT_DATA) -> None:
    """Drop a version that readers do not see."""
    from services.cli import read_models

    do(lambda: read_models.drop_version(data, version))
