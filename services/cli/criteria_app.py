"""`zoeklicht criteria`: the service, its quarantine, and what rules say of cases."""

# ruff: noqa: PLC0415 - late imports are the point here
from typing import Annotated, Literal
from uuid import UUID

import typer

from services.cli.options import DEFAULT_DATA, DataOption, do

InLanguage = Annotated[
    Literal["nl", "fr", "de", "en"], typer.Option(help="In which language to write; JSON is the same in all.")
]

criteria_app = typer.Typer(help="Flag worrying cases, say why, compare rules; the cases in quarantine.")


@criteria_app.callback(invoke_without_command=True)
def criteria(context: typer.Context) -> None:
    """Flag worrying cases; without a command: the service that does it."""
    if context.invoked_subcommand is None:
        from services.cli.service import run

        raise typer.Exit(run("criteria"))


@criteria_app.command("quarantine")
def criteria_quarantine(data: DataOption = DEFAULT_DATA) -> None:
    """List the cases in quarantine, since when and why; exit 1 when there are any."""
    from services.cli import upkeep

    do(lambda: upkeep.criteria_quarantine(data))


@criteria_app.command("resume")
def criteria_resume(
    case: Annotated[UUID, typer.Argument(help="The id of the case.")], data: DataOption = DEFAULT_DATA
) -> None:
    """Take a case out of quarantine, once what was wrong with its event is mended."""
    from services.cli import upkeep

    do(lambda: upkeep.criteria_resume(data, case))


@criteria_app.command("explain")
def criteria_explain(
    case: Annotated[str, typer.Argument(help="The id of the case, or its number.")],
    rules: Annotated[
        str | None, typer.Option(help="The version of the rules; by default the one that acts.")
    ] = None,
    language: InLanguage = "en",
    form: Annotated[Literal["table", "json"], typer.Option("--format", help="How to write it.")] = "table",
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Show why a case is worrying or not: findings with their evidence, open questions, what changed when."""
    from services.cli import rules as by_rules

    do(lambda: by_rules.explain(data, case, rules, language, form))


@criteria_app.command("compare")
def criteria_compare(
    before: Annotated[str, typer.Option("--from", help="A version of the rules.")],
    after: Annotated[str, typer.Option("--to", help="Another version.")],
    language: InLanguage = "en",
    form: Annotated[Literal["table", "json"], typer.Option("--format", help="How to write it.")] = "table",
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Show which cases of the history other rules would have judged otherwise, and why. Changes nothing."""
    from services.cli import rules as by_rules

    do(lambda: by_rules.compare(data, before, after, language, form))
