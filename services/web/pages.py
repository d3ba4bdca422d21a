"""The operations room's pages, and which pages there are at all."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup

from services.kernel.principals import EVERYONE_INSIDE, LEADS, STAFF, Principal
from services.kernel.settings import Settings
from services.kernel.site import Link, Site, language_of, visitor
from services.web.places import belgium

PACKAGES = ("services.web", "services.volunteers")
"""Who brings pages: each with `templates/`, `static/` and `words.toml`."""
NAVIGATION = (
    Link("/operations", "operations", EVERYONE_INSIDE),
    Link("/operations/alerts", "all_alerts", EVERYONE_INSIDE),
    Link("/operations/cases", "all_cases", EVERYONE_INSIDE),
    Link("/callouts", "callouts", LEADS),
    Link("/operations/system", "system", EVERYONE_INSIDE),
)
"""The first entry is where one arrives."""
ROOM = {
    "/operations": ("operations.html", "operations.js"),
    "/operations/alerts": ("alerts.html", "all_alerts.js"),
    "/operations/cases": ("cases.html", "all_cases.js"),
    "/operations/system": ("system.html", "system.js"),
}
"""The operations room: the template and the script of each page."""

Inside = Annotated[Principal, Depends(visitor(*EVERYONE_INSIDE))]


def site() -> Site:
    """The pages of this installation."""
    return Site(PACKAGES, NAVIGATION)


def router(pages: Site, settings: Settings) -> APIRouter:
    """The routes of the operations room."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def arrive(_caller: Inside) -> Response:
        return RedirectResponse(NAVIGATION[0].path, 303)

    for path, (template, script) in ROOM.items():
        routes.add_api_route(path, _room_page(pages, settings, template, script))
    return routes


def _room_page(pages: Site, settings: Settings, template: str, script: str) -> Any:
    async def page(request: Request, caller: Inside) -> Response:
        language = language_of(request)
        facts = {
            "language": language,
            "zone": settings.calendar,
            "words": pages.words[language],
            "arrondissements": [{"slug": one.slug, "names": one.names} for one in belgium().shapes],
        }
        return pages.page(
            request,
            template,
            caller=caller,
            script=script,
            facts=_embedded(facts),
            belgium=belgium(),
            staff=caller.role in STAFF,
        )

    return page


def _embedded(facts: Any) -> Markup:
    """JSON that can stand in a `script` element: nothing in it can end that element."""
    return Markup(orjson.dumps(facts).decode().replace("<", "\\u003c"))  # noqa: S704 - escaped for this very place
