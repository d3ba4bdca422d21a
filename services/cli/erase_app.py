"""`zoeklicht erase`: a child is forgotten. What is heavy is imported late."""

# ruff: noqa: PLC0415 - late imports are the point here
from typing import Annotated
from uuid import UUID

import typer

from schemas.vocabulary import ErasureReason
from services.cli.options import DEFAULT_DATA, DataOption, do

erase_app = typer.Typer()


@erase_app.command("erase")
def erase(
    *,
    case: Annotated[UUID | None, typer.Option("--case", help="Ask that a case be forgotten.")] = None,
    child: Annotated[
        UUID | None, typer.Option("--child", help="Ask that a child be forgotten, in all its cases.")
    ] = None,
    reason: Annotated[ErasureReason | None, typer.Option(help="Why; with --case or --child.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="The file that justifies it, such as AVG-2026/14; no name.")
    ] = None,
    approve: Annotated[
        UUID | None, typer.Option("--approve", help="Approve what a colleague asked for, and erase.")
    ] = None,
    withdraw: Annotated[
        UUID | None, typer.Option("--withdraw", help="Take back, or decline, what nobody approved yet.")
    ] = None,
    certificate: Annotated[
        UUID | None, typer.Option("--certificate", help="Print the certificate of an erasure.")
    ] = None,
    due: Annotated[bool, typer.Option("--due", help="Everybody whose time is over by the policy.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show it; with --due.")] = False,
    token: Annotated[
        str | None,
        typer.Option(envvar="ZOEKLICHT_TOKEN", help="Who asks; without, the account at this machine."),
    ] = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Forget a child for good: one person asks, another approves; ends its campaigns first."""
    from services.cli import erase as work

    subjects = [one for one in (case, child, approve, withdraw, certificate, due or None) if one is not None]
    if len(subjects) != 1:
        raise typer.BadParameter("name one of --case, --child, --approve, --withdraw, --certificate, --due")
    if dry_run and not due:
        raise typer.BadParameter("--dry-run goes with --due: nothing else is done by one person alone")
    if case or child:
        if reason is None or reference is None:
            raise typer.BadParameter("--case and --child need --reason and --reference")
        do(lambda: work.request(data, token, case, child, reason, reference))
    elif approve:
        do(lambda: work.approve(data, token, approve))
    elif withdraw:
        do(lambda: work.withdraw(data, token, withdraw))
    elif certificate:
        do(lambda: work.certificate(data, certificate))
    else:
        do(lambda: work.due(data, dry_run=dry_run))
