"""The work of `zoeklicht token …`. Whoever makes or ends one is in the audit."""

import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from services.cli.insight import pool_of
from services.cli.local import system
from services.cli.place import Place
from services.kernel.audit import note
from services.kernel.errors import ZoeklichtError
from services.kernel.postgres import Connection, Pool, in_transaction
from services.kernel.principals import Role, issue_token, revoke_tokens, valid_tokens

console = Console(highlight=False, soft_wrap=True)
_COMMAND = "command"


class NoTokenError(ZoeklichtError):
    """Nobody of this name has a valid token."""


@asynccontextmanager
async def _pool(data: Path) -> AsyncIterator[Pool]:
    async with system(Place(data), with_kafka=False) as found, pool_of(found) as pool:
        yield pool


async def create(data: Path, principal: str, role: str, days: int) -> None:
    """Makes a token that is valid for so many days and prints it."""
    until = datetime.now(UTC) + timedelta(days=days)

    async def work(connection: Connection) -> str:
        token = await issue_token(connection, principal, Role(role), expires_at=until)
        await note(connection, getpass.getuser(), _COMMAND, f"token.created {role} {principal}", ())
        return token

    async with _pool(data) as pool:
        console.print(await in_transaction(pool, work))


async def show(data: Path) -> None:
    """Lists whose tokens are valid."""
    async with _pool(data) as pool:
        rows = await valid_tokens(pool)
    table = Table("whose", "role", "tokens", "until")
    for row in rows:
        until = f"{row['until']:%Y-%m-%d}" if row["until"] else "revoked only"
        table.add_row(row["principal"], row["role"], str(row["tokens"]), until)
    console.print(table)


async def revoke(data: Path, principal: str) -> None:
    """Ends every token of a person. Raises NoTokenError when there is none."""

    async def work(connection: Connection) -> None:
        if not await revoke_tokens(connection, principal):
            raise NoTokenError(f"{principal} has no valid token: `zoeklicht token list` shows who has one")
        await note(connection, getpass.getuser(), _COMMAND, f"token.revoked {principal}", ())

    async with _pool(data) as pool:
        await in_transaction(pool, work)
    console.print(f"no token of {principal} is valid any more")
