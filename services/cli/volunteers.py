"""What `zoeklicht volunteers …` does: the use cases of volunteers, on the store of the installation."""

import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import orjson
from rich.console import Console
from rich.table import Table

from services.cli.insight import keys_of, pool_of
from services.cli.local import system
from services.cli.place import Place
from services.kernel.audit import note
from services.kernel.ids import new_id
from services.kernel.postgres import in_transaction
from services.kernel.principals import Principal, Role
from services.kernel.vault import Vault, ring_of
from services.volunteers import links, own, roster
from services.volunteers.desk import Ask, VolunteerDeps
from services.volunteers.domain.people import Volunteer
from services.volunteers.importing import import_file

_PAGE = 200

console = Console(highlight=False, soft_wrap=True, markup=False)


@asynccontextmanager
async def desk(data: Path) -> AsyncIterator[tuple[VolunteerDeps, Ask]]:
    """What the use cases stand on, for one command, and who asks: the account at this machine."""
    async with (
        system(Place(data), with_kafka=False) as found,
        pool_of(found) as pool,
        keys_of(found, 1) as keys,
    ):
        deps = VolunteerDeps(pool, Vault(keys, ring_of(found.settings)), found.settings)
        yield deps, Ask(Principal(f"cli:{getpass.getuser()}", Role.ADMIN), str(new_id()))


async def import_(data: Path, file: Path, form: str) -> int:
    """Imports a file; 1 when a line was refused. Raises ImportFileError."""
    async with desk(data) as (deps, ask):
        report = await import_file(deps, ask, file.read_bytes())  # noqa: ASYNC240 - nobody else waits
    if form == "json":
        console.print(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    else:
        for line in report["lines"]:
            for wrong in line.get("errors", ()):
                console.print(f"line {line['line']}: {wrong['field']}: {wrong['detail']}")
        console.print(", ".join(f"{report[name]} {name}" for name in report if name != "lines"))
    return 1 if report["refused"] else 0


async def list_(data: Path, form: str) -> None:
    """Everybody."""
    async with desk(data) as (deps, ask):
        everybody = await _everybody(deps)
        await note(deps.pool, ask.principal.name, ask.principal.role, "volunteers.listed", ["volunteers:all"])
    if form == "json":
        shown = [roster.view(one, whole=False) for one in everybody]
        return console.print(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
    now = datetime.now(UTC)
    table = Table("name", "team", "languages", "where", "channels", "now")
    table.add_column("volunteer", no_wrap=True)
    for one in everybody:
        view = roster.view(one, whole=False)
        state = "no consent"
        if one.profile.consent:
            local = now.astimezone(deps.settings.zone)
            state = "can be called" if one.availability.holds(now, local) else "off duty"
        table.add_row(
            one.name,
            view["team"],
            ", ".join(view["languages"]),
            view["postal_code"],
            ", ".join(view["channels"]),
            f"{state} (exercises)" if one.profile.exercise else state,
            str(one.volunteer_id),
        )
    return console.print(table)


async def show(data: Path, who: UUID) -> None:
    """Everything about somebody. Raises NotFoundError."""
    async with desk(data) as (deps, ask):
        found = await roster.one(deps, who)
        await note(deps.pool, ask.principal.name, ask.principal.role, "volunteer.read", [f"volunteer:{who}"])
    console.print(orjson.dumps(roster.view(found, whole=True), option=orjson.OPT_INDENT_2).decode())


async def link(data: Path, who: UUID) -> None:
    """A link for somebody to their own details; noted in the audit."""
    async with desk(data) as (deps, ask):
        made = await own.link(deps, who, links.VALID)
        await note(deps.pool, ask.principal.name, ask.principal.role, "volunteer.link", [f"volunteer:{who}"])
    console.print(made["url"])


async def forget(data: Path, who: UUID) -> None:
    """Erases somebody. Raises NotFoundError."""
    async with desk(data) as (deps, ask):
        await in_transaction(deps.pool, lambda c: roster.leave(deps, ask, c, who))
    console.print("forgotten: nothing is left that says who it was")


async def _everybody(deps: VolunteerDeps) -> list[Volunteer]:
    found: list[Volunteer] = []
    cursor: UUID | None = None
    while True:
        part, cursor = await roster.page_of(deps, cursor, _PAGE)
        found += part
        if cursor is None:
            return found
