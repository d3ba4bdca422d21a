"""The keys: each wrapped by the master key, in a database of their own outside the general backup."""

import hashlib
import os
from collections.abc import Iterable, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.kernel.postgres import Pool
from services.kernel.vault.sealing import NONCE, KeyDestroyedError, VaultError

_MASTER_KEY_BYTES = 32
_ENSURE = (
    "with made as (insert into key (name, wrapped, master_id) select n, w, $3 from unnest($1::text[], $2::bytea[]) g(n, w)"
    " on conflict (name) do nothing returning name)"
    " select name, null as wrapped from made"
    " union all select name, wrapped from key where name = any($1) and wrapped is not null"
)
"""Keys that are there, and in the same statement those that are made now: the latter with nothing, we know them."""


class Vault:
    """The keys, each wrapped by the master key, in a database of their own outside the general backup."""

    def __init__(self, pool: Pool, master_key: bytes) -> None:
        if len(master_key) != _MASTER_KEY_BYTES:
            raise VaultError("the master key must be 32 bytes")
        self._pool = pool
        self._master = AESGCM(master_key)
        self._master_id = hashlib.sha256(master_key).hexdigest()[:16]

    async def ensure(self, names: Iterable[str]) -> dict[str, bytes]:
        """The keys of these names, made where missing. A destroyed key stays destroyed: KeyDestroyedError."""
        fresh = {name: AESGCM.generate_key(256) for name in sorted(set(names))}
        wrapped = [self._wrap(name, secret) for name, secret in fresh.items()]
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(_ENSURE, list(fresh), wrapped, self._master_id)
        keys = {
            row["name"]: self._unwrap(row["name"], row["wrapped"]) if row["wrapped"] else fresh[row["name"]]
            for row in rows
        }
        # What somebody else made at the same moment was not to be seen yet.
        keys |= await self.find(list(fresh.keys() - keys.keys())) if len(keys) < len(fresh) else {}
        if len(keys) < len(fresh):
            raise KeyDestroyedError("a key was destroyed: what belongs to it is erased and takes no new data")
        return keys

    async def find(self, names: Sequence[str]) -> dict[str, bytes]:
        """The keys that exist and are not destroyed."""
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(
                "select name, wrapped from key where name = any($1) and wrapped is not null", list(set(names))
            )
        return {row["name"]: self._unwrap(row["name"], row["wrapped"]) for row in rows}

    async def destroy(self, names: Iterable[str]) -> None:
        """Forgets these keys for ever; the names stay, so that nobody makes them anew. Twice is as good as once."""
        async with self._pool.acquire() as connection:
            await connection.execute(
                "insert into key (name, wrapped, master_id, destroyed_at) select n, null, '', clock_timestamp()"
                " from unnest($1::text[]) n on conflict (name) do update"
                " set wrapped = null, destroyed_at = coalesce(key.destroyed_at, clock_timestamp())",
                sorted(set(names)),
            )

    def _wrap(self, name: str, secret: bytes) -> bytes:
        nonce = os.urandom(NONCE)
        return nonce + self._master.encrypt(nonce, secret, name.encode())

    def _unwrap(self, name: str, wrapped: bytes) -> bytes:
        try:
            return self._master.decrypt(wrapped[:NONCE], wrapped[NONCE:], name.encode())
        except InvalidTag as error:
            raise VaultError(
                "ZOEKLICHT_MASTER_KEY does not open the keys in the vault: set the key they were wrapped with"
            ) from error
