"""Writes down how attempts ended: batched, each checked against its lane's fence, with its event in the same transaction."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from schemas.events import DeliveryDelivered, DeliveryFact, DeliveryHeld
from schemas.vocabulary import AlertKind, Audience, Mode
from services.dispatch.breakers import mind
from services.dispatch.lanes import Claim, page_expired
from services.dispatch.outcomes import WAY, Fate, Outcome
from services.dispatch.transport import AMBIGUOUS
from services.eventlog.store import (
    Append,
    Cause,
    NewEvent,
    alert_stream,
    append,
    delivery_stream,
    lock_streams,
)
from services.kernel.ids import derived_id
from services.kernel.paging import page
from services.kernel.postgres import Connection, Pool, in_transaction, queries

BATCH = 64
GATHER_S = 0.002
TAKEN_ON = timedelta(hours=1)
"""What is tried for ever pages nobody again so soon after somebody said to look after it."""
TRIES = 1200
"""While the database is away: for ten minutes."""
_AGAIN_S = 0.5
_DONE = (Fate.DELIVERED, Fate.SUPERSEDED, Fate.HELD, Fate.EXPIRED)
"""Nothing of it is to be tried again."""
_ACTOR = "sender"
_CAUSES_KEPT = 10_000
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg makes of a session that the server ended
    OSError,
)

_SQL = queries("services.dispatch", "sender.sql")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended. `wait_s`: before the next one; `head`: the sealed beginning of the answer."""

    claim: Claim
    outcome: Outcome
    wait_s: float = 0.0
    status: int | None = None
    size: int | None = None
    head: str | None = None

    @property
    def lane(self) -> tuple[UUID, UUID]:
        """(recipient, alert)."""
        return self.claim.recipient_id, self.claim.alert_id


class Recorder:
    """Gathers results for 2 ms, or until there are 64, and writes them in one transaction."""

    def __init__(self, pool: Pool, lease_s: float) -> None:
        self._pool = pool
        self._lease = timedelta(seconds=lease_s)
        self._waiting: list[tuple[Result, asyncio.Future[None]]] = []
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._correlations: dict[UUID, str] = {}
        self.recorded = 0

    async def record(self, result: Result) -> None:
        """Returns when it is written. Raises when it cannot be: the lane's lease then ends by itself."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((result, future))
        self._some.set()
        if len(self._waiting) >= BATCH:
            self._full.set()
        await future

    async def run(self) -> None:
        """Writes until cancelled."""
        while True:
            await self._some.wait()
            try:
                async with asyncio.timeout(GATHER_S):
                    await self._full.wait()
            except TimeoutError:
                pass
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            if not self._waiting:
                self._some.clear()
            if len(self._waiting) < BATCH:
                self._full.clear()
            await self._flush(batch)

    async def _flush(self, batch: Sequence[tuple[Result, asyncio.Future[None]]]) -> None:
        try:
            await self._write([result for result, _ in batch])
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, _LOST):
                # One of them cannot be written: the others must not suffer for it.
                for one in batch:
                    await self._flush([one])
                return
            log.exception("results not recorded; their leases end by themselves", exc_info=error)
            _settle(batch, error)
        else:
            self.recorded += len(batch)
            _settle(batch, None)

    async def _write(self, results: Sequence[Result]) -> None:
        # Tries are counted, not time: a sender that was stopped must not forget what arrived late when it goes on.
        for tries_left in range(TRIES, 0, -1):
            try:
                await in_transaction(self._pool, lambda connection: self.write(connection, results))
            except _LOST:
                if tries_left == 1:
                    raise
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    async def write(self, connection: Connection, results: Sequence[Result]) -> None:
        """Writes results in the caller's transaction, which has written nothing yet."""
        # Should this sender be stopped here, it must not keep a withdrawal of these lanes waiting for long.
        await connection.execute(_SQL["impatient"])
        tell = {delivery_stream(r.claim.alert_id, r.claim.recipient_id) for r in results if _tells(r)}
        if tell:
            await lock_streams(connection, tell)
        back = {r.claim.recipient_id for r in results if r.outcome.fate is Fate.DELIVERED}
        lanes = await connection.fetch(_SQL["lock"], *_columns([r.lane for r in results], 2), list(back))
        fences = {(row["recipient_id"], row["alert_id"]): row["fence"] for row in lanes}
        valid = [r for r in results if _holds(r, fences)]
        late = [r for r in results if not _holds(r, fences) and _may_have_arrived(r)]
        await self._end_attempts(connection, results)
        changed = await self._end_deliveries(connection, valid)
        await self._release(connection, valid)
        if late:
            await connection.execute(_SQL["late"], *_columns([(*r.lane, r.claim.revision) for r in late], 3))
        await mind(connection, [(r.claim, r.outcome) for r in valid])
        await self._tell(connection, changed, valid)
        await _page(connection, valid, changed)

    async def _end_attempts(self, connection: Connection, results: Sequence[Result]) -> None:
        rows = [(r.claim.attempt_id, r.status, r.outcome.error_class, r.size, r.head) for r in results]
        await connection.execute(_SQL["end_attempts"], *_columns(rows, 5))

    async def _end_deliveries(self, connection: Connection, valid: Sequence[Result]) -> Sequence[Any]:
        rows = [(r.claim.delivery_id, r.outcome.fate.value, r.outcome.ambiguous) for r in valid]
        changed: Sequence[Any] = await connection.fetch(_SQL["end_deliveries"], *_columns(rows, 3))
        return changed

    async def _release(self, connection: Connection, valid: Sequence[Result]) -> None:
        rows = [
            (
                *r.lane,
                r.claim.revision,
                r.outcome.fate is Fate.DELIVERED,
                r.wait_s,
                r.outcome.fate is Fate.RETRY,
                r.outcome.fate in _DONE,
                r.claim.attempt_id,
            )
            for r in valid
        ]
        await connection.execute(_SQL["release"], *_columns(rows, 8), self._lease, list(AMBIGUOUS))

    async def _tell(self, connection: Connection, changed: Sequence[Any], valid: Sequence[Result]) -> None:
        errors = {r.claim.delivery_id: r.outcome.error_class for r in valid}
        facts = {
            derived_id("delivery-event", row["state"], row["delivery_id"]): row
            for row in changed
            if row["state"] in (Fate.DELIVERED, Fate.HELD)
        }
        if not facts:
            return
        known = {row["event_id"] for row in await connection.fetch(_SQL["known_events"], list(facts))}
        await self._learn_correlations(connection, {row["alert_id"] for row in facts.values()})
        appends = [
            Append(
                delivery_stream(row["alert_id"], row["recipient_id"]),
                str(row["case_id"]),
                [NewEvent(_fact(row, errors[row["delivery_id"]]), event_id)],
                Cause(_ACTOR, self._correlations[row["alert_id"]], mode=Mode(row["mode"])),
            )
            for event_id, row in facts.items()
            if event_id not in known
        ]
        if appends:
            await append(connection, appends)
        for row in facts.values():
            log.info(
                row["state"],
                correlation_id=self._correlations[row["alert_id"]],
                alert_id=str(row["alert_id"]),
                revision=row["revision"],
                recipient=str(row["recipient_id"]),
            )

    async def _learn_correlations(self, connection: Connection, alerts: set[UUID]) -> None:
        if len(self._correlations) > _CAUSES_KEPT:
            self._correlations.clear()
        streams = {alert_stream(alert): alert for alert in alerts if alert not in self._correlations}
        if streams:
            found = await connection.fetch(_SQL["causes"], list(streams))
            known = {row["stream"]: row["correlation_id"] for row in found}
            self._correlations |= {alert: known.get(stream, str(alert)) for stream, alert in streams.items()}


def _settle(batch: Sequence[tuple[Result, asyncio.Future[None]]], error: Exception | None) -> None:
    for _, future in batch:
        if future.done():  # whoever waited was cancelled
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def _holds(result: Result, fences: Mapping[tuple[UUID, UUID], int]) -> bool:
    return fences.get(result.lane) == result.claim.fence


def _tells(result: Result) -> bool:
    return result.outcome.fate in (Fate.DELIVERED, Fate.HELD)


def _may_have_arrived(result: Result) -> bool:
    return result.outcome.fate is Fate.DELIVERED or result.outcome.ambiguous


def _fact(row: Any, error_class: str | None) -> DeliveryFact:
    facts: dict[str, Any] = {
        "alert_id": row["alert_id"],
        "revision": row["revision"],
        "content": row["content"],
        "kind": AlertKind(row["kind"]),
        "recipient": row["recipient_id"],
        "audience": Audience(row["audience"]),
        "attempts": row["attempts"],
    }
    if row["state"] == Fate.HELD:
        return DeliveryHeld(**facts, error_class=error_class or "held")
    return DeliveryDelivered(**facts, at=row["finished_at"])


_WHAT_TO_DO = {
    "gone": "answers 410: it no longer takes alerts. Ask it for its new address, change it, and replay",
    "refused": "refuses what it was sent: its receiver and the contract differ. See the attempts, and mend it together",
    "dns": "has a host name that does not resolve: ask whether its address changed",
    "tls": "does not speak TLS as it should: ask it to look at its server; nothing was sent",
    "certificate_expired": "has a certificate that has run out, or does not hold yet: ask it to renew the certificate; nothing was sent",
    "certificate_name": "has a certificate for another host: ask it to correct it, or its address; nothing was sent",
    "certificate_untrusted": "has a certificate that no authority we trust vouches for: ask it for one that does, or add"
    " its authority to ZOEKLICHT_PARTNER_CA_FILE after review; nothing was sent",
    "blocked": "has an address that is not sent to: check ZOEKLICHT_PARTNER_HOSTS and its DNS entry",
    "erased": "was to get content whose key is destroyed; nothing was sent. End the campaign if it still runs",
    "no_body": "was to get a body that does not exist; run `zoeklicht verify` and tell the developers",
    "secret": "has a secret that does not open: see ZOEKLICHT_MASTER_KEY, or rotate the secret",
    "internal": "was to get something that this version cannot send; see the sender's log and tell the developers",
    "unreadable": "was to get a body that does not open; see whether ZOEKLICHT_MASTER_KEY is the right one",
}


async def _page(connection: Connection, valid: Sequence[Result], changed: Sequence[Any]) -> None:
    matters = {
        (str(r.outcome.error_class), r.claim.recipient_id): f"recipient {r.claim.recipient_id}"
        f" {_WHAT_TO_DO[str(r.outcome.error_class)]} (alert {r.claim.alert_id})"
        for r in valid
        if r.outcome.page
    }
    held = {(str(r.outcome.error_class), r.claim.recipient_id) for r in valid if r.outcome.fate is Fate.HELD}
    for matter, text in sorted(matters.items()):
        error_class, recipient = matter
        await page(
            connection,
            f"partner-{error_class}:{recipient}",
            text,
            lasting=error_class in WAY,
            quiet=None if matter in held or error_class in WAY else TAKEN_ON,
        )
    expired = [row["alert_id"] for row in changed if row["state"] == Fate.EXPIRED]
    for alert in sorted(set(expired)):
        await page_expired(connection, alert, expired.count(alert))
