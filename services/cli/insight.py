"""How commands look into the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.cli.local import System
from services.kernel.postgres import Pool, create_pool


@asynccontextmanager
async def pool_of(found: System, size: int = 2) -> AsyncIterator[Pool]:
    """A small pool for one command."""
    async with _pool(found.settings.database_url.get_secret_value(), size, "zoeklicht-cli") as pool:
        yield pool


@asynccontextmanager
async def keys_of(found: System, size: int = 2) -> AsyncIterator[Pool]:
    """The same on the database of the keys."""
    async with _pool(found.settings.vault_url, size, "zoeklicht-cli-vault") as pool:
        yield pool


@asynccontextmanager
async def _pool(url: str, size: int, application: str) -> AsyncIterator[Pool]:
    pool = await create_pool(url, size=size, application=application)
    try:
        yield pool
    finally:
        await pool.close()
