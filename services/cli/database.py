"""The database of an installation: its schemas, in the order in which they build on each other."""

import os
from collections.abc import Mapping
from importlib import resources

from services.kernel.backup import Step
from services.kernel.backup.unfinished import check_finished
from services.kernel.migrations import PACKAGES, VAULT_PACKAGES, migrate, migrations_of
from services.kernel.postgres import Pool, create_pool
from services.kernel.settings import Settings, SettingsError
from services.projections.versions import install


def steps_of(packages: tuple[str, ...]) -> frozenset[Step]:
    """Every migration that this version knows, as backups name them."""
    return frozenset(
        (one.owner, one.name, one.digest) for package in packages for one in migrations_of(package)
    )


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


OPENING_USERS = ("intake", "dispatch", "sender", "volunteers", "auditor", "web")
"""Of the services' users, those who reach the keys."""
SERVICE_USERS = ("relay", "criteria", "projections", *OPENING_USERS)
"""The users that `make_users` makes: one for each service, in the role `zoeklicht_` and its name."""


def passwords() -> dict[str, str]:
    """The passwords of the services' users. Raises SettingsError."""
    names = {user: f"ZOEKLICHT_{user.upper()}_PASSWORD" for user in SERVICE_USERS}
    missing = [name for name in names.values() if not os.environ.get(name)]
    if missing:
        raise SettingsError(f"{', '.join(missing)}: set a password for each of the services' users")
    return {user: os.environ[name] for user, name in names.items()}


async def make_users(settings: Settings, known: Mapping[str, str]) -> None:
    """Makes a user for each role that `grant_roles` made, in both databases, or gives it its password of these.

    Raises asyncpg.InsufficientPrivilegeError when the user of a URL may not make roles.
    """
    for url, users in (
        (settings.database_url.get_secret_value(), SERVICE_USERS),
        (settings.vault_url, OPENING_USERS),
    ):
        pool = await create_pool(url, size=1, application="zoeklicht-migrate")
        try:
            for user in users:
                await _make_user(pool, user, known[user])
        finally:
            await pool.close()


async def _make_user(pool: Pool, user: str, password: str) -> None:
    known = await pool.fetchval("select exists (select from pg_roles where rolname = $1)", user)
    # The server quotes it: a statement about a role takes no parameters.
    statement = await pool.fetchval(
        "select format(case when $3 then 'alter' else 'create' end || ' role %I login password %L', $1::text, $2::text)",
        user,
        password,
        known,
    )
    await pool.execute(statement)
    await pool.execute(f"grant zoeklicht_{user} to {user}")


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
