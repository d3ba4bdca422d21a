"""The use cases of campaigns: request, consent, release, update, extend, end."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from schemas.commands import EndCampaign, ExtendCampaign, GiveConsent, RequestCampaign, UpdateCampaign
from services.eventlog.store import campaign_stream, case_stream
from services.geography import drawn
from services.intake import store
from services.intake.domain import campaign as campaign_states
from services.intake.domain import campaigns
from services.intake.domain.appeal import Known
from services.intake.domain.campaign import Campaign
from services.intake.domain.drafts import Draft
from services.intake.domain.moments import happened
from services.intake.handlers.steps import (
    Answer,
    Ask,
    IntakeDeps,
    check_match,
    commit,
    execute,
    known_of,
    load,
)
from services.intake.store import File
from services.kernel.ids import new_id
from services.kernel.postgres import Connection
from services.kernel.problems import NotFoundError


async def request_campaign(deps: IntakeDeps, ask: Ask, case_id: UUID, command: RequestCampaign) -> Answer:
    """Asks for a campaign of a case."""
    await drawn.ready(command.areas)
    campaign_id = new_id()

    async def work(connection: Connection) -> Answer:
        file = await load(connection, case_id)
        check_match(file, file.case.stream, ask.if_match)
        known = await known_of(connection, deps, [file], ask.principal, command.media)
        happened(command, known.now)
        campaign = campaign_states.initial_state(campaign_id, case_id)
        drafts = campaigns.decide_request(campaign, file.case, command, known)
        committed = await commit(connection, deps, [file], drafts, ask.cause(file.case.mode))
        version = committed.versions[campaign.stream]
        return Answer(201, {"campaign_id": str(campaign_id), "state": "requested", "version": version})

    return await execute(deps, ask, [case_stream(case_id), campaign_stream(campaign_id)], work)


Decide = Callable[[Campaign, File, Known], list[Draft]]


async def _step(
    deps: IntakeDeps,
    ask: Ask,
    campaign_id: UUID,
    status: int,
    decide: Decide,
    *,
    media: Sequence[UUID] = (),
) -> Answer:
    case_id = await store.case_of(deps.pool, campaign_id)
    if case_id is None:
        raise NotFoundError("no-such-campaign", "there is no campaign with this id: take it from its case")

    async def work(connection: Connection) -> Answer:
        file = await load(connection, case_id)
        campaign = file.campaigns[campaign_id]
        check_match(file, campaign.stream, ask.if_match)
        known = await known_of(connection, deps, [file], ask.principal, media)
        drafts = decide(campaign, file, known)
        await commit(connection, deps, [file], drafts, ask.cause(file.case.mode))
        after = (await load(connection, case_id)).campaigns[campaign_id]
        body: dict[str, Any] = {
            "campaign_id": str(campaign_id),
            "state": after.state,
            "version": after.version,
        }
        if after.shown.expires_at:
            body["expires_at"] = after.shown.expires_at.isoformat()
        return Answer(status, body)

    return await execute(deps, ask, [case_stream(case_id), campaign_stream(campaign_id)], work)


async def give_consent(deps: IntakeDeps, ask: Ask, campaign_id: UUID, command: GiveConsent) -> Answer:
    """Records what a party decided."""

    def decide(campaign: Campaign, _file: File, known: Known) -> list[Draft]:
        happened(command, known.now)
        return campaigns.decide_consent(campaign, command, known)

    return await _step(deps, ask, campaign_id, 201, decide)


async def release(deps: IntakeDeps, ask: Ask, campaign_id: UUID) -> Answer:
    """Releases a campaign."""

    def decide(campaign: Campaign, file: File, known: Known) -> list[Draft]:
        return campaigns.decide_release(campaign, file.case, file.campaigns.values(), known)

    return await _step(deps, ask, campaign_id, 200, decide)


async def update(deps: IntakeDeps, ask: Ask, campaign_id: UUID, command: UpdateCampaign) -> Answer:
    """Changes what a campaign shows."""
    await drawn.ready(command.areas or ())

    def decide(campaign: Campaign, file: File, known: Known) -> list[Draft]:
        return campaigns.decide_update(campaign, file.case, command, known)

    return await _step(deps, ask, campaign_id, 200, decide, media=command.media or ())


async def extend(deps: IntakeDeps, ask: Ask, campaign_id: UUID, command: ExtendCampaign) -> Answer:
    """Lets a campaign last longer."""

    def decide(campaign: Campaign, file: File, known: Known) -> list[Draft]:
        return campaigns.decide_extend(campaign, file.case, command, known)

    return await _step(deps, ask, campaign_id, 200, decide)


async def end(deps: IntakeDeps, ask: Ask, campaign_id: UUID, command: EndCampaign) -> Answer:
    """Ends a campaign."""

    def decide(campaign: Campaign, _file: File, _known: Known) -> list[Draft]:
        return campaigns.decide_end(campaign, command)

    return await _step(deps, ask, campaign_id, 200, decide)
