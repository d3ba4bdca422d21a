"""Signing in and out, the choice of language, and the static files of all pages."""

import math
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from services.kernel import sessions
from services.kernel.auth import identify
from services.kernel.principals import EVERYONE_INSIDE, Principal, fingerprint
from services.kernel.problems import ForbiddenError, NotFoundError, TooManyError
from services.kernel.site.languages import COOKIE, LANGUAGES
from services.kernel.site.site import Site, visitor

HOME = "/"
_YEAR_S = 365 * 86_400
Token = Annotated[str, Form(max_length=500)]
Next = Annotated[str, Form(max_length=2000)]


def router(site: Site) -> APIRouter:
    """The routes that all pages share."""
    routes = APIRouter(include_in_schema=False)
    _signing_in(routes, site)

    @routes.get("/static/{version}/{name}")
    async def static(version: str, name: str) -> Response:
        file = site.files.get(name)
        if file is None or version != site.version:
            raise NotFoundError("file", "load the page again: it names the files of this version")
        unchanging = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(file.body, headers=unchanging, media_type=file.media_type)

    return routes


def _signing_in(routes: APIRouter, site: Site) -> None:
    @routes.get("/login")
    async def ask(request: Request, next: str = HOME) -> Response:  # noqa: A002 - the name in the address
        return site.page(
            request, "login.html", next=inside(next), refused=False, organisation=_organisation(request)
        )

    @routes.post("/login")
    async def sign_in(request: Request, token: Token = "", next: Next = HOME) -> Response:  # noqa: A002
        _from_here(request)
        _not_guessing(request)
        pool = request.app.state.auth_pool
        caller = await identify(pool, token.strip())
        if caller is None or caller.role not in EVERYONE_INSIDE:
            return site.page(
                request,
                "login.html",
                status=401,
                next=inside(next),
                refused=True,
                organisation=_organisation(request),
            )
        async with pool.acquire() as connection, connection.transaction():
            cookie = await sessions.begin(
                connection, caller.name, caller.role.value, fingerprint(token.strip())
            )
        answer = RedirectResponse(inside(next), 303)
        sessions.hand_out(request, answer, cookie)
        return answer

    @routes.post("/logout")
    async def sign_out(
        request: Request, _caller: Annotated[Principal, Depends(visitor(*EVERYONE_INSIDE))]
    ) -> Response:
        await sessions.end(request.app.state.auth_pool, sessions.cookie_of(request) or "")
        answer = RedirectResponse("/login", 303)
        sessions.take_back(request, answer)
        return answer

    @routes.get("/language/{code}")
    async def choose(code: str, next: str = HOME) -> Response:  # noqa: A002
        answer = RedirectResponse(inside(next), 303)
        if code in LANGUAGES:
            answer.set_cookie(COOKIE, code, max_age=_YEAR_S, path="/", httponly=True, samesite="lax")
        return answer


def _organisation(request: Request) -> bool:
    """Whether people may sign in with their organisation's account."""
    return getattr(request.app.state, "oidc", None) is not None


def inside(path: str) -> str:
    """An address of this site; everything else becomes the first page."""
    parts = urlsplit(path)
    plain = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if plain and not parts.scheme and not parts.netloc else HOME


def _not_guessing(request: Request) -> None:
    """Raises TooManyError for somebody who tries and tries. It is the address that waits: no account is ever locked."""
    wait = request.app.state.sign_in_limiter.take(request.client.host if request.client else "")
    if wait:
        raise TooManyError(
            "too-many-sign-ins",
            "wait as many seconds as Retry-After says",
            headers={"Retry-After": str(math.ceil(wait))},
        )


def _from_here(request: Request) -> None:
    """Nobody is signed in by a form on another site. Browsers say where a form was (Fetch Metadata; RFC 6454)."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    elsewhere = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if site not in {None, "same-origin", "none"} or elsewhere:
        raise ForbiddenError("csrf", "sign in on our own page, /login")
