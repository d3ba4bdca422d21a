"""What the use cases behind HTTP stand on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.kernel.idempotency import Answer, Idempotency
from services.kernel.idempotency import once as idempotency_once
from services.kernel.postgres import Connection, Pool, in_transaction
from services.kernel.settings import Settings
from services.kernel.vault import Vault

__all__ = ["Answer", "DispatchDeps", "once", "once_done"]


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
    return await idempotency_once(deps.pool, idempotency, work)


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
