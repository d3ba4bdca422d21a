"""Breakers in PostgreSQL: shared by every sender, and they survive kills."""

from collections.abc import Sequence
from uuid import UUID

from services.dispatch.breaker import FIRST_PROBE_S, LAST_PROBE_S, Breaker, failed, succeeded
from services.dispatch.lanes import Claim
from services.dispatch.outcomes import WAY, Fate, Outcome
from services.kernel.paging import all_clear, page
from services.kernel.postgres import Connection, queries

_FIELDS = ("failures", "total", "failed", "is_open", "allowed")
_SQL = queries("services.dispatch", "sender.sql")


async def mind(connection: Connection, results: Sequence[tuple[Claim, Outcome]]) -> None:
    """Lets the breakers of these recipients follow what happened; the caller has locked the lanes.

    Whatever waits for a partner that is back becomes due at once; a breaker that opens pages a person.
    """
    telling = [(claim, outcome) for claim, outcome in results if outcome.breaker or _worked(outcome)]
    caps = {claim.recipient_id: claim.in_flight_cap for claim, _ in telling}
    rows = await connection.fetch(_SQL["breakers"], list(caps))
    known = {row["recipient_id"]: Breaker(*(row[name] for name in _FIELDS)) for row in rows}
    for recipient in sorted(caps):
        before = known.get(recipient, Breaker())
        after = before
        for claim, outcome in telling:
            if claim.recipient_id == recipient:
                after = failed(after) if outcome.breaker else succeeded(after, caps[recipient])
        if after != before or not after.healthy:
            await _remember(connection, recipient, after)
        await _follow(connection, recipient, before, after)


async def _remember(connection: Connection, recipient: UUID, breaker: Breaker) -> None:
    if breaker.healthy:
        await connection.execute(_SQL["forget"], recipient)
        return
    values = (getattr(breaker, name) for name in _FIELDS)
    await connection.execute(
        _SQL["remember"], recipient, *values, FIRST_PROBE_S, FIRST_PROBE_S * 2, LAST_PROBE_S
    )


async def _follow(connection: Connection, recipient: UUID, before: Breaker, after: Breaker) -> None:
    if before.is_open and not after.is_open:
        await connection.execute(_SQL["wake"], [recipient])
    if before.failures and not after.failures:
        await all_clear(connection, [f"partner-{kind}:{recipient}" for kind in ("unreachable", *WAY)])
    if after.is_open and not before.is_open:
        await page(
            connection,
            f"partner-unreachable:{recipient}",
            f"recipient {recipient} does not answer as it should; what it was to get waits and is tried every"
            " minute. Call the partner if it shows an alert that must change",
            lasting=True,
        )


def _worked(outcome: Outcome) -> bool:
    # An answer that refuses one message still shows that somebody is there.
    return outcome.fate is Fate.DELIVERED
