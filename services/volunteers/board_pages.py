"""The coordinator's board in a browser: all call-outs, and one of them as it changes."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from markupsafe import Markup

from services.geography.outlines import outline, slugs
from services.kernel.audit import note
from services.kernel.principals import LEADS, Principal
from services.kernel.site import Site, language_of, visitor
from services.volunteers import photos, views
from services.volunteers.callouts import SQL
from services.volunteers.desk import VolunteerDeps

Lead = Annotated[Principal, Depends(visitor(*LEADS))]
_SHOWN = 100
_WORDS = ("callout_", "help_said_")


def router(deps: VolunteerDeps, site: Site) -> APIRouter:
    """The routes of the board."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/callouts")
    async def every(request: Request, caller: Lead) -> Response:
        rows = await deps.pool.fetch(SQL["callouts"], None, _SHOWN)
        zone = deps.settings.zone
        shown = [
            {**row, "begun": f"{row['opened_at'].astimezone(zone):%d.%m.%Y %H:%M}"} for row in map(dict, rows)
        ]
        return site.page(request, "callouts.html", caller=caller, rows=shown)

    @routes.get("/callouts/{callout_id}")
    async def one(request: Request, callout_id: UUID, caller: Lead) -> Response:
        board = await views.board(deps, callout_id)
        # Opening the page is what is written down; that it asks again every two seconds is not.
        await note(deps.pool, caller.name, caller.role, "callout.read", [f"callout:{callout_id}"])
        language = language_of(request)
        facts = {
            "address": f"/callouts/{callout_id}/now",
            "language": language,
            "zone": deps.settings.calendar,
            "words": {n: text for n, text in site.words[language].items() if n.startswith(_WORDS)},
        }
        need = board["need"]
        paths = _outlines(need["lat"], need["lon"]) if need else []
        embedded = Markup(orjson.dumps(facts).decode().replace("<", "\\u003c"))  # noqa: S704 - escaped for this place
        return site.page(request, "callout.html", caller=caller, facts=embedded, outlines=paths)

    @routes.get("/callouts/{callout_id}/posters/{poster_id}/photo")
    async def photo(callout_id: UUID, poster_id: UUID, caller: Lead) -> Response:
        return await photos.shown(deps, callout_id, poster_id, caller)

    @routes.get("/callouts/{callout_id}/now")
    async def now(callout_id: UUID, _caller: Lead) -> Response:
        shown = await views.board(deps, callout_id)
        return Response(
            orjson.dumps(shown), headers={"Cache-Control": "no-store"}, media_type="application/json"
        )

    return routes


def _outlines(lat: float, lon: float) -> Sequence[str]:
    """The outlines of the arrondissements as SVG paths, in km east and south of a spot."""
    found = []
    for ring in (ring for slug in slugs() for ring in outline(slug)):
        points = [views.offset(lat, lon, *point) for point in ring]
        found.append("M" + "L".join(f"{east:.1f} {-north:.1f}" for east, north in points) + "Z")
    return found
