"""The database of an installation: its schemas, in the order in which they build on each other."""

from services.kernel.migrations import migrate
from services.kernel.postgres import create_pool
from services.kernel.settings import Settings
from services.projections.versions import install

PACKAGES = (
    "services.kernel",
    "services.eventlog",
    "services.intake",
    "services.criteria",
    "services.dispatch",
    "services.projections",
    "services.volunteers",
)
VAULT_PACKAGES = ("services.kernel.vault",)


async def migrate_all(settings: Settings) -> list[str]:
    """Brings both databases to this version; returns what it applied."""
    applied = []
    for url, packages in (
        (settings.database_url.get_secret_value(), PACKAGES),
        (settings.vault_url, VAULT_PACKAGES),
    ):
        pool = await create_pool(url, size=1, application="zoeklicht-migrate")
        try:
            applied += await migrate(pool, packages)
            if packages is PACKAGES:
                applied += [f"read model {name}" for name in await install(pool)]
        finally:
            await pool.close()
    return applied
