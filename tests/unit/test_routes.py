"""Every route says who may call it, and nobody is let in who has no business there."""

import base64
import os
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts

from services.kernel.oidc import api as signing_in
from services.kernel.oidc.provider import Provider
from services.kernel.principals import EVERYONE_INSIDE, LEADS, READERS, STAFF, Role
from services.kernel.settings import Settings
from services.web import main as web
from services.web import pages
from services.web.app import compose
from services.web.board import Board

EVERYBODY = {
    "GET /openapi.json",
    "GET /docs",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /feeds/cap.atom",
    "GET /feeds/alerts.json",
    "GET /feeds/certificate.pem",
    "GET /alerts/{alert_id:uuid}.cap.xml",
    "GET /v1/statistics",
    "GET /v1/statistics/dictionary",
    "GET /.well-known/webhook-keys/{partner_id}",
    "GET /media/{name}",
    "POST /v1/volunteers/reports",
    "GET /v/{token}",
    "POST /v/{token}",
    "GET /me/{token}",
    "POST /me/{token}",
    "GET /pages/{page_id}",
    "POST /pages/{page_id}",
    "GET /login",
    "GET /login/organisation",
    "GET /login/back",
    "POST /login",
    "GET /language/{code}",
    "GET /static/{version}/{name}",
}
"""What anybody may call; a picture is found by an unguessable address, a page by a signed link, a report is signed."""
VIEWERS = {
    "GET /v1/cases",
    "GET /v1/cases/{case_id}",
    "GET /v1/cases/{case_id}/events",
    "GET /v1/cases/{case_id}/assessment",
    "GET /v1/alerts/{alert_id}",
    "GET /v1/deliveries",
    "GET /v1/reports/annual/{year}",
    "GET /",
    "GET /operations",
    "GET /operations/alerts",
    "GET /operations/cases",
    "GET /operations/system",
    "GET /v1/live",
    "GET /v1/live/changes",
    "POST /logout",
}
"""What a viewer, who sees no identity, may call too."""
READING = {"GET /v1/cases/{case_id}/children/{index}/photos/{media_id}"}
CONSENTING = {"POST /v1/campaigns/{campaign_id}/consents"}
"""What a magistrate's liaison may call beside what all inside may."""
OUTSIDERS = {"POST /v1/cases/{case_id}/break-glass"}
"""What is only for those inside who see no identity."""
PARTNERS = {"POST /v1/receipts", "GET /v1/partner/state", "GET /v1/partner/alerts/{alert_id}"}
LEADING = {
    "GET /v1/callouts/{callout_id}/posters/{poster_id}/photo",
    "GET /callouts/{callout_id}/posters/{poster_id}/photo",
    "POST /v1/erasures",
    "GET /v1/erasures",
    "GET /v1/erasures/{erasure_id}",
    "POST /v1/erasures/{erasure_id}/approve",
    "POST /v1/erasures/{erasure_id}/withdraw",
    "POST /v1/erasures/{erasure_id}/partners/{recipient_id}/give-up",
    "GET /v1/erasures/{erasure_id}/certificate",
    "POST /v1/campaigns/{campaign_id}/update",
    "POST /v1/campaigns/{campaign_id}/extend",
    "POST /v1/campaigns/{campaign_id}/end",
    "POST /v1/deliveries/{delivery_id}/replay",
    "POST /v1/alerts/{alert_id}/replay",
    "POST /v1/partners/{partner_id}/replay",
    "POST /v1/parked/{case_id}/resume",
    "GET /callouts",
    "GET /callouts/{callout_id}",
    "GET /callouts/{callout_id}/now",
    "GET /v1/callouts",
    "GET /v1/callouts/{callout_id}",
    "POST /v1/cases/{case_id}/callouts",
    "POST /v1/callouts/{callout_id}/answers",
    "POST /v1/callouts/{callout_id}/stand-down",
    "POST /v1/callouts/{callout_id}/tasks",
    "POST /v1/callouts/{callout_id}/posters",
    "POST /v1/callouts/{callout_id}/posters/{poster_id}/removed",
    "GET /v1/volunteers",
    "GET /v1/volunteers/{volunteer_id}",
}
ADMINS = {
    "POST /v1/volunteers/{volunteer_id}/link",
    "GET /v1/audit",
    "GET /v1/audit/head",
    "GET /v1/audit/export",
    "POST /v1/partners",
    "PATCH /v1/partners/{partner_id}",
    "POST /v1/partners/{partner_id}/secret:rotate",
    "POST /v1/partners/{partner_id}/ping",
    "POST /v1/duty",
    "PATCH /v1/duty/{person_id}",
    "DELETE /v1/duty/{person_id}",
    "POST /v1/volunteers",
    "POST /v1/volunteers:import",
    "PATCH /v1/volunteers/{volunteer_id}",
    "DELETE /v1/volunteers/{volunteer_id}",
}


def _demanded(dependant):
    """The roles that a route demands, everywhere on the way to it: all of them must let the caller in."""
    found = [set(dependant.call.roles)] if hasattr(dependant.call, "roles") else []
    for dependency in dependant.dependencies:
        found += _demanded(dependency)
    return found


@pytest.fixture
async def allowed(monkeypatch):
    """Who may call what, of the application as the web service composes it: None where nobody is asked."""

    async def no_pool(*_arguments):
        return None

    monkeypatch.setattr(web, "_pool", no_pool)
    settings = Settings(
        master_key=base64.b64encode(bytes(32)).decode(),
        database_url="postgresql://nobody@127.0.0.1:9/none",
        kafka_bootstrap_servers="127.0.0.1:9",
    )
    async with AsyncExitStack() as stack:
        provider = Provider("https://id.example", "api", "pages", "secret")
        routers = await web._routers(settings, stack, Board(settings, None, None), pages.site())
        routers.append(signing_in.router(provider, "https://alerts.example", bytes(32)))
    app = compose(settings, routers, auth_pool=None, watch_pool=None, watch=None, oidc=provider)
    found = {}
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        demanded = _demanded(dependant) if dependant else []
        for method in route.methods - {"HEAD"}:
            found[f"{method} {route.path}"] = set.intersection(*demanded) if demanded else None
    return found


async def test_only_what_is_meant_for_everybody_demands_no_role(allowed):
    """A route that forgets its role is public, whatever it shows; this list is the whole of what is."""
    assert {route for route, roles in allowed.items() if roles is None} == EVERYBODY


async def test_viewers_and_partners_have_their_own_routes_and_no_others(allowed):
    """A viewer changes nothing; a partner's token opens what is about that partner."""
    inside = {route: roles for route, roles in allowed.items() if roles is not None}
    assert {route for route, roles in inside.items() if Role.VIEWER in roles} == VIEWERS | OUTSIDERS
    assert {route for route, roles in inside.items() if Role.PARTNER in roles} == PARTNERS
    assert all(inside[route] == {Role.PARTNER} for route in PARTNERS)
    assert all(inside[route] == set(EVERYONE_INSIDE) for route in VIEWERS)
    assert all(inside[route] == {Role.VIEWER} for route in OUTSIDERS)


async def test_what_needs_a_lead_or_an_admin_is_not_for_every_operator(allowed):
    """Recipients, people on duty and the audit are for admins; what is lit and goes out again for coordinators too."""
    assert {route for route, roles in allowed.items() if roles == {Role.ADMIN}} == ADMINS
    assert {route for route, roles in allowed.items() if roles == set(LEADS)} == LEADING
    rest = (
        allowed.keys() - EVERYBODY - VIEWERS - OUTSIDERS - READING - CONSENTING - PARTNERS - LEADING - ADMINS
    )
    assert all(allowed[route] == set(STAFF) for route in rest)


async def test_a_liaison_reads_and_brings_consents(allowed):
    """Identities, and what magistrates and parties decided; nothing else is changed by a liaison."""
    assert all(allowed[route] == set(READERS) for route in READING)
    assert all(allowed[route] == {*STAFF, Role.MAGISTRATE_LIAISON} for route in CONSENTING)
    liaison = {route for route, roles in allowed.items() if Role.MAGISTRATE_LIAISON in (roles or ())}
    assert liaison == VIEWERS | READING | CONSENTING


def table(allowed):
    """Who may call what, for people: one row for each call, one column for each role."""
    head = ["call", *Role, "anybody"]
    rows = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for call, roles in sorted(allowed.items(), key=lambda one: (one[0].split()[1], one[0])):
        marks = ["yes" if roles and role in roles else "" for role in Role]
        cells = [f"`{call}`", *marks, "yes" if roles is None else ""]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


async def test_the_table_for_people_says_what_the_routes_demand(allowed):
    """docs/roles.md is what the code does; write it anew with WRITE_DOCS=1."""
    page = Path(__file__).parents[2] / "docs" / "roles.md"
    before, mark, _ = page.read_text(encoding="utf-8").partition("<!-- from the routes -->\n")
    written = f"{before}{mark}{table(allowed)}\n"
    if os.environ.get("WRITE_DOCS"):
        page.write_text(written, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == written
