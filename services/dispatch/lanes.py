"""Lanes, one per recipient and alert: claimed for the time of a lease, looked at once more before sending."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.kernel.clock import Reckoning
from services.kernel.paging import all_clear, open_texts, page
from services.kernel.postgres import Connection, Pool, in_transaction, queries

LANE_CHANNEL = "dispatch_lane"
_MAY_STILL_SHOW = "may-still-show"
MAY_STILL_SHOW_AFTER = timedelta(minutes=5)

_SQL = queries("services.dispatch", "sender.sql")


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this worker may send while its lease lasts.

    `begun`: seconds since boot, before it was asked for. `moment`: the database's time, told at `received` since boot.
    """

    recipient_id: UUID
    alert_id: UUID
    fence: int
    failures: int
    delivery_id: UUID
    revision: int
    content: str
    variant: str
    created_at: datetime
    expires_at: datetime | None
    attempt_id: int
    attempts: int
    url: str
    format: str
    in_flight_cap: int
    secret: str
    previous_secret: str | None
    previous_until: datetime | None
    box: str | None
    clear: str | None
    owner: str
    begun: float
    moment: datetime
    received: float

    def now(self, now_s: float) -> datetime:
        """The database's time, carried on from the claim: this machine's own clock may be wrong or be set."""
        return Reckoning(self.moment, self.received).now(now_s)

    @property
    def withdrawal(self) -> bool:
        """Whether it tells the recipient to go dark."""
        return self.content == "withdrawn"

    @property
    def recipient_row(self) -> dict[str, Any]:
        """What opens the recipient's secrets."""
        return {
            "recipient_id": self.recipient_id,
            "secret": self.secret,
            "previous_secret": self.previous_secret,
        }

    @property
    def message_id(self) -> str:
        """The `webhook-id`: the same for every attempt of this delivery."""
        return f"msg_{self.delivery_id.hex}"


@dataclass(frozen=True, slots=True)
class Look:
    """What the last look found."""

    held: bool
    head: int
    stopped: bool
    expired: bool
    state: str


async def claim(
    pool: Pool, owner: str, lease_s: float, now_s: Callable[[], float], *, most: int, most_withdrawals: int
) -> list[Claim]:
    """Takes at most `most` due lanes, withdrawals first and, of those, up to `most_withdrawals` in all.

    `now_s` gives seconds since boot.
    """
    begun = now_s()
    lease = timedelta(seconds=lease_s)
    rows = await pool.fetch(_SQL["claim"], owner, lease, most, most_withdrawals)
    received = now_s()
    return [Claim(**dict(row), owner=owner, begun=begun, received=received) for row in rows]


class Looks:
    """Last looks: those that are asked for while one query runs share the next, on one connection."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: list[tuple[Claim, asyncio.Future[Look]]] = []
        self._task: asyncio.Task[None] | None = None

    async def look(self, claim: Claim) -> Look:
        """What holds about the claim at a moment after this call. Raises what the database raises."""
        future: asyncio.Future[Look] = asyncio.get_running_loop().create_future()
        self._waiting.append((claim, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                looks: Sequence[Look | Exception] = await self._ask([claim for claim, _ in batch])
            except Exception as error:
                looks = [error] * len(batch)
            for (_, future), found in zip(batch, looks, strict=True):
                if future.done():  # whoever asked ran out of time
                    continue
                if isinstance(found, Exception):
                    future.set_exception(found)
                else:
                    future.set_result(found)

    async def _ask(self, claims: Sequence[Claim]) -> list[Look]:
        keys = [(c.recipient_id, c.alert_id, c.revision, c.fence, c.owner) for c in claims]
        rows = await self._pool.fetch(_SQL["guard"], *(list(column) for column in zip(*keys, strict=True)))
        return [Look(**dict(row)) for row in rows]


async def sweep(pool: Pool) -> int:
    """Marks what has passed its end and pages a person about it; puts empty lanes to rest. Returns how many lanes."""
    return await in_transaction(pool, _sweep)


async def _sweep(connection: Connection) -> int:
    lanes = await connection.fetch(_SQL["overdue"])
    if not lanes:
        return 0
    keys = [row["recipient_id"] for row in lanes], [row["alert_id"] for row in lanes]
    expired = await connection.fetch(_SQL["expire"], *keys)
    await connection.execute(_SQL["rest"], *keys)
    for alert in sorted({row["alert_id"] for row in expired}):
        await page_expired(connection, alert, sum(row["alert_id"] == alert for row in expired))
    return len(lanes)


async def page_expired(connection: Connection, alert_id: UUID, recipients: int) -> None:
    """Tells a person that an alert ended before it reached somebody."""
    await page(
        connection,
        f"expired:{alert_id}",
        f"alert {alert_id} ended before it reached {recipients} recipient(s):"
        " see its deliveries, and tell them by telephone if it is extended",
    )


async def page_late_withdrawals(pool: Pool) -> None:
    """Pages a person with the list of those who may still show a child that was found, until nobody may."""

    async def work(connection: Connection) -> None:
        rows = await connection.fetch(_SQL["may_still_show"], MAY_STILL_SHOW_AFTER)
        wanted = {f"{_MAY_STILL_SHOW}:{row['alert_id']}": _may_still_show(row) for row in rows}
        known = await open_texts(connection, _MAY_STILL_SHOW)
        for matter, text in wanted.items():
            if known.get(matter) != text:
                await page(connection, matter, text, lasting=True)
        await all_clear(connection, [matter for matter in known if matter not in wanted])

    await in_transaction(pool, work)


def _may_still_show(row: Any) -> str:
    return (
        f"alert {row['alert_id']} was withdrawn, but may still show the child: {', '.join(row['names'])}."
        " Call them now; sending goes on by itself"
    )
