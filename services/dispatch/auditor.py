"""Proves from the tables alone that the promises about deliveries hold, and compares them with the event store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from schemas.vocabulary import Mode
from services.dispatch.bodies import SOURCE
from services.dispatch.domain import addressed, is_stopped
from services.dispatch.publish import alert_of, recipient_of
from services.eventlog.store import stopped
from services.kernel.paging import all_clear, page
from services.kernel.postgres import Connection, Pool, in_transaction, queries

OVERDUE = timedelta(minutes=2)
LEASE_LONG_PAST = timedelta(minutes=1)
SETTLED = timedelta(seconds=30)
"""The event store is compared once events are so old: before, they may be on their way."""
WINDOW = 200_000
"""Events that the regular audit looks back; `verify` looks at all."""
TOUCHED = timedelta(days=2)
"""What is not lit and was last tried longer ago is proved again by `verify` alone: nothing happens to it any more."""
_NAMED = 5

_SQL = queries("services.dispatch", "sender.sql")
_PLANNER = queries("services.dispatch")


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken promise: which one, and where; for one that a withdrawal heals also what that takes."""

    rule: str
    subject: str
    alert_id: UUID | None = None
    event_id: UUID | None = None
    recipient_id: UUID | None = None

    def __str__(self) -> str:
        return f"{RULES[self.rule]}: {self.subject}"


RULES = {
    "forgotten": "a delivery is neither finished nor due; see whether a sender runs, then replay it",
    "overtaken": "an older revision still waits beside a newer one; withdraw the alert if in doubt",
    "lease": "a lane's lease ended long ago and nobody took it; see whether a sender runs",
    "order": "an older revision was accepted after a newer one; replay the newest, and call the partner",
    "withdrawal_missing": "an alert is withdrawn, but somebody who was sent it has no withdrawal; call them",
    "head": "an alert's newest revision is not what its row says; restore from the event store",
    "released": "a campaign was released and has no alert; see whether dispatch runs, or its case is parked",
    "ended": "a campaign ended and its alert is not withdrawn; see whether dispatch runs, and call the partners",
    "unrevised": "what a campaign was to show has no revision; see whether dispatch runs, or its case is parked",
    "standby_missing": "a case is worrying and nobody stands by; see whether dispatch runs, and call the unit",
    "standby_left": "a standby outlasts the worry or the case; see whether dispatch runs, and call the unit",
    "stopped": "an alert must be dark and is not withdrawn; see whether dispatch runs, and call the partners",
    "unplanned": "a partner is selected by what is lit and was never to get it; ping it, and call it",
    "unreconciled": "a partner was paused or changed, and what it shows has not followed; see dispatch, and call it",
}


async def audit(pool: Pool, linger: timedelta, window: int | None = WINDOW) -> list[Finding]:
    """Every broken promise. `window`: how many of the newest events are compared (None: all, and whatever is at rest).

    `linger`: how long a standby stays once its case is no longer worrying, as ZOEKLICHT_STANDBY_LINGER_S says.
    """
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        after = 0 if window is None else await connection.fetchval(_SQL["audit_window"], window)
        touched = None if window is None else TOUCHED
        checks: list[tuple[str, str, tuple[Any, ...]]] = [
            ("forgotten", "audit_forgotten", (OVERDUE,)),
            ("overtaken", "audit_overtaken", ()),
            ("lease", "audit_leases", (LEASE_LONG_PAST,)),
            ("order", "audit_order", (touched, OVERDUE)),
            ("withdrawal_missing", "audit_lanes", (touched,)),
            ("head", "audit_revisions", ()),
            ("released", "audit_released", (after, SETTLED)),
            ("ended", "audit_ended", (after, SETTLED)),
            ("unrevised", "audit_unrevised", (after, SETTLED)),
            ("standby_missing", "audit_standby_missing", (after, SETTLED)),
            ("standby_left", "audit_standby_left", (after, SETTLED, linger)),
            ("stopped", "audit_stopped", (SETTLED,)),
            ("unreconciled", "audit_unreconciled", (OVERDUE,)),
        ]
        findings = []
        for rule, query, arguments in checks:
            rows = await connection.fetch(_SQL[query], *arguments)
            findings += [
                Finding(
                    rule, _subject(row), *(row.get(name) for name in ("alert_id", "event_id", "recipient_id"))
                )
                for row in rows
            ]
        return findings + await _unplanned(connection)


async def _unplanned(connection: Connection) -> list[Finding]:
    """Active recipients whom a lit alert selects and who have nothing of it, or a withdrawal as the newest.

    Both are planned in one transaction, so this holds at every moment, but for a change that is still to be followed.
    """
    findings = []
    changing = {row["recipient_id"] for row in await connection.fetch(_PLANNER["to_reconcile"])}
    for mode in Mode:
        rows = await connection.fetch(_PLANNER["recipients"], mode is Mode.EXERCISE)
        active = [
            recipient_of(r) for r in rows if r["state"] == "active" and r["recipient_id"] not in changing
        ]
        alerts = [alert_of(row) for row in await connection.fetch(_PLANNER["alerts_lit"], mode.value)]
        forms = await connection.fetch(_PLANNER["variants"], [one.alert_id for one in alerts])
        # Without its content it was recorded dark and cannot be sent to anybody.
        whole = {row["alert_id"] for row in forms if row["variant"] == SOURCE}
        stops = await stopped(connection, [i for a in alerts for i in (a.campaign_id, a.case_id) if i])
        for alert in alerts:
            if alert.alert_id not in whole or is_stopped(alert, stops):
                continue
            last = await connection.fetch(_PLANNER["last_contents"], alert.alert_id)
            have = {row["recipient_id"] for row in last if row["content"] != "withdrawn"}
            findings += [
                Finding(
                    "unplanned", f"alert_id {alert.alert_id}, recipient_id {one}", alert.alert_id, None, one
                )
                for one in (found.recipient.recipient_id for found in addressed(alert, active))
                if one not in have
            ]
    return findings


async def verify(pool: Pool, linger: timedelta) -> list[Finding]:
    """Every broken promise, over the whole event store: for `zoeklicht verify`."""
    return await audit(pool, linger, None)


def _subject(row: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items())


async def page_findings(pool: Pool, findings: Sequence[Finding]) -> None:
    """Pages a person once per broken rule, with the first of the places; rules that hold again are clear."""
    broken = {finding.rule for finding in findings}

    async def work(connection: Connection) -> None:
        await all_clear(connection, [f"audit:{rule}" for rule in RULES if rule not in broken])
        for rule in sorted(broken):
            places = [finding.subject for finding in findings if finding.rule == rule]
            more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
            text = f"{RULES[rule]}: {'; '.join(places[:_NAMED])}{more}"
            await page(connection, f"audit:{rule}", text, lasting=True)

    await in_transaction(pool, work)


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """How many findings of each rule, zeros too."""
    return {rule: sum(finding.rule == rule for finding in findings) for rule in RULES}
