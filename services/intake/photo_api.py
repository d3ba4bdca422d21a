"""Photos over HTTP: uploads by staff, and the pictures that the public sees."""

import hashlib
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.intake import photos
from services.intake.handlers.steps import Ask, IntakeDeps
from services.intake.paths import CaseId
from services.intake.photos import Shown
from services.kernel.audit import note
from services.kernel.auth import require
from services.kernel.conditional import is_known, not_modified
from services.kernel.http import if_match, takes_up_to, traceparent
from services.kernel.http_idempotency import idempotency_for
from services.kernel.logging import correlation_id
from services.kernel.principals import READERS, STAFF, Principal
from services.kernel.uploads import FORM_BYTES, the_file

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "JPEG or PNG, at most 10 MiB and 50 million pixels",
                        }
                    },
                }
            }
        },
    }
}
_PICTURE = {"description": "The picture", "content": {"image/jpeg": {}, "image/png": {}}}

_GONE = {"description": "Not shown any more: show it nowhere"}


def _answer(request: Request, shown: Shown, caching: str) -> Response:
    headers = {
        "ETag": shown.tag,
        "Cache-Control": caching,
        "X-Robots-Tag": "noindex",
        "Content-Security-Policy": "default-src 'none'",
    }
    if is_known(request, shown.tag):
        return not_modified(headers)
    return Response(shown.content, headers=headers, media_type=shown.type)


def add_routes(routes: APIRouter, deps: IntakeDeps) -> None:
    """The calls about photos; those of the public stand beside `/v1`, see `public`."""
    staff = Annotated[Principal, Depends(require(*STAFF))]
    reader = Annotated[Principal, Depends(require(*READERS))]

    @routes.post(
        "/cases/{case_id}/children/{index}/photos",
        status_code=201,
        openapi_extra=_FORM,
        responses={415: {"description": "Not multipart/form-data"}},
    )
    @takes_up_to(FORM_BYTES)
    async def add_photo(request: Request, who: staff, case_id: CaseId, index: int) -> Response:
        """Add a photo of a child: one JPEG or PNG file as multipart/form-data; metadata is removed."""
        content = await the_file(request)
        idempotency = idempotency_for(request, hashlib.sha256(content).hexdigest())
        ask = Ask(who, correlation_id(), traceparent(request), idempotency, if_match(request))
        answer = await photos.add(deps, ask, case_id, index, content)
        tag = {"ETag": f'"{answer.body["version"]}"'}
        return Response(orjson.dumps(answer.body), answer.status, tag, "application/json")

    @routes.get(
        "/cases/{case_id}/children/{index}/photos/{media_id}",
        response_class=Response,
        responses={200: _PICTURE, 410: {"description": "It is erased"}},
    )
    async def get_photo(
        request: Request, who: reader, case_id: CaseId, index: int, media_id: UUID
    ) -> Response:
        """A photo, for whoever may see identities."""
        await note(deps.pool, who.name, who.role, "photo.read", [f"case:{case_id}", f"photo:{media_id}"])
        shown = await photos.for_staff(deps, case_id, index, media_id)
        return _answer(request, shown, "private, no-store")


def public(deps: IntakeDeps) -> APIRouter:
    """What everybody may fetch who was told the address."""
    routes = APIRouter(tags=["media"])

    @routes.head("/media/{name}", include_in_schema=False)
    @routes.get(
        "/media/{name}",
        response_class=Response,
        responses={200: _PICTURE, 304: {"description": "As you have it"}, 410: _GONE},
    )
    async def media(request: Request, name: str) -> Response:
        """A picture of an alert, while the alert is shown; 410 from the moment on at which it is not."""
        return _answer(request, await photos.for_everybody(deps, name.partition(".")[0]), "no-cache")

    return routes
