"""Refusals for people: who asked for a page gets one, in their language, that says what to do; programs get the problem."""

from collections.abc import Callable

import orjson
from fastapi import Request
from fastapi.responses import Response

from services.kernel.logging import correlation_id
from services.kernel.site.site import Site

_SORTS = {401: "forbidden", 403: "forbidden", 404: "missing", 410: "missing", 429: "hurried", 503: "away"}
_FAULT = 500


def face_of(site: Site) -> Callable[[Request, Response], Response]:
    """Turns a problem into a page of the same status, for a reader that wants pages; keeps it for any other."""

    def face(request: Request, problem: Response) -> Response:
        if problem.status_code < 400 or not _wants_a_page(request):  # noqa: PLR2004 - where errors begin
            return problem
        status = problem.status_code
        page = site.page(
            request,
            "refusal.html",
            status=status,
            code=status,
            sort=_SORTS.get(status, "fault" if status >= _FAULT else "other"),
            rule=orjson.loads(problem.body)["rule"],
            correlation=correlation_id(),
        )
        for name in ("retry-after", "allow", "www-authenticate"):
            if name in problem.headers:
                page.headers[name] = problem.headers[name]
        return page

    return face


def _wants_a_page(request: Request) -> bool:
    """Browsers name HTML when they go to an address; scripts and programs do not."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/v1/")
