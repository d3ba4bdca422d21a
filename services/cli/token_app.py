"""`zoeklicht token …`: who may call with a token of this installation. What is heavy is imported late."""

# ruff: noqa: PLC0415 - late imports are the point here
from typing import Annotated, Literal

import typer

from services.cli.options import DEFAULT_DATA, DataOption, do

token_app = typer.Typer(help="Who may call.", no_args_is_help=True)

PersonArgument = Annotated[str, typer.Argument(help="Whose it is: one name per person.")]
RoleOption = Literal["operator", "case_manager", "coordinator", "admin", "magistrate_liaison", "viewer"]


@token_app.command("create")
def token_create(
    principal: PersonArgument,
    role: Annotated[RoleOption, typer.Option(help="What the person is here for.")],
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it is valid.")] = 90,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Make a bearer token and print it: it can be read only now."""
    from services.cli import tokens

    do(lambda: tokens.create(data, principal, role, days))


@token_app.command("list")
def token_list(data: DataOption = DEFAULT_DATA) -> None:
    """Show whose tokens are valid, for what and until when; the tokens themselves are nowhere to be read."""
    from services.cli import tokens

    do(lambda: tokens.show(data))


@token_app.command("revoke")
def token_revoke(principal: PersonArgument, data: DataOption = DEFAULT_DATA) -> None:
    """End every token of a person at once, and with them that person's sessions in browsers."""
    from services.cli import tokens

    do(lambda: tokens.revoke(data, principal))
