"""How commands look into the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.cli.local import System
from services.kernel.postgres import Pool, create_pool


@asynccontextmanager
async def pool_of(found: System, size: int = 2) -> AsyncIterator[Pool]:
    """A small pool for one command."""
    pool = await create_pool(
        found.settings.database_url.get_secret_value(), size=size, application="zoeklicht-cli"
    )
    try:
        yield pool
    finally:
        await pool.close()
