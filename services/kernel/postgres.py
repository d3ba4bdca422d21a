"""PostgreSQL: pools with the timeouts that keep the log flowing, named SQL, retries of lost races."""

import asyncio
import random
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg

from services.kernel.errors import ZoeklichtError
from services.kernel.tls import why_not_believed

T = TypeVar("T")

Connection = Any
"""asyncpg.Connection, or its proxy from a pool."""
Pool = Any
"""asyncpg.Pool."""

AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What a database raises that is away, or that ended our session: asyncpg says the latter in several ways.

A query after the server's goodbye, but before the end of the connection was noticed, is an InternalClientError.
"""
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    ConnectionError,
)
"""Of those, what is nobody's mistake: the server went, or never came."""
IDLE_CONNECTION_S = 20.0
_CONNECT_WITHIN_S = 10.0
_COMMAND_WITHIN_S = 60.0
_SILENCE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
"""After 20 s: seconds of quiet before the first question, between questions, how many; ms that sent bytes wait."""
_RETRIES = 5
_SERVER_SETTINGS = {
    # An open writing transaction stalls every reader of the log, so none may stay open.
    "idle_in_transaction_session_timeout": "15s",
    "transaction_timeout": "60s",
    "lock_timeout": "20s",
    "jit": "off",
}


class DatabaseRefusedError(ZoeklichtError, ConnectionError):
    """PostgreSQL is there and we cannot talk with it; the message names the setting that is probably wrong."""


async def create_pool(url: str, *, size: int = 5, keep: int = 1, application: str = "zoeklicht") -> Pool:
    """A pool of at most `size` connections to the database at `url`, of which `keep` stay while nobody asks.

    What belongs to a session (a session lock, SET without LOCAL, LISTEN) has no place in it: whoever needs that keeps a
    connection for good. Raises DatabaseRefusedError where a setting is wrong, and what `AWAY` lists.
    """
    with _refusals_explained(url):
        return await asyncpg.create_pool(
            url,
            min_size=keep,
            max_size=size,
            timeout=_CONNECT_WITHIN_S,
            command_timeout=_COMMAND_WITHIN_S,
            # A burst's connections go when it is over: every backend costs memory on one machine.
            max_inactive_connection_lifetime=IDLE_CONNECTION_S,
            reset=_nothing_to_reset,
            server_settings={**_SERVER_SETTINGS, "application_name": application},
            init=_notice_silence,
        )


async def connect(url: str, *, application: str) -> Connection:
    """A connection of its own, for what belongs to one session: LISTEN, a lock for the life of a process.

    Raises what `create_pool` raises.
    """
    with _refusals_explained(url):
        connection = await asyncpg.connect(
            url,
            timeout=_CONNECT_WITHIN_S,
            command_timeout=_COMMAND_WITHIN_S,
            server_settings={**_SERVER_SETTINGS, "application_name": application},
        )
    await _notice_silence(connection)
    return connection


@contextmanager
def _refusals_explained(url: str) -> Iterator[None]:
    """Raises DatabaseRefusedError, with the setting to change, where a server is there and will not have us."""
    parts = urlsplit(url)
    server = f"PostgreSQL at {parts.hostname}:{parts.port or 5432}"
    setting = "ZOEKLICHT_VAULT_DATABASE_URL or DATABASE_URL" if parts.path == "/vault" else "DATABASE_URL"
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        why = why_not_believed(error, server=server, address=setting, authority=f"sslrootcert in {setting}")
        raise DatabaseRefusedError(why) from error
    except (ssl.SSLError, FileNotFoundError, asyncpg.ClientConfigurationError) as error:
        raise DatabaseRefusedError(
            f"{setting} cannot be used with {server}: check sslmode and the files that sslrootcert, sslcert and sslkey name"
        ) from error
    except asyncpg.InvalidPasswordError as error:
        raise DatabaseRefusedError(f"{server} refuses the user or the password in {setting}") from error
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InsufficientPrivilegeError) as error:
        raise DatabaseRefusedError(
            f"{server} does not let us in: check the user, the database and sslmode in {setting}"
        ) from error
    except ConnectionError as error:
        if "SSL upgrade" not in str(error):  # asyncpg has no class for it
            raise
        raise DatabaseRefusedError(f"{server} speaks no TLS: check sslmode in {setting}") from error


async def _notice_silence(connection: Connection) -> None:
    """Has the system end a connection whose other end says nothing, not even that it heard: its machine is gone.

    Without it a session that only listens waits for ever, and one that asks for as long as its command may take.
    """
    wire = connection._transport.get_extra_info("socket")  # noqa: SLF001 - asyncpg has no setting for it
    if wire is None or wire.family not in (socket.AF_INET, socket.AF_INET6):
        return
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _SILENCE.items():
        if hasattr(socket, name):  # they differ from system to system
            wire.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def _nothing_to_reset(_connection: Connection) -> None:
    """An open transaction is rolled back before this; asyncpg's own statement would be one more way there and back."""


@cache
def queries(package: str, file: str = "queries.sql") -> dict[str, str]:
    """The named queries in a file of a package: blocks that start with `-- name: what it does`."""
    text = resources.files(package).joinpath(file).read_text(encoding="utf-8")
    blocks = re.split(r"^-- (\w+): .*$", text, flags=re.MULTILINE)
    return {name: sql.strip() for name, sql in zip(blocks[1::2], blocks[2::2], strict=True)}


async def in_transaction(pool: Pool, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Runs `work` in a transaction; a deadlock or a serialization failure is tried again, five times in all.

    Raises CancelledError for a task that is cancelled, also when the connection was lost.
    """
    for attempt in range(1, _RETRIES + 1):
        try:
            async with pool.acquire() as connection, connection.transaction():
                return await work(connection)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            if attempt == _RETRIES:
                raise
            await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 - jitter, not a secret
        except LOST as error:
            # A roll back on a lost connection fails, and its error takes the place of the wish to end: whoever tries again
            # when the database is away would never end.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError from error
            raise
    raise AssertionError("unreachable")
