"""`zoeklicht emergency-…`: going dark when everything else is down. What is heavy is imported late."""

# ruff: noqa: PLC0415 - late imports are the point here
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from services.cli.options import DEFAULT_DATA, DataOption, do

emergency_app = typer.Typer()
_PANEL = "When everything else is down"


@emergency_app.command("emergency-key", rich_help_panel=_PANEL)
def emergency_key(
    file: Annotated[
        Path, typer.Argument(help="Where to put the private key; keep it where the packs are not.")
    ],
) -> None:
    """Make a key that opens emergency packs, and print its public part for ZOEKLICHT_EMERGENCY_RECIPIENTS."""
    from services.cli import emergency

    do(lambda: emergency.make_key(file))


@emergency_app.command("emergency-pack", rich_help_panel=_PANEL)
def emergency_pack(
    to: Annotated[
        Path | None,
        typer.Option(
            envvar="ZOEKLICHT_EMERGENCY_PACK",
            help="The folder for the packs, best one elsewhere.",
            file_okay=False,
        ),
    ] = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Write a pack now, encrypted: active alerts, partners' contacts, withdrawals ready to be sent."""
    from services.cli import emergency

    do(lambda: emergency.write_pack(data, to))


@emergency_app.command("emergency-send", rich_help_panel=_PANEL)
def emergency_send(
    pack: Annotated[Path, typer.Argument(help="A pack, or a folder of packs: then the newest.", exists=True)],
    identity: Annotated[
        Path, typer.Option(help="The private key that opens it.", exists=True, dir_okay=False)
    ],
    alert: Annotated[
        list[UUID] | None, typer.Option(help="Only this alert; may be given several times.")
    ] = None,
    report: Annotated[
        Path, typer.Option(help="Where to write down who answered, for emergency-report.", dir_okay=False)
    ] = Path("emergency-report.ndjson"),
    yes: Annotated[bool, typer.Option("--yes", help="Send without asking.")] = False,
) -> None:
    """Send the withdrawals of a pack to every partner, with nothing else running; exit 1 when one did not answer."""
    from services.cli import emergency

    do(lambda: emergency.send_pack(pack, identity, alert or [], report, yes=yes))


@emergency_app.command("emergency-report", rich_help_panel=_PANEL)
def emergency_report(
    report: Annotated[
        Path, typer.Argument(help="What emergency-send wrote.", exists=True, dir_okay=False, readable=True)
    ],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """First thing when the system is back: end what was withdrawn without it. Twice the same changes nothing."""
    from services.cli import emergency

    do(lambda: emergency.take_in_report(data, report))
