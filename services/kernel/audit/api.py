"""The audit over HTTP: read in pages, exported whole."""

from collections.abc import AsyncIterator
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response, StreamingResponse

from services.kernel.audit.trail import entries, every_entry, head, note
from services.kernel.auth import require
from services.kernel.postgres import Pool
from services.kernel.principals import Principal, Role

Admin = Annotated[Principal, Depends(require(Role.ADMIN))]
Cursor = Annotated[
    str | None, Query(pattern=r"^[0-9]{1,18}$", description="`next_cursor` of an earlier answer")
]
_LINES_AT_ONCE = 200


def router(pool: Pool) -> APIRouter:
    """The routes of the audit."""
    routes = APIRouter(prefix="/v1", tags=["audit"])

    @routes.get("/audit", summary="Who looked and who called, the last first")
    async def get_audit(
        _who: Admin,
        subject: Annotated[str | None, Query(pattern=r"^[a-z]{1,20}:[0-9a-f-]{36}$")] = None,
        principal: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]+$")] = None,
        cursor: Cursor = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        """`subject` is a kind and an id: `case:<id>`, `child:<id>`, `campaign:<id>` and so on."""
        found = await entries(pool, subject, principal, int(cursor) if cursor else None, limit + 1)
        more = str(found[limit - 1].audit_id) if len(found) > limit else None
        items = [one.view for one in found[:limit]]
        return Response(orjson.dumps({"items": items, "next_cursor": more}), media_type="application/json")

    @routes.get("/audit/head", summary="The newest entry's number and digest, to be kept elsewhere")
    async def get_head(_who: Admin) -> Response:
        """Whoever keeps it can prove later, with `zoeklicht audit verify --kept`, that nothing was rewritten."""
        number, digest = await head(pool)
        return Response(
            orjson.dumps({"audit_id": number, "digest": digest.hex()}), media_type="application/json"
        )

    @routes.get(
        "/audit/export", summary="Every entry, oldest first, as NDJSON", response_class=StreamingResponse
    )
    async def export(who: Admin) -> StreamingResponse:
        """`zoeklicht audit verify FILE` checks the file without a database. The export is an entry itself."""
        await note(pool, who.name, who.role, "audit.exported", ())
        return StreamingResponse(
            _lines(pool),
            media_type="application/x-ndjson",
            headers={"Content-Disposition": 'attachment; filename="audit.ndjson"'},
        )

    return routes


async def _lines(pool: Pool) -> AsyncIterator[bytes]:
    waiting = []
    async for entry in every_entry(pool):
        waiting.append(orjson.dumps(entry.view, option=orjson.OPT_APPEND_NEWLINE))
        if len(waiting) == _LINES_AT_ONCE:
            yield b"".join(waiting)
            waiting.clear()
    yield b"".join(waiting)
