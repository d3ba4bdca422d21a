"""The keys as lines of a backup, still wrapped by the master key, and back again without waking a destroyed one."""

import base64
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson

from services.kernel.postgres import Connection, Pool
from services.kernel.vault.sealing import VaultError

_AT_ONCE = 1000


async def count(source: Pool | Connection) -> int:
    """How many keys there are, destroyed ones apart."""
    return int(await source.fetchval("select count(*) from key where wrapped is not null"))


async def destroyed(source: Pool | Connection) -> set[str]:
    """The names of the destroyed keys: they are kept so that nobody makes them anew."""
    return {row["name"] for row in await source.fetch("select name from key where wrapped is null")}


async def known(source: Pool | Connection, names: Sequence[str]) -> set[str]:
    """Which of these names the vault knows, destroyed or not."""
    rows = await source.fetch("select name from key where name = any($1::text[])", list(names))
    return {row["name"] for row in rows}


async def lines(connection: Connection) -> AsyncIterator[bytes]:
    """Every key, a JSON object a line; within a transaction of the caller's."""
    every = "select name, wrapped, master_id, created_at, destroyed_at from key order by name"
    async for row in connection.cursor(every, prefetch=_AT_ONCE):
        box = row["wrapped"] and base64.b64encode(row["wrapped"]).decode()
        yield orjson.dumps({**row, "wrapped": box}, option=orjson.OPT_APPEND_NEWLINE)


def read(content: Iterable[bytes]) -> list[dict[str, Any]]:
    """The keys of a backup. Raises VaultError for lines that are none."""
    try:
        return [_row(line) for line in b"".join(content).splitlines()]
    except (ValueError, KeyError, TypeError) as error:
        raise VaultError("this is no backup of keys: take one that `zoeklicht backup --keys` made") from error


def _row(line: bytes) -> dict[str, Any]:
    row = orjson.loads(line)
    return {
        "name": str(row["name"]),
        "wrapped": None if row["wrapped"] is None else base64.b64decode(row["wrapped"], validate=True),
        "master_id": str(row["master_id"]),
        "created_at": datetime.fromisoformat(row["created_at"]),
        "destroyed_at": row["destroyed_at"] and datetime.fromisoformat(row["destroyed_at"]),
    }


async def bring_back(connection: Connection, rows: Sequence[dict[str, Any]]) -> int:
    """Adds the keys that the vault does not know, and returns how many; what was destroyed on either side stays so.

    Within a transaction of the caller's.
    """
    before = await count(connection)
    await connection.executemany(
        "insert into key (name, wrapped, master_id, created_at, destroyed_at) values ($1, $2, $3, $4, $5)"
        " on conflict (name) do update set wrapped = null, destroyed_at = excluded.destroyed_at"
        " where excluded.wrapped is null and key.wrapped is not null",
        [tuple(row.values()) for row in rows],
    )
    return await count(connection) - before
