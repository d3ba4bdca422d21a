"""The pages behind a volunteer's links: they work without script, in four languages, on any telephone."""

import secrets
from collections.abc import Awaitable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from schemas.vocabulary import Language
from services.kernel.http import takes_up_to
from services.kernel.problems import BadRequestError, InvalidError, NotFoundError
from services.kernel.site import LANGUAGES, Site
from services.kernel.site.languages import COOKIE as LANGUAGE_COOKIE
from services.kernel.uploads import FORM_BYTES, form_of, is_multipart
from services.volunteers import answers, own
from services.volunteers.desk import VolunteerDeps
from services.volunteers.domain.clock import WrongTimeError

DEVICE = "volunteer"
"""The cookie by which a browser is known again that answered."""
_YEAR_S = 365 * 86_400


def router(deps: VolunteerDeps, site: Site) -> APIRouter:
    """The routes of the pages. Looking changes nothing: mail scanners and previews look too."""
    routes = APIRouter(include_in_schema=False)
    _answering(routes, deps, site)
    _own_details(routes, deps, site)
    return routes


def _answering(routes: APIRouter, deps: VolunteerDeps, site: Site) -> None:

    @routes.get("/v/{token}")
    async def look(request: Request, token: str) -> Response:
        return await _shown(deps, site, request, token)

    @routes.post("/v/{token}")
    @takes_up_to(FORM_BYTES)
    async def press(request: Request, token: str) -> Response:
        who = await answers.visit(deps, token)
        if who is None:
            return _invalid(site, request)
        photo, form = await form_of(request) if is_multipart(request) else (None, dict(await _form(request)))
        cookie = request.cookies.get(DEVICE) or secrets.token_urlsafe(16)
        try:
            await answers.answer(deps, who, form, cookie, photo)
        except WrongTimeError:
            return await _shown(deps, site, request, token, wrong_time=True)
        except InvalidError:
            return await _shown(deps, site, request, token, wrong_photo=True, placed=form.get("placed", ""))
        except NotFoundError:
            return _invalid(site, request)
        # Loading the page again presses nothing.
        answer = RedirectResponse(request.url.path, 303)
        secure = deps.settings.base_url.startswith("https://")
        answer.set_cookie(
            DEVICE, cookie, max_age=_YEAR_S, path="/v/", httponly=True, secure=secure, samesite="strict"
        )
        return answer


def _own_details(routes: APIRouter, deps: VolunteerDeps, site: Site) -> None:
    @routes.get("/me/{token}")
    async def look(request: Request, token: str) -> Response:
        return await _own(deps, site, request, token)

    @routes.post("/me/{token}")
    async def press(request: Request, token: str) -> Response:
        who = await own.owner(deps, token)
        if who is None:
            return _invalid(site, request)
        try:
            form = await _form(request)
            done = await own.act(deps, who, form)
        except own.WrongError as error:
            return await _own(deps, site, request, token, wrong=error.field, said=dict(form))
        except NotFoundError:
            return _invalid(site, request)
        if done is own.Done.LEFT:
            return site.page(request, "own_left.html")
        if done is own.Done.ASKS:
            return await _own(deps, site, request, token, leaving=True)
        return RedirectResponse(f"{request.url.path}?done=1", 303)


async def _own(
    deps: VolunteerDeps,
    site: Site,
    request: Request,
    token: str,
    *,
    wrong: str = "",
    said: Mapping[str, str] | None = None,
    leaving: bool = False,
) -> Response:
    who = await own.owner(deps, token)
    done = "done" in request.query_params and not wrong
    more = {"wrong": wrong, "said": said, "leaving": leaving, "done": done}
    found = own.page_for(deps, who) if who else None
    return await _page(site, request, "own.html", found, more, status=422 if wrong else 200)


async def _form(request: Request) -> list[tuple[str, str]]:
    """Raises BadRequestError for more fields than any page has."""
    body = (await request.body()).decode("utf-8", "replace")
    try:
        return parse_qsl(body, keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise BadRequestError("form", "the form has more fields than the page: load it again") from error


async def _shown(
    deps: VolunteerDeps, site: Site, request: Request, token: str, **wrong: bool | str
) -> Response:
    """`wrong`: what could not be taken, and what was written beside it."""
    who = await answers.visit(deps, token)
    found = answers.page_for(deps, who) if who else None
    return await _page(site, request, "answer.html", found, wrong, status=422 if wrong else 200)


async def _page(
    site: Site,
    request: Request,
    template: str,
    found: Awaitable[tuple[dict[str, Any], Language]] | None,
    more: Mapping[str, Any],
    *,
    status: int,
) -> Response:
    """The page of somebody whose link holds; who left meanwhile has none."""
    try:
        shown, language = await found if found else (None, None)
    except NotFoundError:
        shown, language = None, None
    if shown is None:
        return _invalid(site, request)
    return site.page(
        request, template, status=status, language=_chosen(request, language), page={**shown, **more}
    )


def _chosen(request: Request, own: Language | None) -> str | None:
    """The language of the person, unless this reader chose another one."""
    wanted: Any = request.query_params.get("lang") or request.cookies.get(LANGUAGE_COOKIE)
    return None if wanted in LANGUAGES or own is None else own.value


def _invalid(site: Site, request: Request) -> Response:
    return site.page(request, "answer_invalid.html", status=403)
