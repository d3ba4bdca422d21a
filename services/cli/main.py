"""The command `zoeklicht`. Everything heavy is imported by the command that needs it, so that `--help` is quick."""

# ruff: noqa: PLC0415 - late imports are the point here
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from schemas.vocabulary import Language
from services.cli.audit_app import audit_app
from services.cli.backup_app import backup_app
from services.cli.criteria_app import criteria_app
from services.cli.emergency_app import emergency_app
from services.cli.erase_app import erase_app
from services.cli.keys_app import keys_app
from services.cli.options import DEFAULT_DATA, DataOption, do
from services.cli.paging_app import duty_app, page_app
from services.cli.partner_app import partner_app
from services.cli.projections_app import projections_app
from services.cli.token_app import token_app
from services.cli.volunteers_app import volunteers_app
from services.kernel.errors import ZoeklichtError

app = typer.Typer(
    name="zoeklicht",
    help="Alerts about missing children: in public within seconds, dark even faster, nothing lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Settings come from the environment (DATABASE_URL, KAFKA_BOOTSTRAP_SERVERS, ZOEKLICHT_…).",
)
topics_app = typer.Typer(help="The topics in Kafka.", no_args_is_help=True)
report_app = typer.Typer(help="Figures from the read models.", no_args_is_help=True)
app.add_typer(topics_app, name="topics")
app.add_typer(token_app, name="token")
app.add_typer(keys_app, name="keys")
app.add_typer(partner_app, name="partner")
app.add_typer(volunteers_app, name="volunteers")
app.add_typer(page_app, name="page")
app.add_typer(duty_app, name="duty")
app.add_typer(audit_app, name="audit")
app.add_typer(emergency_app)
app.add_typer(erase_app)
app.add_typer(backup_app)
app.add_typer(report_app, name="report")
app.add_typer(projections_app, name="projections")
app.add_typer(criteria_app, name="criteria", rich_help_panel="Services, one process each")


@app.command()
def run(
    data: DataOption = DEFAULT_DATA,
    host: Annotated[
        str, typer.Option(envvar="ZOEKLICHT_HOST", help="The address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            envvar="ZOEKLICHT_PORT", min=0, max=65535, help="The port to listen on; 0 takes a free one."
        ),
    ] = 8000,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Play a case with 31 simulated display partners and 24 volunteers."),
    ] = False,
    allow_loopback_partners: Annotated[
        bool,
        typer.Option(
            "--allow-loopback-partners",
            envvar="ZOEKLICHT_ALLOW_LOOPBACK_PARTNERS",
            help="Partners may be on this machine, with http and any port; implied by --demo.",
        ),
    ] = False,
) -> None:
    """Run the whole system on this machine; it is ready when GET /readyz answers 200."""
    from services.cli.place import Place
    from services.cli.run import Wish
    from services.cli.run import run as run_all

    scenario = None
    if demo:
        from services.simulation.demo import play

        scenario = play
    wish = Wish(Place(data), host, port, allow_loopback_partners or demo)
    do(lambda: run_all(wish, scenario))


def _service(name: str) -> None:
    from services.cli.service import run as run_one

    raise typer.Exit(run_one(name))


@app.command(rich_help_panel="Services, one process each")
def intake() -> None:
    """Timers of cases and campaigns: expiry, automatic release."""
    _service("intake")


@app.command(rich_help_panel="Services, one process each")
def relay() -> None:
    """Carry committed events from the store to Kafka."""
    _service("relay")


@app.command(rich_help_panel="Services, one process each")
def dispatch() -> None:
    """Plan alerts and deliveries."""
    _service("dispatch")


@app.command(rich_help_panel="Services, one process each")
def sender() -> None:
    """Send what is due to the partners."""
    _service("sender")


@volunteers_app.callback(invoke_without_command=True)
def volunteers(context: typer.Context) -> None:
    """People who help: import, list, show, forget; without a command: the service that calls them out."""
    if context.invoked_subcommand is None:
        _service("volunteers")


@app.command(rich_help_panel="Services, one process each")
def auditor() -> None:
    """Prove again and again that nothing was lost."""
    _service("auditor")


@app.command(rich_help_panel="Services, one process each")
def web() -> None:
    """Listen for HTTP: the only public listener."""
    _service("web")


@app.command()
def migrate(
    data: DataOption = DEFAULT_DATA,
    new_epoch: Annotated[
        bool,
        typer.Option("--new-epoch", help="Once, after a logical restore: transaction ids count anew."),
    ] = False,
    roles: Annotated[
        bool,
        typer.Option("--roles", help="Also make the database roles of the services, with what each may do."),
    ] = False,
    users: Annotated[
        bool,
        typer.Option(
            "--users",
            help="Also the roles, and a user in each: relay, criteria, projections, service; their passwords are in"
            " ZOEKLICHT_RELAY_PASSWORD and so on.",
        ),
    ] = False,
) -> None:
    """Bring both databases to this version."""
    from services.cli import upkeep

    do(lambda: upkeep.migrate(data, new_epoch=new_epoch, roles=roles, users=users))


@app.command()
def alive() -> None:
    """Exit 0 when the service on this host has sent a heartbeat lately: the health check of a container."""
    from services.cli import upkeep

    do(upkeep.alive)


@topics_app.command("create")
def topics_create(data: DataOption = DEFAULT_DATA) -> None:
    """Create the topics that are missing, as the settings say."""
    from services.cli import upkeep

    do(lambda: upkeep.topics_create(data))


@app.command("import")
def import_file(
    file: Annotated[
        Path, typer.Argument(help="One JSON object a line.", exists=True, dir_okay=False, readable=True)
    ],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Take in history from elsewhere; alerts nobody. Twice the same file changes nothing; exit 1 when a line is bad."""
    from services.cli import history

    do(lambda: history.import_file(file, data))


@report_app.command("annual")
def report_annual(
    *,
    year: Annotated[int, typer.Argument(min=1900, max=2200, help="The calendar year.")],
    form: Annotated[
        Literal["table", "json", "csv", "xlsx", "html", "pdf"],
        typer.Option("--format", help="How to write it; html and pdf are for printing."),
    ] = "table",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write to this file instead of the terminal.", dir_okay=False),
    ] = None,
    language: Annotated[Language, typer.Option(help="Of what people read: table, html, pdf.")] = Language.EN,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%S%z"], help="As it was known then: 2021-12-31T12:00:00+01:00."
        ),
    ] = None,
    beside: Annotated[int, typer.Option(min=0, max=10, help="How many earlier years stand beside it.")] = 2,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Show the figures of a year, with those of earlier years beside it."""
    from services.cli import figures

    do(lambda: figures.annual(year, form, output, data, as_of=as_of, beside=beside, language=language))


@app.command()
def verify(data: DataOption = DEFAULT_DATA) -> None:
    """Check every invariant from the tables; exit 1 and a list when one is broken."""
    from services.cli import verify as checks

    do(lambda: checks.verify(data))


@app.command("partner-sim")
def partner_sim(
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many display partners.")] = 31,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Their port; 0 takes a free one.")] = 0,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Simulate display partners and register them with the system running in the folder."""
    from services.cli.place import Place
    from services.simulation.partner_sim import simulate

    do(lambda: simulate(Place(data).access_file, count, port))


@app.command("partner-kit")
def partner_kit(
    url: Annotated[str, typer.Argument(help="Where the receiver takes messages.")],
    *,
    secret: Annotated[
        str | None,
        typer.Option(
            envvar="ZOEKLICHT_SECRET", help="The whsec_… it verifies with; without, one is made and told."
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ZOEKLICHT_TOKEN", help="The token its receipts must carry; without, any will do."
        ),
    ] = None,
    state_url: Annotated[
        str | None,
        typer.Option(
            help='A page that answers {"alerts": [{"alert_id", "revision"}]}; without, receipts tell.'
        ),
    ] = None,
    listen: Annotated[str, typer.Option(help="HOST:PORT where the kit takes receipts.")] = "127.0.0.1:0",
    receipts_url: Annotated[
        str | None, typer.Option(help="How the receiver reaches it, when that is another address.")
    ] = None,
    restart: Annotated[
        str | None, typer.Option(help="A command that restarts the receiver, to see what it remembers.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=60, help="Seconds after which the sender gives up.")
    ] = 10.0,
    messages: Annotated[
        Literal["json", "cap"], typer.Option(help="What the receiver takes alerts in.")
    ] = "json",
    form: Annotated[Literal["table", "json"], typer.Option("--format", help="How to write it.")] = "table",
) -> None:
    """Test a partner's receiver with exercise alerts about nobody; exit 1 when a check fails."""
    from services.partnerkit.kit import Wish, run

    wish = Wish(url, secret, token, state_url, listen, receipts_url, restart, timeout, messages=messages)
    do(lambda: run(wish, form))


def main() -> None:
    """Runs the command; an error is one clear line and exit code 1, 2 when usage or a setting is wrong."""
    try:
        app()
    except ZoeklichtError as error:
        from services.kernel.settings import SettingsError

        sys.stderr.write(f"error: {error}\n")
        sys.exit(2 if isinstance(error, SettingsError) else 1)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    except Exception as error:
        _explain(error)


def _explain(error: Exception) -> None:
    """A server that is away is one clear line; everything else is our own fault and shown whole."""
    import asyncpg
    from aiokafka.errors import KafkaError

    if isinstance(error, (OSError, asyncpg.PostgresConnectionError, KafkaError)):
        what = type(error).__name__
        sys.stderr.write(f"error: a server does not answer ({what}); check DATABASE_URL and ")
        sys.stderr.write("KAFKA_BOOTSTRAP_SERVERS, or start the system with `zoeklicht run`\n")
    else:
        raise error
    sys.exit(1)


if __name__ == "__main__":
    main()
