"""What the auditor heals by itself, since it must not wait for a person: what is dark nowhere, or was overtaken."""

from collections.abc import Sequence
from uuid import UUID

import structlog

from schemas.events import AssessmentChanged, CampaignEnded
from schemas.vocabulary import Mode
from services.dispatch.auditor import Finding
from services.dispatch.campaigns import withdraw
from services.dispatch.publish import LANE_CHANNEL, Publisher, alert_of
from services.eventlog.store import Cause
from services.kernel.postgres import Connection, Pool, in_transaction, queries

HEALED = frozenset({"ended", "stopped", "standby_left", "withdrawal_missing", "order"})

_SQL = queries("services.dispatch")
_LANES = queries("services.dispatch", "sender.sql")
log = structlog.get_logger()


async def heal(publisher: Publisher, findings: Sequence[Finding]) -> list[Finding]:
    """Publishes the withdrawals that are missing, sends the newest again; returns what is left for a person."""
    left = []
    for finding in findings:
        try:
            healed = await _heal(publisher, finding)
        except Exception as error:
            # Whatever it is: the others must still be healed and paged, and this one too.
            log.exception("not healed", rule=finding.rule, exc_info=error)
            left.append(finding)
        else:
            if healed:
                log.warning("healed", rule=finding.rule, alert_id=str(finding.alert_id))
            else:
                left.append(finding)
    return left


async def _heal(publisher: Publisher, finding: Finding) -> bool:
    if finding.rule not in HEALED or finding.alert_id is None:
        return False
    if finding.rule == "order" and finding.recipient_id is not None:
        return await _reassert(publisher.pool, finding.recipient_id, finding.alert_id)
    if finding.recipient_id is not None:
        return await publisher.withdraw_from(finding.alert_id, finding.recipient_id)
    if finding.event_id is None:
        return False
    await _withdraw(publisher, finding.alert_id, finding.event_id)
    # Somebody else may have been faster; what is lit still is not healed, whatever was published.
    now = await publisher.pool.fetchrow(_SQL["alert"], finding.alert_id)
    return bool(now["withdrawn"])


async def _reassert(pool: Pool, recipient_id: UUID, alert_id: UUID) -> bool:
    """False when the newest is on its way again already, and does not arrive, or cannot be sent any more."""

    async def work(connection: Connection) -> bool:
        again = await connection.fetchval(_LANES["reassert"], recipient_id, alert_id)
        if again:
            await connection.execute(f"notify {LANE_CHANNEL}")
        return bool(again)

    return await in_transaction(pool, work)


async def _withdraw(publisher: Publisher, alert_id: UUID, event_id: UUID) -> None:
    """As the stop loop does it. Who ended it is read without its model: that must not keep anything lit."""
    alert = alert_of(await publisher.pool.fetchrow(_SQL["alert"], alert_id))
    row = await publisher.pool.fetchrow(_SQL["event_cause"], event_id)
    reason = "stopped" if alert.campaign_id else "case_closed"
    correlation, mode = str(event_id), alert.mode
    if row is not None:
        correlation, mode = row["correlation_id"], Mode(row["mode"])
        if row["type"] == CampaignEnded.TYPE:
            reason = row["reason"] or reason
        elif row["type"] == AssessmentChanged.TYPE and row["case_open"]:
            reason = "not_worrying"
    await withdraw(publisher, alert, Cause("dispatch", correlation, mode=mode), event_id, reason)
