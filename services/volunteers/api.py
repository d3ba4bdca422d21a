"""The HTTP edge of volunteers."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from schemas.commands import ChangeVolunteer, NewVolunteer
from services.kernel.audit import note
from services.kernel.http import json_answer, takes_up_to
from services.kernel.idempotency import Answer, once
from services.kernel.postgres import Connection, in_transaction
from services.kernel.problems import InvalidError
from services.volunteers import callout_api, links, own, roster
from services.volunteers.asking import Admin, Key, Lead
from services.volunteers.desk import VolunteerDeps
from services.volunteers.import_file import MAX_BYTES, ImportFileError
from services.volunteers.importing import import_file

_CSV = {"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}}


def router(deps: VolunteerDeps) -> APIRouter:
    """The routes of volunteers, with their own pool."""
    routes = APIRouter(prefix="/v1", tags=["volunteers"])
    _roster(routes, deps)
    _changes(routes, deps)
    callout_api.add_routes(routes, deps)
    return routes


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
        return json_answer(200, {"items": items, "next_cursor": more})

    @routes.get("/volunteers/{volunteer_id}", summary="Somebody, with the ways to them; audited")
    async def show(volunteer_id: UUID, ask: Lead) -> Response:
        found = await roster.one(deps, volunteer_id)
        await note(
            deps.pool, ask.principal.name, ask.principal.role, "volunteer.read", [f"volunteer:{volunteer_id}"]
        )
        return json_answer(200, roster.view(found, whole=True))


def _changes(routes: APIRouter, deps: VolunteerDeps) -> None:
    @routes.post("/volunteers", status_code=201, summary="Register somebody who helps")
    async def register(command: NewVolunteer, ask: Admin, key: Key) -> Response:
        async def work(connection: Connection) -> Answer:
            made = await roster.register(deps, ask, connection, command)
            return 201, {"volunteer_id": str(made)}

        return json_answer(*await once(deps.pool, key, work))

    @routes.post(
        "/volunteers:import",
        summary="Register many, from CSV; the answer says of every line what became of it",
        openapi_extra=_CSV,
    )
    @takes_up_to(MAX_BYTES)
    async def import_(request: Request, ask: Admin) -> Response:
        try:
            return json_answer(200, await import_file(deps, ask, await request.body()))
        except ImportFileError as error:
            raise InvalidError("csv", str(error)) from None

    @routes.patch(
        "/volunteers/{volunteer_id}", summary="Change somebody: hours, channels, consent, time away"
    )
    async def change(volunteer_id: UUID, command: ChangeVolunteer, ask: Admin) -> Response:
        changed = await in_transaction(
            deps.pool, lambda c: roster.change(deps, ask, c, volunteer_id, command)
        )
        return json_answer(200, roster.view(changed, whole=True))

    @routes.post(
        "/volunteers/{volunteer_id}/link",
        status_code=201,
        summary="A link for somebody to their own details, for a week; audited",
    )
    async def link(volunteer_id: UUID, ask: Admin) -> Response:
        made = await own.link(deps, volunteer_id, links.VALID)
        await note(
            deps.pool, ask.principal.name, ask.principal.role, "volunteer.link", [f"volunteer:{volunteer_id}"]
        )
        return json_answer(201, made)

    @routes.delete(
        "/volunteers/{volunteer_id}",
        status_code=204,
        summary="Somebody leaves: everything personal is erased",
    )
    async def leave(volunteer_id: UUID, ask: Admin) -> Response:
        await in_transaction(deps.pool, lambda c: roster.leave(deps, ask, c, volunteer_id))
        return Response(status_code=204)
