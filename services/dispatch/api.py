"""Partners, deliveries, receipts and parked cases over HTTP."""

from typing import Annotated, Literal
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response

from schemas.commands import ChangePartner, ExplainAreas, NewPartner, Receipt
from services.dispatch import deliveries, feeds_api, health, partners, receipts, replay, selection
from services.dispatch.desk import Answer, DispatchDeps, once, once_done
from services.dispatch.publish import Publisher
from services.dispatch.reconcile import reconcile_now
from services.dispatch.stream import Planner
from services.kernel.auth import require
from services.kernel.http import json_answer
from services.kernel.http_idempotency import idempotency_of
from services.kernel.idempotency import Idempotency
from services.kernel.postgres import in_transaction
from services.kernel.principals import EVERYONE_INSIDE, LEADS, STAFF, Principal, Role
from services.kernel.problems import ConflictError

Key = Annotated[Idempotency | None, Depends(idempotency_of)]
Admin = Annotated[Principal, Depends(require(Role.ADMIN))]
Lead = Annotated[Principal, Depends(require(*LEADS))]
Staff = Annotated[Principal, Depends(require(*STAFF))]
Inside = Annotated[Principal, Depends(require(*EVERYONE_INSIDE))]
Partner = Annotated[Principal, Depends(require(Role.PARTNER))]
Limit = Annotated[int, Query(ge=1, le=200)]
State = Literal["pending", "delivered", "superseded", "expired", "held"]


def router(deps: DispatchDeps) -> APIRouter:
    """The routes of dispatch, with its own pool."""
    routes = APIRouter()
    _partners(routes, deps)
    _deliveries(routes, deps)
    _replays(routes, deps)
    _partner_side(routes, deps)
    _parked(routes, deps)
    _areas(routes, deps)
    routes.include_router(feeds_api.router(deps))
    return routes


def _areas(routes: APIRouter, deps: DispatchDeps) -> None:
    @routes.post("/v1/areas:explain", summary="Whom areas select, and why")
    async def explain(command: ExplainAreas, _caller: Staff, key: Key) -> Response:
        """What an alert for these areas would reach now; nothing is sent. `because`: the pairs of areas that meet."""
        return json_answer(*await once_done(deps, key, lambda: selection.explain(deps, command)))


def _partners(routes: APIRouter, deps: DispatchDeps) -> None:
    @routes.post("/v1/partners", status_code=201, summary="Register a recipient of alerts")
    async def create(command: NewPartner, _caller: Admin, key: Key) -> Response:
        return json_answer(*await once(deps, key, lambda c: partners.create(deps, c, command)))

    @routes.get("/v1/partners", summary="Recipients, in order of registration")
    async def listed(_caller: Staff, cursor: UUID | None = None, limit: Limit = 50) -> Response:
        return json_answer(200, await partners.listed(deps, cursor, limit))

    @routes.get("/v1/partners/{partner_id}", summary="One recipient")
    async def one(partner_id: UUID, _caller: Staff) -> Response:
        return json_answer(200, await partners.view(deps.settings, deps.pool, partner_id))

    @routes.patch("/v1/partners/{partner_id}", summary="Change a recipient; a pause takes back what it shows")
    async def change(partner_id: UUID, command: ChangePartner, _caller: Admin) -> Response:
        await in_transaction(deps.pool, lambda c: partners.change(deps, c, partner_id, command))
        await reconcile_now(Publisher(deps.pool, deps.vault, deps.settings), partner_id)
        return json_answer(200, await partners.view(deps.settings, deps.pool, partner_id))

    @routes.post(
        "/v1/partners/{partner_id}/secret:rotate", summary="A new secret; the old one signs for 24 h more"
    )
    async def rotate(partner_id: UUID, _caller: Admin, key: Key) -> Response:
        return json_answer(*await once(deps, key, lambda c: partners.rotate(deps, c, partner_id)))

    @routes.get("/v1/partners/{partner_id}/health", summary="How a recipient is doing")
    async def health_of(
        partner_id: UUID, _caller: Staff, hours: Annotated[int, Query(ge=1, le=720)] = 24
    ) -> Response:
        return json_answer(200, await health.health(deps, partner_id, hours))

    @routes.post("/v1/partners/{partner_id}/ping", status_code=202, summary="Ping a recipient at once")
    async def ping(partner_id: UUID, _caller: Admin, key: Key) -> Response:
        return json_answer(*await once(deps, key, lambda c: partners.ping(c, partner_id)))

    @routes.get(
        "/.well-known/webhook-keys/{partner_id}",
        tags=["partners"],
        summary="The public keys of messages to a partner (v1a); no token",
    )
    async def public_keys(partner_id: UUID) -> Response:
        return json_answer(200, await partners.public_keys(deps, partner_id))


def _deliveries(routes: APIRouter, deps: DispatchDeps) -> None:
    @routes.get("/v1/alerts/{alert_id}", summary="An alert, its revisions and how far they have come")
    async def alert(alert_id: UUID, _caller: Inside) -> Response:
        return json_answer(200, await deliveries.alert(deps, alert_id))

    @routes.get("/v1/deliveries", summary="What went where, with each attempt")
    async def listed(
        _caller: Inside,
        alert: UUID | None = None,
        recipient: UUID | None = None,
        state: State | None = None,
        cursor: str | None = None,
        limit: Limit = 50,
    ) -> Response:
        wanted = {"alert": alert, "recipient": recipient, "state": state}
        return json_answer(200, await deliveries.listed(deps, wanted, cursor, limit))

    @routes.get("/v1/may-still-show", summary="Who may still show a child that was found")
    async def may_still_show(
        _caller: Staff, alert: UUID | None = None, recipient: UUID | None = None
    ) -> Response:
        return json_answer(200, await health.may_still_show(deps, alert, recipient))


def _replays(routes: APIRouter, deps: DispatchDeps) -> None:
    @routes.post(
        "/v1/deliveries/{delivery_id}/replay", status_code=202, summary="Send the newest revision again"
    )
    async def one(delivery_id: UUID, _caller: Lead, key: Key) -> Response:
        return json_answer(*await once(deps, key, lambda c: replay.of_delivery(c, delivery_id)))

    @routes.post("/v1/alerts/{alert_id}/replay", status_code=202, summary="Send an alert to everybody again")
    async def of_alert(alert_id: UUID, _caller: Lead, key: Key) -> Response:
        return json_answer(*await once(deps, key, lambda c: replay.of_alert(c, alert_id)))

    @routes.post(
        "/v1/partners/{partner_id}/replay", status_code=202, summary="Send a recipient what is lit again"
    )
    async def of_partner(partner_id: UUID, _caller: Lead, key: Key) -> Response:
        return json_answer(*await once(deps, key, lambda c: replay.of_recipient(c, partner_id)))


def _partner_side(routes: APIRouter, deps: DispatchDeps) -> None:
    @routes.post("/v1/receipts", status_code=201, summary="Say what your screens do")
    async def receipt(command: Receipt, caller: Partner, key: Key) -> Response:
        return json_answer(*await once(deps, key, lambda c: receipts.record(c, UUID(caller.name), command)))

    @routes.get("/v1/partner/state", summary="What you may show now, signed")
    async def state(caller: Partner) -> Response:
        body, headers = await receipts.digest(deps, UUID(caller.name))
        return Response(body, headers={**headers, "Cache-Control": "no-store"}, media_type="application/json")

    @routes.get("/v1/partner/alerts/{alert_id}", summary="One alert in full, while it may be shown")
    async def alert_in_full(alert_id: UUID, caller: Partner) -> Response:
        body, media_type = await receipts.alert_in_full(deps, UUID(caller.name), alert_id)
        return Response(body, headers={"Cache-Control": "no-store"}, media_type=media_type)


def _parked(routes: APIRouter, deps: DispatchDeps) -> None:
    @routes.post(
        "/v1/parked/{case_id}/resume", summary="Plan what was parked of a case, once its cause is mended"
    )
    async def resume(case_id: UUID, _caller: Lead, key: Key) -> Response:
        return json_answer(*await once_done(deps, key, lambda: _resumed(deps, case_id)))


async def _resumed(deps: DispatchDeps, case_id: UUID) -> Answer:
    planner = Planner(Publisher(deps.pool, deps.vault, deps.settings), deps.settings)
    try:
        resumed = await planner.resume(str(case_id))
    except (asyncpg.PostgresError, OSError):
        raise
    except Exception as error:
        raise ConflictError(
            "still-parked",
            "an event of this case still cannot be planned: the page and the log say which",
            error_class=type(error).__name__,
        ) from error
    return 200, {"case_id": str(case_id), "resumed": resumed}
