"""What the use cases behind HTTP stand on."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.kernel.idempotency import Idempotency
from services.kernel.postgres import Connection, Pool, in_transaction
from services.kernel.settings import Settings
from services.kernel.vault import Vault

Answer = tuple[int, Mapping[str, Any]]
"""An HTTP status and a body."""


@dataclass(frozen=True, slots=True)
class DispatchDeps:
    """What the router is given: its own pool, the keys, the settings."""

    pool: Pool
    vault: Vault
    settings: Settings


async def once(
    deps: DispatchDeps, idempotency: Idempotency | None, work: Callable[[Connection], Awaitable[Answer]]
) -> Answer:
    """Does the work in one transaction; with an Idempotency-Key only once, the same answer being given again."""
    if idempotency is not None:
        await idempotency.replay(deps.pool)

    async def claimed(connection: Connection) -> Answer:
        if idempotency is not None:
            await idempotency.claim(connection)
        status, answer = await work(connection)
        if idempotency is not None:
            await idempotency.remember(connection, status, answer)
        return status, answer

    return await in_transaction(deps.pool, claimed)


async def once_done(
    deps: DispatchDeps, idempotency: Idempotency | None, work: Callable[[], Awaitable[Answer]]
) -> Answer:
    """Like `once`, for work in transactions of its own that changes nothing when it is done again.

    The answer is remembered after the work: no transaction stays open meanwhile.
    """
    if idempotency is None:
        return await work()
    await idempotency.replay(deps.pool)
    answer = await work()

    async def kept(connection: Connection) -> Answer:
        await idempotency.claim(connection)
        await idempotency.remember(connection, *answer)
        return answer

    return await in_transaction(deps.pool, kept)
