"""The handshake with a partner: a signed ping, whose first 2xx makes the partner active."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import structlog

from services.dispatch import backoff
from services.dispatch.outcomes import HTTP_OK
from services.dispatch.secret_boxes import open_secrets
from services.dispatch.transport import Transport, TransportError
from services.kernel import signing
from services.kernel.clock import Reckoning, boottime
from services.kernel.ids import new_id
from services.kernel.postgres import Connection, Pool, in_transaction, queries
from services.kernel.settings import Settings
from services.kernel.vault import VaultError

PING_CHANNEL = "dispatch_ping"
Activate = Callable[[Connection, UUID], Awaitable[None]]

_AT_ONCE = 16
_SQL = queries("services.dispatch", "sender.sql")
_RECIPIENTS_CHANGE = queries("services.dispatch")["recipients_change"]
log = structlog.get_logger()


async def _nothing() -> None:
    """A ping shows nothing to anybody: it needs no last look."""


class Pings:
    """Sends the handshakes that are due. `activate` is called in the transaction that ends one, before any write."""

    def __init__(
        self,
        pool: Pool,
        settings: Settings,
        transport: Transport,
        activate: Activate,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._transport = transport
        self._activate = activate

    async def step(self) -> int:
        """Sends what is due; returns how many."""
        again = timedelta(seconds=self._settings.lease_s)
        rows = await self._pool.fetch(_SQL["take_pings"], again, _AT_ONCE)
        received = boottime()
        await asyncio.gather(*(self._ping(row, Reckoning(row["moment"], received)) for row in rows))
        return len(rows)

    async def _ping(self, row: Any, clock: Reckoning) -> None:
        status, error_class = await self._post(row, clock.now())
        if status in HTTP_OK:
            await in_transaction(self._pool, lambda connection: self._welcome(connection, row))
            return
        await self._pool.execute(
            _SQL["ping_failed"],
            row["recipient_id"],
            row["requested_at"],
            status,
            error_class,
            backoff.ping_delay(row["attempts"]),
            backoff.PING_FOR,
        )

    async def _post(self, row: Any, now: datetime) -> tuple[int | None, str | None]:
        body = orjson.dumps({"type": "ping", "timestamp": now.isoformat(), "data": {}})
        try:
            secrets = open_secrets(row, self._settings.master_key_bytes)
        except (VaultError, signing.SignatureError):
            return None, "secret"  # rotating it mends it; the other partners' handshakes go on
        headers = signing.headers(secrets, f"ping_{new_id().hex}", int(now.timestamp()), body)
        try:
            answer = await self._transport.post(row["url"], body, headers, _nothing)
        except TransportError as error:
            return None, error.error_class
        return answer.status, None if answer.status in HTTP_OK else "refused"

    async def _welcome(self, connection: Connection, row: Any) -> None:
        # Before the question: an address that changes from here on waits, and is proved by a handshake of its own.
        await connection.execute(_RECIPIENTS_CHANGE)
        asked = await connection.fetchval(_SQL["ping_asked"], row["recipient_id"])
        if asked != row["requested_at"]:
            return  # the address or the secret changed meanwhile: a newer handshake decides
        await self._activate(connection, row["recipient_id"])
        await connection.execute(_SQL["ping_done"], row["recipient_id"], row["requested_at"])
        log.info("partner active", recipient=str(row["recipient_id"]))
