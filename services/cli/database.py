"""The database of an installation: its schemas, in the order in which they build on each other."""

from importlib import resources

from services.kernel.backup.unfinished import check_finished
from services.kernel.migrations import PACKAGES, VAULT_PACKAGES, Migration, migrate, migrations_of
from services.kernel.postgres import create_pool
from services.kernel.settings import Settings
from services.projections.versions import install


def steps_of(packages: tuple[str, ...] = PACKAGES) -> list[Migration]:
    """Every migration that this version knows, in their order."""
    return [one for package in packages for one in migrations_of(package)]


async def migrate_all(settings: Settings, *, restoring: bool = False) -> list[str]:
    """Brings both databases to this version; returns what it applied.

    Raises BackupError for a database that a restore has not finished, unless it is that restore which asks.
    """
    applied = []
    for url, packages in (
        (settings.database_url.get_secret_value(), PACKAGES),
        (settings.vault_url, VAULT_PACKAGES),
    ):
        pool = await create_pool(url, size=1, application="zoeklicht-migrate")
        try:
            if not restoring:
                await check_finished(pool)
            applied += await migrate(pool, packages)
            if packages is PACKAGES:
                applied += [f"read model {name}" for name in await install(pool)]
        finally:
            await pool.close()
    return applied


async def grant_roles(settings: Settings) -> None:
    """Makes the roles of the services and what each may do, in both databases; may be done again.

    Raises asyncpg.InsufficientPrivilegeError when the user of a URL may not make roles.
    """
    for url, file in (
        (settings.database_url.get_secret_value(), "roles.sql"),
        (settings.vault_url, "roles_vault.sql"),
    ):
        pool = await create_pool(url, size=1, application="zoeklicht-migrate")
        try:
            await pool.execute(resources.files("services.cli").joinpath(file).read_text(encoding="utf-8"))
        finally:
            await pool.close()
