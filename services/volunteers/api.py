"""The HTTP edge of volunteers."""

from typing import Annotated, Any
from uuid import UUID

import orjson
import structlog
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from schemas.commands import ChangeVolunteer, NewVolunteer
from services.kernel.audit import note
from services.kernel.auth import require
from services.kernel.http import takes_up_to, traceparent
from services.kernel.http_idempotency import idempotency_of
from services.kernel.idempotency import Answer, Idempotency, once
from services.kernel.postgres import Connection, in_transaction
from services.kernel.principals import LEADS, Principal, Role
from services.kernel.problems import InvalidError
from services.volunteers import callout_api, roster
from services.volunteers.desk import Ask, VolunteerDeps
from services.volunteers.import_file import MAX_BYTES, ImportFileError
from services.volunteers.importing import import_file

Key = Annotated[Idempotency | None, Depends(idempotency_of)]
_CSV = {"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}}


def _ask(*roles: Role) -> Any:
    """Who asks, once a role of `roles` is proven."""
    allowed = require(*roles)

    async def ask(request: Request, principal: Annotated[Principal, Depends(allowed)]) -> Ask:
        correlation = structlog.contextvars.get_contextvars().get("correlation_id", "")
        return Ask(principal, str(correlation), traceparent(request))

    return Depends(ask)


Admin = Annotated[Ask, _ask(Role.ADMIN)]
Lead = Annotated[Ask, _ask(*LEADS)]


def router(deps: VolunteerDeps) -> APIRouter:
    """The routes of volunteers, with their own pool."""
    routes = APIRouter(prefix="/v1", tags=["volunteers"])
    _roster(routes, deps)
    _changes(routes, deps)
    callout_api.add_routes(routes, deps)
    return routes


def _json(status: int, answer: Any) -> Response:
    return Response(orjson.dumps(answer, default=str), status, media_type="application/json")


def _roster(routes: APIRouter, deps: VolunteerDeps) -> None:
    @routes.get("/volunteers", summary="Who helps, in order of registration")
    async def listed(
        ask: Lead, cursor: UUID | None = None, limit: Annotated[int, Query(ge=1, le=200)] = 50
    ) -> Response:
        found, more = await roster.page_of(deps, cursor, limit)
        await note(
            deps.pool,
            ask.principal.name,
            ask.principal.role,
            "volunteers.listed",
            [f"volunteer:{v.volunteer_id}" for v in found],
        )
        items = [roster.view(one, whole=False) for one in found]
        return _json(200, {"items": items, "next_cursor": more})

    @routes.get("/volunteers/{volunteer_id}", summary="Somebody, with the ways to them; audited")
    async def show(volunteer_id: UUID, ask: Lead) -> Response:
        found = await roster.one(deps, volunteer_id)
        await note(
            deps.pool, ask.principal.name, ask.principal.role, "volunteer.read", [f"volunteer:{volunteer_id}"]
        )
        return _json(200, roster.view(found, whole=True))


def _changes(routes: APIRouter, deps: VolunteerDeps) -> None:
    @routes.post("/volunteers", status_code=201, summary="Register somebody who helps")
    async def register(command: NewVolunteer, ask: Admin, key: Key) -> Response:
        async def work(connection: Connection) -> Answer:
            made = await roster.register(deps, ask, connection, command)
            return 201, {"volunteer_id": str(made)}

        return _json(*await once(deps.pool, key, work))

    @routes.post(
        "/volunteers:import",
        summary="Register many, from CSV; the answer says of every line what became of it",
        openapi_extra=_CSV,
    )
    @takes_up_to(MAX_BYTES)
    async def import_(request: Request, ask: Admin) -> Response:
        try:
            return _json(200, await import_file(deps, ask, await request.body()))
        except ImportFileError as error:
            raise InvalidError("csv", str(error)) from None

    @routes.patch(
        "/volunteers/{volunteer_id}", summary="Change somebody: hours, channels, consent, time away"
    )
    async def change(volunteer_id: UUID, command: ChangeVolunteer, ask: Admin) -> Response:
        changed = await in_transaction(
            deps.pool, lambda c: roster.change(deps, ask, c, volunteer_id, command)
        )
        return _json(200, roster.view(changed, whole=True))

    @routes.delete(
        "/volunteers/{volunteer_id}",
        status_code=204,
        summary="Somebody leaves: everything personal is erased",
    )
    async def leave(volunteer_id: UUID, ask: Admin) -> Response:
        await in_transaction(deps.pool, lambda c: roster.leave(deps, ask, c, volunteer_id))
        return Response(status_code=204)
