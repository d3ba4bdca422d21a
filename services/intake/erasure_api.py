"""The calls about erasures."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Body, Depends, Query
from fastapi.responses import Response

from schemas.commands import ApproveErasure, GiveUpPartner, RequestErasure, WithdrawErasure
from services.intake.asking import Lead, answered
from services.intake.certificate import certificate, erasure_view
from services.intake.domain.erasure import Erasure
from services.intake.handlers import erasures
from services.intake.handlers.steps import IntakeDeps
from services.intake.paths import ErasureId, RecipientId
from services.kernel.auth import require
from services.kernel.erasure.jobs import PARTS
from services.kernel.erasure.jobs import SQL as JOBS
from services.kernel.principals import LEADS, Principal
from services.kernel.problems import ConflictError


def add_routes(routes: APIRouter, deps: IntakeDeps) -> None:
    """Adds them."""
    leads = Annotated[Principal, Depends(require(*LEADS))]

    async def view_of(erasure: Erasure) -> dict[str, Any]:
        partners = await deps.pool.fetch(JOBS["partners"], erasure.erasure_id)
        done = {row["part"] for row in await deps.pool.fetch(JOBS["erased"], erasure.erasure_id)}
        waits_for = [part for part in PARTS if part not in done] if erasure.approved_at else []
        return erasure_view(erasure, partners, waits_for)

    @routes.post("/erasures", status_code=201)
    async def request_erasure(ask: Lead, command: RequestErasure) -> Response:
        """Ask that a case, or a child in all its cases, be forgotten; a colleague must approve it."""
        return answered(await erasures.request(deps, ask, command))

    @routes.post("/erasures/{erasure_id}/approve")
    async def approve_erasure(
        ask: Lead, erasure_id: ErasureId, _command: Annotated[ApproveErasure | None, Body()] = None
    ) -> Response:
        """Approve what a colleague asked for: campaigns end at once, keys are destroyed within seconds, for ever."""
        return answered(await erasures.approve(deps, ask, erasure_id))

    @routes.post("/erasures/{erasure_id}/withdraw")
    async def withdraw_erasure(
        ask: Lead, erasure_id: ErasureId, _command: Annotated[WithdrawErasure | None, Body()] = None
    ) -> Response:
        """Take back what was asked for, or decline it: nothing is erased. Not once a colleague has approved it."""
        return answered(await erasures.withdraw(deps, ask, erasure_id))

    @routes.post("/erasures/{erasure_id}/partners/{recipient_id}/give-up")
    async def give_up_partner(
        ask: Lead, erasure_id: ErasureId, recipient_id: RecipientId, command: GiveUpPartner
    ) -> Response:
        """Wait no longer for a partner to confirm that it deleted what it had; the certificate names who decided."""
        return answered(await erasures.give_up(deps, ask, erasure_id, recipient_id, command))

    @routes.get("/erasures")
    async def list_erasures(
        _who: leads,
        cursor: Annotated[UUID | None, Query(description="`next_cursor` of an earlier answer")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        """Erasures, the newest first."""
        rows = await deps.pool.fetch(JOBS["listed"], cursor, limit + 1)
        shown = [row["erasure_id"] for row in rows[:limit]]
        items = [await view_of(await erasures.load_erasure(deps.pool, one)) for one in shown]
        more = str(shown[-1]) if len(rows) > limit else None
        return _json({"items": items, "next_cursor": more})

    @routes.get("/erasures/{erasure_id}")
    async def get_erasure(_who: leads, erasure_id: ErasureId) -> Response:
        """How far it has come, and who has not confirmed."""
        return _json(await view_of(await erasures.load_erasure(deps.pool, erasure_id)))

    @routes.get("/erasures/{erasure_id}/certificate")
    async def get_certificate(_who: leads, erasure_id: ErasureId) -> Response:
        """What was erased, when, by whom, what remains and why; there is none before the keys are destroyed."""
        erasure = await erasures.load_erasure(deps.pool, erasure_id)
        if erasure.executed_at is None:
            raise ConflictError("not-erased-yet", "nothing is certified before it is done: see the erasure")
        return _json(certificate(erasure, await deps.pool.fetch(JOBS["partners"], erasure_id)))


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), 200, media_type="application/json")
