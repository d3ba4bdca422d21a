"""Idempotency-Key: the same key and body give the first answer again; the row commits with the work itself."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.base import Sealed
from services.kernel.postgres import Connection, Pool, in_transaction
from services.kernel.problems import ConflictError, InvalidError
from services.kernel.vault import blind, seal, unseal

Answer = tuple[int, Mapping[str, Any]]
"""An HTTP status and a body."""
KEPT = "7 days"


class AnsweredBefore(Exception):  # noqa: N818 - not an error: the answer is there already
    """Another request with this key committed first; carries its answer."""

    def __init__(self, status: int, answer: Mapping[str, Any]) -> None:
        super().__init__()
        self.status = status
        self.answer = answer


async def forget_old(pool: Pool, most: int = 500) -> int:
    """Deletes at most `most` answers whose time is over; returns how many. They hold sealed secrets of partners."""
    gone = await pool.fetch(
        "delete from kernel.idempotency where ctid in (select ctid from kernel.idempotency"
        f" where created_at < clock_timestamp() - interval '{KEPT}' limit $1) returning 1",
        most,
    )
    return len(gone)


@dataclass(frozen=True, slots=True)
class Idempotency:
    """One key of one principal on one route, with the fingerprint of the body.

    What is stored of the key is a keyed hash: a caller may have made it from a name.
    """

    principal: str
    route: str
    key: str
    body: bytes
    secret: bytes

    async def replay(self, source: Pool | Connection) -> None:
        """Raises AnsweredBefore when the work is done already; InvalidError when the body differs."""
        row = await source.fetchrow(
            "select body, status, answer from kernel.idempotency where principal = $1 and route = $2 and key = $3"
            f" and created_at > clock_timestamp() - interval '{KEPT}'",
            self.principal,
            self.route,
            self._stored_key,
        )
        if row is None:
            return
        if row["body"] != self.body:
            raise InvalidError(
                "idempotency-key", "this Idempotency-Key was used with another body; take a new key"
            )
        answer = unseal(Sealed.model_validate_json(row["answer"]), self.secret, self._bound_to)
        raise AnsweredBefore(row["status"], answer)

    async def claim(self, connection: Connection) -> None:
        """First thing in the transaction of the work: takes no transaction id, so it may precede stream locks.

        Raises ConflictError while another request with this key is at work, AnsweredBefore when it is done.
        """
        number = int.from_bytes(hashlib.sha256(self._bound_to).digest()[:8], signed=True)
        if not await connection.fetchval("select pg_try_advisory_xact_lock($1)", number):
            raise ConflictError(
                "idempotency-in-flight",
                "a request with this Idempotency-Key is being worked on; try again in a second",
                headers={"Retry-After": "1"},
            )
        await self.replay(connection)

    async def remember(self, connection: Connection, status: int, answer: Mapping[str, Any]) -> None:
        """Keeps the answer, sealed, in the transaction of the work."""
        box = seal("idempotency", self.secret, dict(answer), self._bound_to)
        await connection.execute(
            "insert into kernel.idempotency (principal, route, key, body, status, answer) values ($1,$2,$3,$4,$5,$6)"
            " on conflict (principal, route, key) do update"
            " set body = excluded.body, status = excluded.status, answer = excluded.answer,"
            " created_at = clock_timestamp()",
            self.principal,
            self.route,
            self._stored_key,
            self.body,
            status,
            box.model_dump_json(),
        )

    @property
    def _stored_key(self) -> str:
        return blind(self.secret, "key", self.key).hex()

    @property
    def _bound_to(self) -> bytes:
        return f"{self.principal}|{self.route}|{self.key}".encode()


async def once(
    pool: Pool, idempotency: Idempotency | None, work: Callable[[Connection], Awaitable[Answer]]
) -> Answer:
    """Does the work in one transaction; with an Idempotency-Key only once, the same answer being given again."""
    if idempotency is not None:
        await idempotency.replay(pool)

    async def claimed(connection: Connection) -> Answer:
        if idempotency is not None:
            await idempotency.claim(connection)
        status, answer = await work(connection)
        if idempotency is not None:
            await idempotency.remember(connection, status, answer)
        return status, answer

    return await in_transaction(pool, claimed)
