"""The keys: each wrapped, in a database of their own outside the general backup."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.kernel.postgres import Connection, Pool
from services.kernel.vault.sealing import KeyDestroyedError
from services.kernel.vault.wrapping import Ring

_ENSURE = (
    "with made as (insert into key (name, wrapped, master_id) select n, w, $3 from unnest($1::text[], $2::bytea[]) g(n, w)"
    " on conflict (name) do nothing returning name)"
    " select name, null as wrapped, '' as master_id from made"
    " union all select name, wrapped, master_id from key where name = any($1) and wrapped is not null"
)
"""Keys that are there, and in the same statement those that are made now: the latter with nothing, we know them."""
_FIND = "select name, wrapped, master_id from key where name = any($1) and wrapped is not null"


class Vault:
    """The keys, each wrapped by the first key of a ring, in a database of their own outside the general backup."""

    def __init__(self, pool: Pool, ring: Ring) -> None:
        self._pool = pool
        self._ring = ring
        self._made = _Together(self._make)

    async def ensure(self, names: Iterable[str]) -> dict[str, bytes]:
        """The keys of these names, made where missing. A destroyed key stays destroyed: KeyDestroyedError.

        Asked by many at once, the vault is asked for all of them together. Raises WrappingError when what wraps them is away.
        """
        wanted = set(names)
        keys = await self._made.of(wanted)
        if len(keys) < len(wanted):
            raise KeyDestroyedError("a key was destroyed: what belongs to it is erased and takes no new data")
        return keys

    async def _make(self, wanted: list[str]) -> dict[str, bytes]:
        """The keys of those names that were not destroyed, made where missing."""
        there = await self.find(wanted) if self._ring.is_asked else {}
        fresh = {name: AESGCM.generate_key(256) for name in wanted if name not in there}
        if not fresh:
            return there
        wrapped = await self._ring.wrap(fresh)
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(_ENSURE, list(fresh), list(wrapped.values()), self._ring.key_id)
        keys = there | {row["name"]: fresh[row["name"]] for row in rows if row["wrapped"] is None}
        keys |= await opened(self._ring, [row for row in rows if row["wrapped"] is not None])
        # What somebody else made at the same moment was not to be seen yet.
        return keys | (await self.find(list(fresh.keys() - keys.keys())) if len(keys) < len(wanted) else {})

    async def find(self, names: Sequence[str]) -> dict[str, bytes]:
        """The keys that exist and are not destroyed. Raises WrappingError when one cannot be opened now."""
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(_FIND, list(set(names)))
        return await opened(self._ring, rows)

    async def destroy(self, names: Iterable[str]) -> None:
        """Forgets these keys for ever; the names stay, so that nobody makes them anew. Twice is as good as once."""
        async with self._pool.acquire() as connection:
            await connection.execute(
                "insert into key (name, wrapped, master_id, destroyed_at) select n, null, '', clock_timestamp()"
                " from unnest($1::text[]) n on conflict (name) do update"
                " set wrapped = null, destroyed_at = coalesce(key.destroyed_at, clock_timestamp())",
                sorted(set(names)),
            )


class _Together:
    """What is asked for while an answer is on its way goes together, as one question, after it."""

    def __init__(self, ask: Callable[[list[str]], Awaitable[dict[str, bytes]]]) -> None:
        self._ask = ask
        self._turn = asyncio.Lock()
        self._waiting: set[str] = set()
        self._answer: asyncio.Task[dict[str, bytes]] | None = None

    async def of(self, names: set[str]) -> dict[str, bytes]:
        """The answers to these names, of a question that begins after this call."""
        self._waiting |= names
        answer = self._answer = self._answer or asyncio.create_task(self._round())
        found = await asyncio.shield(answer)  # who gives up takes nobody's answer away
        return {name: found[name] for name in names if name in found}

    async def _round(self) -> dict[str, bytes]:
        async with self._turn:
            wanted, self._waiting, self._answer = sorted(self._waiting), set(), None
            return await self._ask(wanted)


async def opened(ring: Ring, rows: Iterable[Any]) -> dict[str, bytes]:
    """Name → key of rows of the vault, each with the key it was wrapped with. Raises WrappingError."""
    keys: dict[str, bytes] = {}
    for key_id, some in groupby(sorted(rows, key=lambda row: row["master_id"]), lambda row: row["master_id"]):
        keys |= await ring.unwrap(key_id, {row["name"]: row["wrapped"] for row in some})
    return keys


# ── another key that wraps ──────────────────────────────────────────────────────────────────────────────────


async def wrapped_with(connection: Pool | Connection) -> Mapping[str, int]:
    """Id of a wrapping key → how many keys it wraps."""
    rows = await connection.fetch(
        "select master_id, count(*) as keys from key where wrapped is not null group by master_id order by master_id"
    )
    return {row["master_id"]: row["keys"] for row in rows}


async def rewrap(
    pool: Pool, ring: Ring, after: str, at_once: int, *, every: bool = False
) -> tuple[str | None, int]:
    """Wraps the next keys by name after `after` with the first of the ring; the last name and how many.

    `every`: also those that it wraps already, so that a key service uses its newest version. A name of None: there are
    no more. A key that is destroyed meanwhile stays destroyed. Raises WrappingError; what is done stays done.
    """
    rows = await pool.fetch(
        "select name, wrapped, master_id from key where name > $1 and wrapped is not null"
        " and ($2 or master_id <> $3) order by name limit $4",
        after,
        every,
        ring.key_id,
        at_once,
    )
    if not rows:
        return None, 0
    wrapped = await ring.wrap(await opened(ring, rows))
    done = await pool.fetch(
        "update key set wrapped = fresh, master_id = $4 from unnest($1::text[], $2::bytea[], $3::bytea[]) g(n, old, fresh)"
        " where name = n and wrapped = old returning name",
        [row["name"] for row in rows],
        [row["wrapped"] for row in rows],
        [wrapped[row["name"]] for row in rows],
        ring.key_id,
    )
    return rows[-1]["name"], len(done)
