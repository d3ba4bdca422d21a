"""Call-outs over HTTP, and the reports of providers."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from schemas.commands import CallOut, GiveTask, PlacePoster, RecordAnswer, RemovePoster, StandDownNow
from schemas.vocabulary import StandDown
from services.kernel.audit import note
from services.kernel.http import json_answer
from services.kernel.idempotency import Answer, Idempotency, once
from services.kernel.postgres import Connection
from services.volunteers import callouts, photos, reports, views
from services.volunteers.asking import Key, Lead
from services.volunteers.callouts import Done, Work
from services.volunteers.desk import Ask, VolunteerDeps

_SIGNED = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": reports.Report.model_json_schema()}},
    }
}


def add_routes(routes: APIRouter, deps: VolunteerDeps) -> None:
    """The calls about call-outs."""
    _reading(routes, deps)
    _calling(routes, deps)
    _out_there(routes, deps)

    @routes.post(
        "/volunteers/reports",
        status_code=204,
        summary="What a provider says became of a message, signed as Standard Webhooks say",
        openapi_extra=_SIGNED,
    )
    async def report(request: Request) -> Response:
        await reports.take(deps, reports.verified(deps, request.headers, await request.body()))
        return Response(status_code=204)


def _reading(routes: APIRouter, deps: VolunteerDeps) -> None:
    @routes.get("/callouts", summary="Call-outs, the newest first")
    async def listed(
        _ask: Lead, cursor: UUID | None = None, limit: Annotated[int, Query(ge=1, le=200)] = 50
    ) -> Response:
        rows = await deps.pool.fetch(callouts.SQL["callouts"], cursor, limit + 1)
        more = str(rows[limit - 1]["callout_id"]) if len(rows) > limit else None
        return json_answer(200, {"items": [dict(row) for row in rows[:limit]], "next_cursor": more})

    @routes.get("/callouts/{callout_id}", summary="Who was asked and why, who comes, what hangs; audited")
    async def show(callout_id: UUID, ask: Lead) -> Response:
        shown = await views.board(deps, callout_id)
        await note(
            deps.pool, ask.principal.name, ask.principal.role, "callout.read", [f"callout:{callout_id}"]
        )
        return json_answer(200, shown)


def _calling(routes: APIRouter, deps: VolunteerDeps) -> None:
    @routes.post(
        "/cases/{case_id}/callouts",
        status_code=201,
        summary="Call people out for a case, or say anew who is needed: they are asked in waves until enough come",
    )
    async def call_out(case_id: UUID, command: CallOut, ask: Lead, key: Key) -> Response:
        async def work(connection: Connection) -> Answer:
            done = await callouts.call_out(deps, ask, connection, case_id, command)
            return 201, {"callout_id": str(done.state.callout_id), "revision": done.state.revision}

        return json_answer(*await once(deps.pool, key, work))

    @routes.post("/callouts/{callout_id}/answers", status_code=201, summary="What somebody said by telephone")
    async def answered(callout_id: UUID, command: RecordAnswer, ask: Lead, key: Key) -> Response:
        return await _done(deps, ask, callout_id, key, lambda work: callouts.record_answer(work, command))

    @routes.post(
        "/callouts/{callout_id}/stand-down", status_code=201, summary="It is over: everybody is told"
    )
    async def stand_down(callout_id: UUID, _command: StandDownNow, ask: Lead, key: Key) -> Response:
        reason = StandDown.CALLED_OFF
        return await _done(deps, ask, callout_id, key, lambda work: callouts.stand_down(work, reason))


def _out_there(routes: APIRouter, deps: VolunteerDeps) -> None:
    @routes.post(
        "/callouts/{callout_id}/tasks", status_code=201, summary="Something to do for those who come"
    )
    async def give_task(callout_id: UUID, command: GiveTask, ask: Lead, key: Key) -> Response:
        return await _done(deps, ask, callout_id, key, lambda work: callouts.give_task(work, command))

    @routes.post("/callouts/{callout_id}/posters", status_code=201, summary="Something was put up, and where")
    async def placed(callout_id: UUID, command: PlacePoster, ask: Lead, key: Key) -> Response:
        return await _done(deps, ask, callout_id, key, lambda work: callouts.place(work, command))

    @routes.get(
        "/callouts/{callout_id}/posters/{poster_id}/photo",
        response_class=Response,
        responses={
            200: {"description": "The picture", "content": {"image/jpeg": {}}},
            410: {"description": "It is erased"},
        },
        summary="What proves that it hangs; audited",
    )
    async def photo(callout_id: UUID, poster_id: UUID, ask: Lead) -> Response:
        return await photos.shown(deps, callout_id, poster_id, ask.principal)

    @routes.post(
        "/callouts/{callout_id}/posters/{poster_id}/removed", status_code=201, summary="It was taken down"
    )
    async def removed(
        callout_id: UUID, poster_id: UUID, command: RemovePoster, ask: Lead, key: Key
    ) -> Response:
        return await _done(
            deps, ask, callout_id, key, lambda work: callouts.take_down(work, poster_id, command)
        )


async def _done(
    deps: VolunteerDeps,
    ask: Ask,
    callout_id: UUID,
    key: Idempotency | None,
    command: Callable[[Work], Awaitable[Done]],
) -> Response:
    """A command on a call-out, once; the answer says what happened, in the words of the log."""

    async def work(connection: Connection) -> Answer:
        done = await command(Work(deps, connection, callout_id, ask.cause))
        events = [
            {"type": e.TYPE, **e.model_dump(mode="json", include={"task_id", "poster_id"})}
            for e in done.events
        ]
        return 201, {"events": events, "coming": len(done.state.coming), "over": done.state.over}

    return json_answer(*await once(deps.pool, key, work))
