"""`zoeklicht partner …`: recipients of alerts, as an administrator works with them. What is heavy is imported late."""

# ruff: noqa: PLC0415 - late imports are the point here
from typing import Annotated, Literal
from uuid import UUID

import typer

from services.cli.options import DEFAULT_DATA, DataOption, do

partner_app = typer.Typer(
    help="Recipients of alerts: register, watch, pause, send again.", no_args_is_help=True
)

Who = Annotated[str, typer.Argument(metavar="PARTNER", help="The partner's id or its exact name.")]
Form = Annotated[Literal["table", "json"], typer.Option("--format", help="How to write it.")]
AlertOption = Annotated[UUID | None, typer.Option("--alert", help="Only this alert.")]


@partner_app.command("list")
def list_(data: DataOption = DEFAULT_DATA, form: Form = "table") -> None:
    """Show every partner with its state."""
    from services.cli import partners

    do(lambda: partners.list_(data, form))


@partner_app.command()
def show(who: Who, data: DataOption = DEFAULT_DATA) -> None:
    """Show everything about a partner but its secrets."""
    from services.cli import partners

    do(lambda: partners.show(data, who))


@partner_app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    *,
    url: Annotated[str, typer.Option(help="Where its receiver listens: https://host[:port]/path.")],
    area: Annotated[
        list[str],
        typer.Option(help="Where its screens are: 24062, postal:3000, province:20001, BE … (repeat it)."),
    ],
    language: Annotated[list[str], typer.Option(help="nl, fr, de or en, in its order (repeat it).")],
    contact: Annotated[str, typer.Option(help="Whom to call when it may still show a child.")],
    message_format: Annotated[
        Literal["json", "cap"], typer.Option("--message-format", help="What it is sent.")
    ] = "json",
    content: Annotated[
        Literal["full", "link"], typer.Option(help="Whole alerts, or links that it opens with its token.")
    ] = "full",
    audience: Annotated[
        Literal["display", "missing_persons_unit", "mobile_team"], typer.Option(help="What it is.")
    ] = "display",
    exercise: Annotated[bool, typer.Option("--exercise", help="It gets exercises and nothing else.")] = False,
    allow_loopback_partners: Annotated[
        bool,
        typer.Option(
            "--allow-loopback-partners",
            envvar="ZOEKLICHT_ALLOW_LOOPBACK_PARTNERS",
            help="It may be on this machine, with http and any port, if the running system allows it too.",
        ),
    ] = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Register a partner and print its secret and its token: they can be read only now."""
    from services.cli import partners

    fields = {
        "name": name,
        "url": url,
        "areas": area,
        "languages": language,
        "contact": contact,
        "format": message_format,
        "content": content,
        "audience": audience,
        "exercise": exercise,
    }
    do(lambda: partners.create(data, fields, loopback=allow_loopback_partners))


@partner_app.command()
def pause(who: Who, data: DataOption = DEFAULT_DATA) -> None:
    """Take back what a partner shows and send it no alerts until its pause ends; withdrawals always go."""
    from services.cli import partners

    do(lambda: partners.pause(data, who, paused=True))


@partner_app.command()
def resume(who: Who, data: DataOption = DEFAULT_DATA) -> None:
    """End a pause: a ping proves the address, then what is lit is sent again."""
    from services.cli import partners

    do(lambda: partners.pause(data, who, paused=False))


@partner_app.command()
def ping(
    who: Who,
    data: DataOption = DEFAULT_DATA,
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, max=600, help="Seconds to wait for its answer.")
    ] = 15.0,
) -> None:
    """Ping a partner and say what it answered; exit 1 when it did not."""
    from services.cli import partners

    do(lambda: partners.ping(data, who, wait_s))


@partner_app.command()
def rotate(who: Who, data: DataOption = DEFAULT_DATA) -> None:
    """Make a new secret and print it; the old one goes on signing beside it for 24 hours."""
    from services.cli import partners

    do(lambda: partners.rotate(data, who))


@partner_app.command()
def health(
    who: Who,
    data: DataOption = DEFAULT_DATA,
    hours: Annotated[int, typer.Option(min=1, max=720, help="How far to look back.")] = 24,
    form: Form = "table",
) -> None:
    """Show how a partner is doing: breaker, answers, failures, what waits; exit 1 unless it is well."""
    from services.cli import partners

    do(lambda: partners.health(data, who, hours, form))


@partner_app.command()
def log(
    who: Who,
    data: DataOption = DEFAULT_DATA,
    alert: AlertOption = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many deliveries, newest first.")] = 20,
    form: Form = "table",
) -> None:
    """Show what was sent to a partner, with each attempt."""
    from services.cli import partners

    do(lambda: partners.log(data, who, alert, limit, form))


@partner_app.command()
def replay(
    partner: Annotated[
        str | None, typer.Option(help="Everything that is lit, and went dark lately, to this partner.")
    ] = None,
    alert: Annotated[UUID | None, typer.Option(help="This alert, to everybody who was to get it.")] = None,
    delivery: Annotated[UUID | None, typer.Option(help="This one delivery.")] = None,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Send the newest revisions again, under the same ids; older ones are never sent again."""
    from services.cli import partners

    if sum(one is not None for one in (partner, alert, delivery)) != 1:
        raise typer.BadParameter("give exactly one of --partner, --alert and --delivery")
    do(lambda: partners.replay(data, partner, alert, delivery))


@partner_app.command("may-still-show")
def may_still_show(data: DataOption = DEFAULT_DATA, alert: AlertOption = None, form: Form = "table") -> None:
    """List who may still show a child that was found, and whom to call; exit 1 when somebody may."""
    from services.cli import partners

    do(lambda: partners.may_still_show(data, alert, form))
