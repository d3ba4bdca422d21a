"""The HTTP edge of intake."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Query
from fastapi.responses import Response

from schemas.commands import (
    BreakGlass,
    CountCalls,
    EndCampaign,
    ExtendCampaign,
    Fact,
    FindChild,
    GiveConsent,
    OpenCase,
    ReleaseCampaign,
    ReportReach,
    RequestCampaign,
    UpdateCampaign,
)
from services.eventlog.store import Recorded, read_case, read_case_page
from services.intake import erasure_api, photo_api, views
from services.intake.asking import Consenting, Lead, Outsider, Staff, answered, json_of
from services.intake.handlers import break_glass, campaigns, cases, counters
from services.intake.handlers.steps import IntakeDeps
from services.intake.paths import CampaignId, CaseId
from services.intake.store import SQL
from services.kernel.audit import note
from services.kernel.auth import require
from services.kernel.http import Moment
from services.kernel.principals import EVERYONE_INSIDE, Principal
from services.kernel.problems import InvalidError, NotFoundError

Cursor = Annotated[
    str | None, Query(pattern=r"^[0-9]{1,18}$", description="`next_cursor` of an earlier answer")
]


def router(deps: IntakeDeps) -> APIRouter:
    """The routes of intake."""
    routes = APIRouter(prefix="/v1", tags=["intake"])
    _case_routes(routes, deps)
    _read_routes(routes, deps)
    _campaign_routes(routes, deps)
    photo_api.add_routes(routes, deps)
    erasure_api.add_routes(routes, deps)
    _other_routes(routes, deps)
    return routes


def _case_routes(routes: APIRouter, deps: IntakeDeps) -> None:
    @routes.post("/cases", status_code=201)
    async def open_case(ask: Staff, command: OpenCase) -> Response:
        """Open a case; `possible_duplicates` names open cases of the same child."""
        return answered(await cases.open_case(deps, ask, command))

    @routes.post("/cases/{case_id}/events", status_code=201)
    async def add_fact(ask: Staff, case_id: CaseId, fact: Annotated[Fact, Body()]) -> Response:
        """Add one fact; with `If-Match`, only to the version that was seen."""
        return answered(await cases.add_fact(deps, ask, case_id, fact))

    @routes.post("/cases/{case_id}/campaigns", status_code=201)
    async def request_campaign(ask: Staff, case_id: CaseId, command: RequestCampaign) -> Response:
        """Request a campaign; nothing is sent before its release."""
        return answered(await campaigns.request_campaign(deps, ask, case_id, command))

    @routes.post("/cases/{case_id}/break-glass", status_code=201)
    async def break_the_glass(ask: Outsider, case_id: CaseId, command: BreakGlass) -> Response:
        """See the identities of this case for half an hour, in an emergency: a person is paged, all is audited."""
        return answered(await break_glass.break_glass(deps, ask, case_id, command))


def _read_routes(routes: APIRouter, deps: IntakeDeps) -> None:
    inside = Annotated[Principal, Depends(require(*EVERYONE_INSIDE))]

    async def keys_for(who: Principal, case_id: UUID, events: Sequence[Recorded], action: str) -> views.Keys:
        if not await break_glass.may_open(deps.pool, who, case_id):
            return None
        needed = views.keys_needed(events)
        await note(deps.pool, who.name, who.role, action, {f"case:{case_id}", *needed})
        return await deps.vault.find(sorted(needed))

    @routes.get("/cases/{case_id}")
    async def get_case(
        who: inside,
        case_id: CaseId,
        at: Annotated[Moment | None, Query(description="as known at this moment")] = None,
    ) -> Response:
        """The case, its assessment, campaigns and displays. Identities only for staff, and behind broken glass."""
        if at is not None and await deps.pool.fetchval(SQL["in_the_future"], at):
            raise InvalidError(
                "at",
                "at lies in the future; ask for a moment that has been, or leave it out for the case as it is",
            )
        events = await read_case(deps.pool, case_id, at)
        if not events and at is not None and await read_case_page(deps.pool, case_id, 0, 1):
            raise NotFoundError(
                "case-not-known-yet",
                "at that moment the case was not known yet; ask for a later one, or leave at out",
            )
        keys = await keys_for(who, case_id, events, "case.read") if events else None
        photos = await deps.pool.fetch(SQL["photos_of_case"], case_id, at)
        view = views.case_view(case_id, events, keys, deps.policy, photos)
        if view is None:
            raise _no_case()
        return json_of(200, view)

    @routes.get("/cases/{case_id}/events")
    async def get_history(
        who: inside,
        case_id: CaseId,
        cursor: Cursor = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 500,
    ) -> Response:
        """Every event about the case, in order of recording."""
        found = await read_case_page(deps.pool, case_id, int(cursor or 0), limit + 1)
        if not found and not await read_case_page(deps.pool, case_id, 0, 1):
            raise _no_case()
        events = found[:limit]
        keys = await keys_for(who, case_id, events, "history.read")
        more = str(events[-1].position) if len(found) > limit else None
        return json_of(200, {"items": views.history_view(events, keys), "next_cursor": more})


def _no_case() -> NotFoundError:
    return NotFoundError("no-such-case", "there is no case with this id: take it from the list of cases")


def _campaign_routes(routes: APIRouter, deps: IntakeDeps) -> None:
    @routes.post("/campaigns/{campaign_id}/consents", status_code=201)
    async def give_consent(ask: Consenting, campaign_id: CampaignId, command: GiveConsent) -> Response:
        """Record what a party decided; a refusal after the release ends the campaign."""
        return answered(await campaigns.give_consent(deps, ask, campaign_id, command))

    @routes.post("/campaigns/{campaign_id}/release")
    async def release(
        ask: Staff, campaign_id: CampaignId, _command: Annotated[ReleaseCampaign | None, Body()] = None
    ) -> Response:
        """Release it: the policy says who may, and whoever requested it may not."""
        return answered(await campaigns.release(deps, ask, campaign_id))

    @routes.post("/campaigns/{campaign_id}/update")
    async def update(ask: Lead, campaign_id: CampaignId, command: UpdateCampaign) -> Response:
        """Show something else instead: the next revision."""
        return answered(await campaigns.update(deps, ask, campaign_id, command))

    @routes.post("/campaigns/{campaign_id}/extend")
    async def extend(ask: Lead, campaign_id: CampaignId, command: ExtendCampaign) -> Response:
        """Let it last longer, within the policy."""
        return answered(await campaigns.extend(deps, ask, campaign_id, command))

    @routes.post("/campaigns/{campaign_id}/end")
    async def end(ask: Lead, campaign_id: CampaignId, command: EndCampaign) -> Response:
        """End it: every display goes dark."""
        return answered(await campaigns.end(deps, ask, campaign_id, command))


def _other_routes(routes: APIRouter, deps: IntakeDeps) -> None:
    @routes.post("/children:search")
    async def find_child(ask: Staff, command: FindChild) -> Response:
        """Find the cases of a child by names and birth date."""
        return answered(await cases.find_child(deps, ask, command))

    @routes.post("/calls", status_code=201)
    async def count_calls(ask: Staff, command: CountCalls) -> Response:
        """Count calls to 116 000."""
        return answered(await counters.count_calls(deps, ask, command))

    @routes.post("/reach", status_code=201)
    async def report_reach(ask: Staff, command: ReportReach) -> Response:
        """Count the reach of posts about a case."""
        return answered(await counters.report_reach(deps, ask, command))
