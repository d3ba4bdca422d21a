"""CAP from end to end: a partner that takes CAP and whoever reads the feeds see an appeal, its update and its end."""

import asyncio
import json
import time
from collections import defaultdict
from uuid import UUID

import pytest
from aiohttp import web
from cryptography import x509
from installation import CASE, consents
from lxml import etree
from standardwebhooks.webhooks import Webhook

from services.cap import Verdict, read, verify

GHENT = "44021"
SECRETS = ("Voorbeeldkind", "Lou", "Kenteken", "Geheimnis", "Voorbeeldplein", "Voorbeeldtekenaar")


class CapPartner:
    """A receiver that keeps each accepted CAP message, as bytes, once its webhook signature was checked."""

    def __init__(self) -> None:
        self.secret = ""
        self.messages: dict[UUID, list[bytes]] = defaultdict(list)
        self.pinged = False
        self.changed = asyncio.Event()

    async def receive(self, request: web.Request) -> web.Response:
        raw = await request.read()
        if self.secret:
            Webhook(self.secret).verify(raw, dict(request.headers), json_parse=False)
        if request.content_type == "application/json":
            self.pinged = self.pinged or json.loads(raw)["type"] == "ping"
        else:
            assert request.content_type == "application/cap+xml"
            self.messages[UUID(read(raw).identifier.partition(".")[0])].append(raw)
        self.changed.set()
        return web.Response(status=204)

    async def until(self, condition, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "the message did not come in time"
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), 0.5)
            except TimeoutError:
                continue


@pytest.fixture
async def cap_partner(shared):
    """A partner in Ghent that takes CAP, with its own server."""
    site, _ = shared
    partner, app = CapPartner(), web.Application()
    app.router.add_post("/cap", partner.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    port = listener._server.sockets[0].getsockname()[1]
    body = {
        "name": "Ghent screens",
        "url": f"http://127.0.0.1:{port}/cap",
        "format": "cap",
        "content": "full",
        "areas": [GHENT],
        "languages": ["nl"],
        "contact": "desk",
    }
    answer = await site.post("/v1/partners", body, "admin")
    partner.secret = answer["secret"]
    await site.eventually(f"/v1/partners/{answer['partner_id']}", lambda p: p["state"] == "active", "admin")
    yield partner
    await site.call("PATCH", f"/v1/partners/{answer['partner_id']}", "admin", {"paused": True}, expect=200)
    await runner.cleanup()


async def fetched(site, path: str) -> tuple[int, bytes]:
    async with site.session.get(site.url + path) as answer:
        return answer.status, await answer.read()


async def entries(site, alert: UUID) -> list[str]:
    """What each feed says of an alert; other tests' alerts may be in them too."""
    (_, atom), (_, feed) = [await fetched(site, path) for path in ("/feeds/cap.atom", "/feeds/alerts.json")]
    name, namespaces = f"urn:uuid:{alert}", {"a": "http://www.w3.org/2005/Atom"}
    found = etree.fromstring(atom).xpath(f"//a:entry[a:id='{name}']", namespaces=namespaces)
    items = [item for item in json.loads(feed)["items"] if item["id"] == name]
    return [etree.tostring(one, encoding="unicode") for one in found] + [json.dumps(one) for one in items]


async def in_feeds(site, alert: UUID) -> str:
    """What both feeds say of an alert: Alert, Update or Cancel."""
    atom, feed = await entries(site, alert)
    [kind] = [one for one in ("Alert", "Update", "Cancel") if f'term="{one}"' in atom]
    assert json.loads(feed)["tags"][0] == kind
    return kind


async def test_an_appeal_goes_out_as_cap_is_updated_and_ends(shared, cap_partner):
    """Released: a signed valid Alert, and it is public. Updated: an Update that names it. Ended: a Cancel of both."""
    site, server = shared
    case = await site.post("/v1/cases", CASE)
    requested = {"kind": "public", "areas": [GHENT], "consents": consents()}
    campaign = (await site.post(f"/v1/cases/{case['case_id']}/campaigns", requested))["campaign_id"]
    await site.post(f"/v1/campaigns/{campaign}/release", {}, "coordinator")
    await cap_partner.until(lambda: cap_partner.messages)
    [alert] = cap_partner.messages
    got = cap_partner.messages[alert]
    assert await in_feeds(site, alert) == "Alert"
    # The partner and the public read the very same bytes.
    assert await fetched(site, f"/alerts/{alert}.cap.xml") == (200, got[0])
    first = read(got[0])
    assert (first.status, first.msg_type, first.scope) == ("Actual", "Alert", "Public")
    assert {"nl-BE", "fr-BE"} <= {info.language for info in first.infos}
    assert b"Voorbeeldkind" in got[0]

    update = {"areas": [GHENT, "arrondissement:oost-vlaanderen"], "reason": "wider"}
    await site.post(f"/v1/campaigns/{campaign}/update", update, "coordinator")
    await cap_partner.until(lambda: len(got) == 2)
    second = read(got[1])
    assert second.msg_type == "Update"
    assert [one.identifier for one in second.references] == [first.identifier]
    assert await in_feeds(site, alert) == "Update"

    await site.post(f"/v1/campaigns/{campaign}/end", {"reason": "child_found"}, "coordinator")
    await cap_partner.until(lambda: len(got) == 3)
    last = read(got[2])
    assert last.msg_type == "Cancel"
    assert [one.identifier for one in last.references] == [first.identifier, second.identifier]
    assert await in_feeds(site, alert) == "Cancel"
    assert await fetched(site, f"/alerts/{alert}.cap.xml") == (200, got[2])

    _, pem = await fetched(site, "/feeds/certificate.pem")
    certificate = x509.load_pem_x509_certificate(pem)
    assert {verify(body, certificate=certificate) for body in got} == {Verdict.VALID}
    said = [got[2].decode(), *await entries(site, alert)]
    assert len(said) == 3
    assert not [secret for secret in SECRETS for text in said if secret in text]
    await site.post(
        f"/v1/cases/{case['case_id']}/events",
        {"type": "closed", "outcomes": [{"child": 0, "outcome": "found_safe"}]},
    )
    await server.until(lambda: all(str(alert) not in one.shows for one in server.partners.values()))
