"""Numbered SQL files of each service, applied once and in order, under a lock."""

import hashlib
from dataclasses import dataclass
from importlib import resources

from services.kernel.errors import ZoeklichtError
from services.kernel.postgres import Connection, Pool

PACKAGES = (
    "services.kernel",
    "services.eventlog",
    "services.intake",
    "services.criteria",
    "services.dispatch",
    "services.projections",
    "services.volunteers",
)
"""Whose tables are in the main database, in the order in which they build on each other."""
VAULT_PACKAGES = ("services.kernel.vault",)
_LOCK = 116_000


class MigrationError(ZoeklichtError):
    """The schema of the database and this version do not fit; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `owner` is the service's package, `name` the file's."""

    owner: str
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text, so that an edited migration is found."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations_of(package: str) -> list[Migration]:
    """The migrations in the folder `migrations` of a package, in order of their numbers."""
    folder = resources.files(package).joinpath("migrations")
    if not folder.is_dir():
        return []
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [Migration(package, f.name, f.read_text(encoding="utf-8")) for f in files]


async def lacking(source: Pool | Connection, packages: tuple[str, ...] = PACKAGES) -> list[str]:
    """The steps that this version needs and the database has not had, in order.

    Steps of a newer version are none of ours: what they add is passed over, and what they may take away they take only
    once nobody uses it (`docs/upgrades.md`).
    """
    applied = set()
    if await source.fetchval("select to_regclass('public.migration')") is not None:
        rows = await source.fetch("select owner, name from public.migration")
        applied = {(row["owner"], row["name"]) for row in rows}
    steps = [step for package in packages for step in migrations_of(package)]
    return [f"{step.owner}/{step.name}" for step in steps if (step.owner, step.name) not in applied]


async def migrate(pool: Pool, packages: tuple[str, ...]) -> list[str]:
    """Applies what is missing, each file in a transaction of its own; returns what it applied.

    Raises MigrationError when a file that was applied has been edited since.
    """
    applied = []
    async with pool.acquire() as connection:
        await connection.execute("select pg_advisory_lock($1)", _LOCK)
        try:
            await connection.execute(
                "create table if not exists public.migration (owner text, name text, digest text not null,"
                " applied_at timestamptz not null default clock_timestamp(), primary key (owner, name))"
            )
            for package in packages:
                for migration in migrations_of(package):
                    if await _apply(connection, migration):
                        applied.append(f"{migration.owner}/{migration.name}")  # noqa: PERF401 - awaits in order
        finally:
            await connection.execute("select pg_advisory_unlock($1)", _LOCK)
    return applied


async def _apply(connection: Connection, migration: Migration) -> bool:
    known = await connection.fetchval(
        "select digest from public.migration where owner = $1 and name = $2", migration.owner, migration.name
    )
    if known == migration.digest:
        return False
    if known is not None:
        raise MigrationError(
            f"{migration.owner}/{migration.name} was changed after it was applied:"
            " restore the file and put the change in a new migration"
        )
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(
            "insert into public.migration (owner, name, digest) values ($1, $2, $3)",
            migration.owner,
            migration.name,
            migration.digest,
        )
    return True
