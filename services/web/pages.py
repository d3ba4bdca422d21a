"""The operations room's pages, and which pages there are at all."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from services.kernel.auth import EVERYONE_INSIDE, Principal
from services.kernel.site import Link, Site, visitor

PACKAGES = ("services.web", "services.volunteers")
"""Who brings pages: each with `templates/`, `static/` and `words.toml`."""
NAVIGATION = (Link("/operations", "operations", EVERYONE_INSIDE),)
"""The first entry is where one arrives."""

Inside = Annotated[Principal, Depends(visitor(*EVERYONE_INSIDE))]


def site() -> Site:
    """The pages of this installation."""
    return Site(PACKAGES, NAVIGATION)


def router(pages: Site) -> APIRouter:
    """The routes of the operations room."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def arrive(_caller: Inside) -> Response:
        return RedirectResponse(NAVIGATION[0].path, 303)

    @routes.get("/operations")
    async def operations(request: Request, caller: Inside) -> Response:
        return pages.page(request, "operations.html", caller=caller)

    return routes
