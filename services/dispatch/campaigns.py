"""Campaigns and ends of cases: what their events publish."""

from uuid import UUID

from schemas.events import (
    CampaignEnded,
    CampaignExtended,
    CampaignReleased,
    CampaignUpdated,
    CaseClosed,
    CaseMerged,
)
from schemas.vocabulary import AlertKind
from services.dispatch.bodies import open_appeal
from services.dispatch.domain import Alert, Content
from services.dispatch.publish import Publication, Published, Publisher, Seen, alert_of
from services.eventlog.store import Cause, Recorded
from services.kernel.ids import derived_id
from services.kernel.postgres import queries

_SQL = queries("services.dispatch")


def campaign_alert(campaign_id: UUID) -> UUID:
    """The alert of a campaign: the same whoever asks, however often."""
    return derived_id("alert", campaign_id)


async def appealed(
    publisher: Publisher,
    event: Recorded,
    data: CampaignReleased | CampaignUpdated | CampaignExtended,
    seen: Seen,
) -> Published | None:
    """Publishes what a campaign shows from now on."""
    appeal = data.appeal
    content: Content = "issued" if isinstance(data, CampaignReleased) else "updated"
    alert = Alert(
        alert_id=campaign_alert(data.campaign_id),
        kind=AlertKind(appeal.kind.value),
        case_id=UUID(event.subject),
        campaign_id=data.campaign_id,
        mode=event.cause.mode,
        areas=tuple(appeal.areas),
        expires_at=appeal.expires_at,
        audiences=appeal.audiences,
    )
    material = await open_appeal(publisher.vault, event, appeal)
    return await publisher.publish(
        Publication(alert, content, event.cause, event.event_id, material=material, seen=seen)
    )


async def ended(publisher: Publisher, event: Recorded, data: CampaignEnded, seen: Seen) -> Published | None:
    """Publishes the withdrawal of a campaign's alert, unless the stop row was faster."""
    row = await publisher.pool.fetchrow(_SQL["alert"], campaign_alert(data.campaign_id))
    if row is None:
        await publisher.pool.execute(_SQL["saw"], seen.stream, seen.version)
        return None
    return await publisher.publish(
        Publication(
            alert_of(row), "withdrawn", event.cause, event.event_id, reason=data.reason.value, seen=seen
        )
    )


async def case_over(publisher: Publisher, event: Recorded, data: CaseClosed | CaseMerged, seen: Seen) -> None:
    """A closed case goes dark whole; a merged one loses its standby, since its campaigns end by themselves.

    Alerts that were issued after the event was recorded belong to a reopened case and stay.
    """
    closed = isinstance(data, CaseClosed)
    for row in await publisher.pool.fetch(_SQL["alerts_lit_of_case"], UUID(event.subject)):
        standby = row["kind"] == AlertKind.STANDBY.value
        older = row["case_version"] < event.version if standby else row["issued_at"] < event.recorded_time
        if older and (closed or standby):
            await withdraw(
                publisher,
                alert_of(row),
                event.cause,
                event.event_id,
                "case_closed" if closed else "case_merged",
            )
    await publisher.pool.execute(_SQL["saw"], seen.stream, seen.version)


async def withdraw(
    publisher: Publisher, alert: Alert, cause: Cause, cause_id: UUID, reason: str
) -> Published | None:
    """Publishes a withdrawal that no campaign event asks for."""
    return await publisher.publish(Publication(alert, "withdrawn", cause, cause_id, reason=reason))
