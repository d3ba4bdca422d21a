"""Pages and the people on duty over HTTP, and the page behind the link in a message."""

from dataclasses import dataclass
from html import escape
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse, Response

from schemas.duty import ChangePerson, NewPerson
from schemas.vocabulary import Language
from services.kernel.auth import require
from services.kernel.clock import SystemClock
from services.kernel.http import json_answer
from services.kernel.http_idempotency import idempotency_of
from services.kernel.idempotency import Answer, Idempotency, once
from services.kernel.paging import acknowledge, duty, links, open_pages
from services.kernel.paging.channels import ChannelError, check
from services.kernel.paging.wording import title
from services.kernel.postgres import Connection, Pool, in_transaction, queries
from services.kernel.principals import STAFF, Principal, Role
from services.kernel.problems import ForbiddenError, InvalidError, NotFoundError
from services.kernel.settings import Settings

Key = Annotated[Idempotency | None, Depends(idempotency_of)]
Admin = Annotated[Principal, Depends(require(Role.ADMIN))]
Staff = Annotated[Principal, Depends(require(*STAFF))]

_SQL = queries("services.kernel.paging")
_BIGINT = 2**63
Cursor = Annotated[int, Query(ge=0, lt=_BIGINT)]
Limit = Annotated[int, Query(ge=1, le=200)]
_WORDS = {
    Language.NL: ("Ik neem dit op mij", "Op zich genomen door {name}.", "Dit is voorbij."),
    Language.FR: ("Je m'en occupe", "{name} s'en occupe.", "C'est terminé."),
    Language.DE: ("Ich kümmere mich darum", "{name} kümmert sich darum.", "Das ist vorbei."),
    Language.EN: ("I look after it", "{name} looks after it.", "This is over."),
}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class PagingDeps:
    """What the router is given: its own pool, and the settings."""

    pool: Pool
    settings: Settings


def router(deps: PagingDeps) -> APIRouter:
    """The routes of pages."""
    routes = APIRouter()
    _pages(routes, deps)
    _duty(routes, deps)
    _links(routes, deps)
    return routes


def _pages(routes: APIRouter, deps: PagingDeps) -> None:
    @routes.get(
        "/v1/pages",
        summary="What waits for a person or is looked after, oldest first; with `over` also what is over: who was told when",
    )
    async def pages(_caller: Staff, cursor: Cursor = 0, limit: Limit = 200, over: bool = False) -> Response:
        found = await open_pages(deps.pool, cursor, limit + 1, over=over)
        shown = found[:limit]
        more = str(shown[-1].page_id) if len(found) > limit else None
        return json_answer(200, {"items": shown, "next_cursor": more})

    @routes.post("/v1/pages/{page_id}/acknowledge", summary="I look after it")
    async def done(page_id: int, caller: Staff, key: Key) -> Response:
        return json_answer(*await once(deps.pool, key, lambda c: _acknowledged(c, page_id, caller.name)))


async def _acknowledged(connection: Connection, page_id: int, person: str) -> Answer:
    if not 0 < page_id < _BIGINT or not await acknowledge(connection, page_id, person):
        raise NotFoundError("page", "no such page is open; GET /v1/pages lists those that are")
    return 200, {"page_id": page_id, "acknowledged_by": person}


def _duty(routes: APIRouter, deps: PagingDeps) -> None:
    master = deps.settings.master_key_bytes

    @routes.get("/v1/duty", summary="Who is paged, in order, and when they are on duty")
    async def listed(_caller: Staff) -> Response:
        items = [one.view for one in await duty.people(deps.pool, master)]
        return json_answer(200, {"items": items, "next_cursor": None})

    @routes.post("/v1/duty", status_code=201, summary="Somebody new who can be paged")
    async def add(command: NewPerson, _caller: Admin, key: Key) -> Response:
        _checked(command.channels)

        async def work(connection: Connection) -> Answer:
            return 201, (await duty.add(connection, master, command)).view

        return json_answer(*await once(deps.pool, key, work))

    @routes.patch(
        "/v1/duty/{person_id}", summary="Change somebody's name, language, channels, hours or place"
    )
    async def change(person_id: UUID, command: ChangePerson, _caller: Admin) -> Response:
        _checked(command.channels or [])
        person = await in_transaction(deps.pool, lambda c: duty.change(c, master, person_id, command))
        return json_answer(200, person.view)

    @routes.delete("/v1/duty/{person_id}", status_code=204, summary="Somebody who is not paged any more")
    async def remove(person_id: UUID, _caller: Admin) -> Response:
        await in_transaction(deps.pool, lambda c: duty.remove(c, person_id))
        return Response(status_code=204)


def _checked(channels: list[str]) -> None:
    for channel in channels:
        try:
            check(channel)
        except ChannelError as error:
            raise InvalidError("channel", str(error)) from None


def _links(routes: APIRouter, deps: PagingDeps) -> None:
    @routes.get("/pages/{page_id}", include_in_schema=False)
    async def look(page_id: int, token: str = "") -> HTMLResponse:
        """Shows what it is about and a button; only the button acknowledges, since mail scanners follow links."""
        return await _shown(deps, page_id, token, press=False)

    @routes.post("/pages/{page_id}", include_in_schema=False)
    async def press(page_id: int, token: str = "") -> HTMLResponse:
        """The button."""
        return await _shown(deps, page_id, token, press=True)


async def _shown(deps: PagingDeps, page_id: int, token: str, *, press: bool) -> HTMLResponse:
    person_id = links.person_behind(deps.settings.master_key_bytes, page_id, token, SystemClock().now())
    person = None if person_id is None else await deps.pool.fetchrow(_SQL["person"], person_id)
    if person is None:
        raise ForbiddenError("link", "this link is not valid any more: use POST /v1/pages/{id}/acknowledge")
    if press:
        await acknowledge(deps.pool, page_id, person["name"])
    row = await deps.pool.fetchrow(_SQL["one_page"], page_id)
    language = Language(person["language"])
    button, taken, over = _WORDS[language]
    if row["acknowledged_at"]:
        state = f"<p role=status>{escape(taken.format(name=row['acknowledged_by']))}</p>"
    elif row["closed_at"]:
        state = f"<p role=status>{escape(over)}</p>"
    else:
        # The address of this very page, token included, is where an empty form is posted to.
        state = f"<form method=post><button autofocus>{escape(button)}</button></form>"
    heading = escape(title(row["matter"], language))
    return HTMLResponse(
        f"<!doctype html><html lang={language.value}><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'><meta name=referrer content=no-referrer>"
        f"<title>{heading}</title><style>body{{font:1.2rem system-ui;max-width:40rem;margin:2rem auto;padding:0 1rem}}"
        "button{font:inherit;padding:1rem 2rem}</style>"
        f"<main><h1>{heading}</h1><p lang=en>{escape(row['text'])}</p>{state}</main>",
        headers={
            "Content-Security-Policy": _POLICY,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
        },
    )
