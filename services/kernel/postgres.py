"""PostgreSQL: pools with the timeouts that keep the log flowing, named SQL, retries of lost races."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import asyncpg

T = TypeVar("T")

Connection = Any
"""asyncpg.Connection, or its proxy from a pool."""
Pool = Any
"""asyncpg.Pool."""

IDLE_CONNECTION_S = 20.0
_RETRIES = 5
_SERVER_SETTINGS = {
    # An open writing transaction stalls every reader of the log, so none may stay open.
    "idle_in_transaction_session_timeout": "15s",
    "transaction_timeout": "60s",
    "lock_timeout": "20s",
    "jit": "off",
}


async def create_pool(url: str, *, size: int = 5, application: str = "zoeklicht") -> Pool:
    """A pool of at most `size` connections to the database at `url`."""
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        command_timeout=60,
        # A burst's connections go when it is over: every backend costs memory on one machine.
        max_inactive_connection_lifetime=IDLE_CONNECTION_S,
        server_settings={**_SERVER_SETTINGS, "application_name": application},
    )


@cache
def queries(package: str, file: str = "queries.sql") -> dict[str, str]:
    """The named queries in a file of a package: blocks that start with `-- name: what it does`."""
    text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    blocks = re.split(r"^-- (\w+): .*$", text, flags=re.MULTILINE)
    return {name: sql.strip() for name, sql in zip(blocks[1::2], blocks[2::2], strict=True)}


async def in_transaction(pool: Pool, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Runs `work` in a transaction; a deadlock or a serialization failure is tried again, five times in all."""
    for attempt in range(1, _RETRIES + 1):
        try:
            async with pool.acquire() as connection, connection.transaction():
                return await work(connection)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            if attempt == _RETRIES:
                raise
            await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 - jitter, not a secret
    raise AssertionError("unreachable")
