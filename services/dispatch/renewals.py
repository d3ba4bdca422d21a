"""`display.renewed`: every few minutes each display partner is told what it may go on showing.

A display is leased: without a renewal it goes dark by itself, so an unreachable partner shows nobody for long. A
renewal is therefore built at the moment it is sent, looked at once more on the open connection, and never tried again:
the next one is due before the lease is over. It names a revision; a receiver that shows another one, or was told to
withdraw, ignores it, so one that is late or comes twice lights nothing. One that went dark meanwhile and still has that
very revision may show it again.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import orjson
import structlog

from schemas.payloads import AlertMessage, DisplayRenewed, RenewedAlert
from services.dispatch.outcomes import HTTP_OK
from services.dispatch.secret_boxes import open_secrets
from services.dispatch.transport import Transport, TransportError
from services.kernel import signing
from services.kernel.clock import Reckoning, boottime
from services.kernel.errors import ZoeklichtError
from services.kernel.ids import new_id
from services.kernel.paging import all_clear, page
from services.kernel.postgres import Connection, Pool, in_transaction, queries
from services.kernel.settings import Settings
from services.kernel.vault import VaultError

AT_ONCE = 32
PER_MESSAGE = 500
"""Alerts in one message: whoever shows more is told in several, so that neither side ever holds all of them at once."""
PAGE_AFTER = 3
"""Failures in a row after which a person is told: the display is about to go dark although the child is missing."""
_BUILDS = 3
_BEFORE_ALL = UUID(int=0)

_End = tuple[int | None, str | None]
"""Status and class of failure, as `dispatch.renewal` notes them."""

_SQL = queries("services.dispatch", "sender.sql")
log = structlog.get_logger()


class _ChangedError(ZoeklichtError):
    """Something in the message must not be renewed any more; nothing was sent."""


class Renewals:
    """Sends the renewals that are due. Any number of processes: each renewal is taken by one of them."""

    def __init__(self, pool: Pool, settings: Settings, transport: Transport) -> None:
        self._pool = pool
        self._settings = settings
        self._transport = transport
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def step(self) -> int:
        """Sends what is due; returns to how many partners."""
        every = timedelta(seconds=self._settings.renew_every_s)
        await in_transaction(self._pool, _over)
        rows = await self._pool.fetch(_SQL["take_renewals"], every)
        received = boottime()
        await asyncio.gather(*(self._renew(row, Reckoning(row["moment"], received)) for row in rows))
        return len(rows)

    async def _renew(self, row: Any, clock: Reckoning) -> None:
        async with self._turns:
            try:
                await self._once(row, clock)
            except (
                Exception
            ) as error:  # the next one is due in time, and nobody else must suffer for this one
                log.warning(
                    "not renewed", recipient=str(row["recipient_id"]), error_class=type(error).__name__
                )

    async def _once(self, row: Any, clock: Reckoning) -> None:
        """Part after part: one that is refused stops no other; where nobody answers, the rest would only wait as long."""
        recipient, after, builds = row["recipient_id"], _BEFORE_ALL, 0
        told = 0
        end: _End = (None, None)
        while alerts := await self.renewable(recipient, after):
            try:
                answer = await self._post(row, alerts, after, clock.now())
            except _ChangedError:
                builds += 1
                if builds < _BUILDS:
                    continue  # it is told of what is left
            else:
                told += len(alerts)
                if end[1] is None:
                    end = answer
                if answer[0] is None:
                    break
            after, builds = alerts[-1].alert_id, 0
        if told:
            await in_transaction(self._pool, partial(_record, recipient, told, end))

    async def renewable(self, recipient_id: UUID, after: UUID = _BEFORE_ALL) -> list[RenewedAlert]:
        """What the partner shows at this moment and may go on showing: the next part behind the alert `after`."""
        most = self._settings.display_for_s
        rows = await self._pool.fetch(_SQL["renewable"], recipient_id, after, PER_MESSAGE)
        return [
            RenewedAlert(
                alert_id=row["alert_id"],
                revision=row["revision"],
                display_for_s=most if row["left_s"] is None else min(most, int(row["left_s"])),
            )
            for row in rows
        ]

    async def _post(self, row: Any, alerts: Sequence[RenewedAlert], after: UUID, now: datetime) -> _End:
        async def look() -> None:
            left = {(one.alert_id, one.revision) for one in await self.renewable(row["recipient_id"], after)}
            if any((one.alert_id, one.revision) not in left for one in alerts):
                raise _ChangedError("something was withdrawn or replaced meanwhile")

        whole = AlertMessage(type="display.renewed", timestamp=now, data=DisplayRenewed(alerts=list(alerts)))
        body = orjson.dumps(whole.model_dump(mode="json"))
        try:
            secrets = open_secrets(row, self._settings.master_key_bytes)
        except (VaultError, signing.SignatureError):
            return None, "secret"
        headers = signing.headers(secrets, f"renew_{new_id().hex}", int(now.timestamp()), body)
        try:
            answer = await self._transport.post(row["url"], body, headers, look)
        except TransportError as error:
            return None, error.error_class
        return answer.status, None if answer.status in HTTP_OK else "refused"


async def _over(connection: Connection) -> None:
    rows = await connection.fetch(_SQL["renewals_over"])
    if rows:
        await all_clear(connection, [_matter(row["recipient_id"]) for row in rows])


def _matter(recipient_id: UUID) -> str:
    return f"renewals-fail:{recipient_id}"


async def _record(recipient_id: UUID, alerts: int, end: _End, connection: Connection) -> None:
    row = await connection.fetchrow(_SQL["renewed"], recipient_id, alerts, *end)
    matter, failures = _matter(recipient_id), row["failures"]
    if row["before"] >= PAGE_AFTER > failures:
        await all_clear(connection, [matter])
    if failures >= PAGE_AFTER:
        await page(
            connection,
            matter,
            f"recipient {recipient_id} does not take renewals ({failures} in a row): its displays go dark by themselves"
            " although an alert is active. Call the partner",
            lasting=True,
        )
