"""Kill -9 of anything, at a bad moment: nothing lost, nothing relit. And dark does not wait for Kafka."""

import asyncio
import subprocess
import time
from uuid import uuid4

import aiohttp
import pytest
from installation import CASE, COMMAND, HELPERS, Installation, consents, displays, register

VICTIMS = ("intake", "relay", "criteria", "dispatch", "sender", "auditor", "projections", "web", "kafka")
ANSWERED_WITHIN_S = SEEN_WITHIN_S = 240.0


async def insist(site: Installation, path: str, body: object, role: str = "operator") -> dict:
    """Posts as a client does when the system may be away: the same Idempotency-Key until there is an answer."""
    headers = {"Idempotency-Key": str(uuid4())}
    deadline = time.monotonic() + ANSWERED_WITHIN_S
    while time.monotonic() < deadline:
        try:
            status, found, _ = await site.call("POST", path, role, body, headers=headers)
        except (aiohttp.ClientError, TimeoutError):
            status = 599
        if status < 500 and status != 409:
            assert status in {200, 201}, found
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{path} was never answered")


async def one_case(site: Installation, server, victim: str) -> None:
    """Opens, releases, updates and ends; the victim dies by kill -9 at each step."""
    screens = [p for n, p in server.partners.items() if n.startswith("display")]
    seen = {p.name: len(p.arrivals) for p in server.partners.values()}

    def news(partner) -> list:
        return partner.arrivals[seen[partner.name] :]

    async def kill() -> None:
        (await site.service(victim)).kill()

    case = await insist(site, "/v1/cases", CASE)
    await kill()
    campaign = await insist(
        site,
        f"/v1/cases/{case['case_id']}/campaigns",
        {"kind": "public", "areas": ["BE"], "consents": consents()},
    )
    await insist(site, f"/v1/campaigns/{campaign['campaign_id']}/release", {}, "coordinator")
    await server.until(lambda: any(news(p) for p in screens), SEEN_WITHIN_S)
    await site.until_ready()
    await kill()
    text = {"nl": {"headline": "Vermist", "body": "Gezien in Leuven? Bel 116 000."}}
    await insist(
        site,
        f"/v1/campaigns/{campaign['campaign_id']}/update",
        {"texts": text, "reason": "sighting"},
        "coordinator",
    )
    await server.until(lambda: all(news(p) and news(p)[-1].revision >= 2 for p in screens), SEEN_WITHIN_S)
    await site.until_ready()
    outcome = {"type": "closed", "outcomes": [{"child": 0, "outcome": "found_safe"}]}
    closing = asyncio.create_task(insist(site, f"/v1/cases/{case['case_id']}/events", outcome))
    await kill()
    await closing
    await server.until(lambda: all(news(p)[-1].type == "alert.withdrawn" for p in screens), SEEN_WITHIN_S)
    for name in HELPERS:
        helper = server.partners[name]
        await server.until(
            lambda helper=helper: news(helper) and news(helper)[-1].type == "alert.withdrawn", SEEN_WITHIN_S
        )
    await site.until_ready()
    for partner in server.partners.values():
        assert partner.relit() == [], f"{partner.name} got an older revision after a newer one"
        assert partner.forged == 0


@pytest.mark.timeout(1500)
async def test_kill_9_of_every_process_loses_and_relights_nothing(fresh, partners):
    """Each service and the broker is killed three times while a case is on its way; every display ends dark."""
    await register(fresh, partners, displays() | HELPERS)
    for victim in VICTIMS:
        await one_case(fresh, partners, victim)
    # A repeat happens only where an answer was lost, and carries the same id.
    for partner in partners.partners.values():
        by_revision: dict[tuple[str, int], set[str]] = {}
        for arrival in partner.arrivals:
            by_revision.setdefault((arrival.alert_id, arrival.revision), set()).add(arrival.webhook_id)
        assert all(len(ids) == 1 for ids in by_revision.values())
    found = await fresh.eventually("/v1/cases?open=false", lambda f: len(f["items"]) == len(VICTIMS))
    assert all(item["state"] == "closed" for item in found["items"])
    done = await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, "verify", "--data", str(fresh.folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(600)
async def test_dark_does_not_wait_for_kafka(fresh, partners):
    """With the broker stopped, ending a campaign still darkens 31 of 31."""
    await register(fresh, partners, displays())
    case = await fresh.post("/v1/cases", CASE)
    campaign = await fresh.post(
        f"/v1/cases/{case['case_id']}/campaigns", {"kind": "public", "areas": ["BE"], "consents": consents()}
    )
    await fresh.post(f"/v1/campaigns/{campaign['campaign_id']}/release", {}, "coordinator")
    screens = partners.partners.values()
    await partners.until(lambda: all(p.shows for p in screens))
    broker = await fresh.service("kafka")
    broker.suspend()
    try:
        await fresh.post(
            f"/v1/campaigns/{campaign['campaign_id']}/end", {"reason": "child_found"}, "coordinator"
        )
        await partners.until(lambda: not any(p.shows for p in screens), SEEN_WITHIN_S)
    finally:
        broker.resume()
    # The same withdrawal then also comes by Kafka, and changes nothing.
    other = await fresh.post("/v1/cases", {**CASE, "circumstances": []})
    await fresh.eventually(f"/v1/cases?q={other['case_number']}", lambda f: f["items"], seconds=SEEN_WITHIN_S)
    assert all(len(p.arrivals) == 2 for p in screens)
