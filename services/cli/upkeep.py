"""Commands that bring an installation into shape: schemas and topics."""

from pathlib import Path
from uuid import UUID

from rich.console import Console

from schemas.events import TOPICS
from services.cli.database import grant_roles, make_users, migrate_all, passwords
from services.cli.local import system
from services.cli.place import Place
from services.criteria.handlers import Assessor
from services.criteria.rulebook import rulebook_of
from services.criteria.store import quarantined
from services.kernel.clock import SystemClock
from services.kernel.kafka import create_topics
from services.kernel.postgres import create_pool, queries
from services.kernel.service import alive_here
from services.kernel.settings import load_settings

console = Console(highlight=False, soft_wrap=True)


async def migrate(data: Path, *, new_epoch: bool, roles: bool, users: bool = False) -> None:
    """Brings both databases to this version; after a logical restore a new epoch begins.

    With `roles` those of the services are made, and what each may do; with `users` also a user in each.
    """
    secrets = passwords() if users else {}
    async with system(Place(data), with_kafka=False) as found:
        applied = await migrate_all(found.settings)
        for name in applied:
            console.print(f"applied {name}")
        if not applied:
            console.print("the databases are at this version")
        if roles or users:
            await grant_roles(found.settings)
            console.print("the roles may do what docs/database-roles.md says")
        if users:
            await make_users(found.settings, secrets)
            console.print(f"users: {', '.join(secrets)}")
        if new_epoch:
            pool = await create_pool(found.settings.database_url.get_secret_value(), size=1)
            try:
                epoch = await pool.fetchval(queries("services.eventlog")["new_epoch"])
            finally:
                await pool.close()
            console.print(f"epoch {epoch} begins: the relay goes on from where it was")


async def topics_create(data: Path) -> None:
    """Creates the topics that are missing."""
    async with system(Place(data)) as found:
        created = await create_topics(found.settings, TOPICS)
        for name in created:
            console.print(f"created {name}")
        if not created:
            console.print(f"all topics are there: {', '.join(map(found.settings.topic, TOPICS))}")


async def alive() -> int:
    """0 when a service on this host has sent a heartbeat lately, else 1."""
    pool = await create_pool(load_settings(opens=False).database_url.get_secret_value(), size=1)
    try:
        return 0 if await alive_here(pool) else 1
    finally:
        await pool.close()


async def criteria_quarantine(data: Path) -> int:
    """Lists the cases in quarantine, the oldest first; 1 when there are any."""
    async with system(Place(data), with_kafka=False) as found:
        pool = await create_pool(found.settings.database_url.get_secret_value(), size=1)
        try:
            cases = await quarantined(pool)
        finally:
            await pool.close()
    for case in cases:
        console.print(
            f"{case.case_id or 'no case'}  since {case.since:%Y-%m-%d %H:%M:%S}  {case.error_class}"
            f"  {case.messages} messages wait"
        )
    if not cases:
        console.print("no case is in quarantine")
    return 1 if cases else 0


async def criteria_resume(data: Path, case: UUID) -> None:
    """Takes a case out of quarantine. Raises StillPoisonError when its event still cannot be read."""
    async with system(Place(data), with_kafka=False) as found:
        pool = await create_pool(found.settings.database_url.get_secret_value(), size=2)
        try:
            version = await Assessor(pool, rulebook_of(found.settings), SystemClock()).resume(case)
        finally:
            await pool.close()
    console.print(f"case {case} goes on; it is assessed up to version {version}")
