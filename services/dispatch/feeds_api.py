"""The public feeds over HTTP: no token, nothing kept without asking again."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response

from services.dispatch import feeds
from services.dispatch.cap_key import signing_key
from services.dispatch.desk import DispatchDeps
from services.dispatch.feed_documents import CAP_TYPE, Entry, atom, json_feed
from services.kernel.conditional import is_known, not_modified

Render = Callable[[list[Entry], str, str], bytes]


def router(deps: DispatchDeps) -> APIRouter:
    """The routes that anybody may read."""
    routes = APIRouter(tags=["feeds"])

    async def feed(request: Request, media_type: str, render: Render) -> Response:
        rows = await feeds.shown(deps)
        if is_known(request, tag := feeds.tag_of(deps, media_type, rows)):
            return not_modified(_headers(tag))
        found = await feeds.opened(deps, rows)
        body = render(feeds.entries(found), deps.settings.base_url, deps.settings.cap_sender_name)
        # Without one whose key is gone it is another document, with another tag.
        tag = feeds.tag_of(deps, media_type, [row for row, _ in found])
        return Response(body, headers=_headers(tag), media_type=media_type)

    @routes.get(
        "/feeds/cap.atom", summary="Live public appeals, as Atom with CAP 1.2", response_class=Response
    )
    async def cap_atom(request: Request) -> Response:
        return await feed(request, "application/atom+xml", atom)

    @routes.get(
        "/feeds/alerts.json", summary="Live public appeals, as JSON Feed 1.1", response_class=Response
    )
    async def alerts_json(request: Request) -> Response:
        return await feed(request, "application/feed+json", json_feed)

    @routes.get(
        "/feeds/certificate.pem",
        summary="What checks the XML signatures of CAP messages",
        response_class=Response,
    )
    async def certificate() -> Response:
        return Response(signing_key(deps.settings).pem, media_type="application/pem-certificate-chain")

    @routes.get(
        "/alerts/{alert_id:uuid}.cap.xml", summary="One public appeal as CAP 1.2", response_class=Response
    )
    async def cap_xml(request: Request, alert_id: UUID) -> Response:
        rows = await feeds.shown_one(deps, alert_id)
        tag = feeds.tag_of(deps, CAP_TYPE, rows)
        if is_known(request, tag):
            return not_modified(_headers(tag))
        return Response(await feeds.document(deps, rows), headers=_headers(tag), media_type=CAP_TYPE)

    return routes


def _headers(tag: str) -> dict[str, Any]:
    # Kept by anybody, shown by nobody without asking again: a child that was found is gone at the next look.
    return {"ETag": tag, "Cache-Control": "no-cache", "Access-Control-Allow-Origin": "*"}
