"""What partners do with their own token: receipts once, a signed digest, an alert while it may be shown."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from dispatch_ground import NAME, Ground, in_future
from dispatch_http import PARTNER, become_active, client_of

from services.dispatch import signing
from services.dispatch.campaigns import campaign_alert
from services.dispatch.reconcile import reconcile_all
from services.eventlog.store import delivery_stream, read_stream
from services.kernel.auth import Role


@pytest.fixture
def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


@pytest.fixture
async def call(pool, vault, settings):
    async with client_of(pool, vault, settings) as client:
        yield client


@pytest.fixture
async def partner(call, pool):
    answer = (await call("POST", "/v1/partners", PARTNER)).json
    await become_active(pool, answer)
    return answer


def receipt(ground, **changes):
    at = datetime.now(UTC).isoformat()
    alert_id = str(campaign_alert(ground.campaign))
    return {"alert_id": alert_id, "revision": 1, "state": "displayed", "screens": 40, "at": at, **changes}


async def test_receipt_is_recorded_once(call, ground, partner):
    """The first is an event of its delivery's stream about the case; the same again changes nothing."""
    await ground.release()
    await ground.replay()
    body = receipt(ground)
    statuses = [
        (await call("POST", "/v1/receipts", body, token=partner["token"], key=key)).status
        for key in ("k-1", "k-1", "", "k-2")
    ]
    assert statuses == [201, 201, 200, 200]
    alert_id, recipient = campaign_alert(ground.campaign), UUID(partner["partner_id"])
    [event] = await read_stream(ground.pool, delivery_stream(alert_id, recipient))
    assert (event.type, event.subject, event.data.screens) == ("receipt.recorded.v1", str(ground.case), 40)
    removed = receipt(ground, state="removed")
    assert (await call("POST", "/v1/receipts", removed, token=partner["token"])).status == 201


async def test_receipt_for_what_was_not_sent_to_this_partner_is_404(call, ground, partner):
    """Another partner's alert, an unknown alert, a revision that never was: all the same 404."""
    await ground.release()
    await ground.replay()
    other = (await call("POST", "/v1/partners", PARTNER)).json
    for token, changes in (
        (other["token"], {}),
        (partner["token"], {"alert_id": str(uuid4())}),
        (partner["token"], {"revision": 2}),
    ):
        answer = await call("POST", "/v1/receipts", receipt(ground, **changes), token=token)
        assert answer.status == 404
    assert (await call("POST", "/v1/receipts", receipt(ground), role=Role.ADMIN)).status == 403
    naive = receipt(ground, at="2026-01-01T00:00:00")
    assert (await call("POST", "/v1/receipts", naive, token=partner["token"])).status == 422


async def test_rejected_alert_pages_a_person(call, ground, partner):
    """A partner that refuses to show a child's picture is to be called."""
    await ground.release()
    await ground.replay()
    await call("POST", "/v1/receipts", receipt(ground, state="rejected"), token=partner["token"])
    assert (await ground.pool.fetchval("select matter from kernel.page")).startswith("dispatch-rejected:")


async def _state(call, partner):
    return (await call("GET", "/v1/partner/state", token=partner["token"])).json["alerts"]


async def test_digest_is_signed_and_lists_what_may_be_shown(call, ground, partner):
    """Newest revision, half an hour at most and never beyond the expiry; signed with both secrets of a rotation."""
    await ground.release(expires_at=in_future(600))
    await ground.replay()
    rotated = (await call("POST", f"/v1/partners/{partner['partner_id']}/secret:rotate")).json
    answer = await call("GET", "/v1/partner/state", token=partner["token"])
    for secret in (rotated["secret"], partner["secret"]):
        signing.verify([signing.parse_secret(secret)], answer.headers, answer.body, int(time.time()))
    [shown] = answer.json["alerts"]
    assert (shown["alert_id"], shown["revision"]) == (str(campaign_alert(ground.campaign)), 1)
    until = datetime.fromisoformat(shown["display_until"])
    assert until - datetime.fromisoformat(answer.json["generated_at"]) < timedelta(seconds=601)
    await ground.update()
    await ground.replay()
    [shown] = await _state(call, partner)
    assert shown["revision"] == 2
    left = datetime.fromisoformat(shown["display_until"]) - datetime.now(UTC)
    assert timedelta(seconds=1700) < left <= timedelta(seconds=1800)


async def test_digest_forgets_an_alert_as_soon_as_the_store_stops_it(call, ground, partner):
    """Before the withdrawal is even planned, and for a paused partner at once."""
    await ground.release()
    await ground.replay()
    path = f"/v1/partners/{partner['partner_id']}"
    await call("PATCH", path, {"paused": True})
    assert await _state(call, partner) == []
    await call("PATCH", path, {"paused": False})
    await become_active(ground.pool, partner)
    await reconcile_all(ground.publisher)
    assert len(await _state(call, partner)) == 1
    await ground.end()
    assert await _state(call, partner) == []


async def test_partner_reads_its_alert_in_full_while_it_may_show_it(call, ground):
    """A partner that gets links reads person and texts with its token; 404 to others, 410 once it is over."""
    link = (await call("POST", "/v1/partners", {**PARTNER, "content": "link"})).json
    other = (await call("POST", "/v1/partners", PARTNER)).json
    await become_active(ground.pool, link)
    await ground.release()
    await ground.replay()
    path = f"/v1/partner/alerts/{campaign_alert(ground.campaign)}"
    answer = await call("GET", path, token=link["token"])
    assert answer.json["data"]["persons"][0]["name"] == NAME
    assert set(answer.json["data"]["texts"]) == {"nl"}
    assert answer.headers["cache-control"] == "no-store"
    assert (await call("GET", path, token=other["token"])).status == 404
    assert (await call("GET", path, role=Role.ADMIN)).status == 403
    await ground.end()
    assert (await call("GET", path, token=link["token"])).status == 410
    await ground.replay()
    gone = await call("GET", path, token=link["token"])
    assert gone.status == 410
    assert NAME not in gone.body.decode()


async def test_expired_alert_is_gone_for_its_partner(call, ground, partner):
    """After the expiry the alert is 410 and no longer in the digest."""
    await ground.release(expires_at=in_future(3600))
    await ground.replay()
    await ground.pool.execute("update dispatch.alert set expires_at = clock_timestamp()")
    path = f"/v1/partner/alerts/{campaign_alert(ground.campaign)}"
    assert (await call("GET", path, token=partner["token"])).status == 410
    assert await _state(call, partner) == []


async def test_erased_alert_is_gone_for_its_partner(call, ground, partner):
    """When the alert's key is destroyed nobody reads it any more."""
    await ground.release()
    await ground.replay()
    alert_id = campaign_alert(ground.campaign)
    await ground.vault.destroy([f"alert:{alert_id}"])
    assert (await call("GET", f"/v1/partner/alerts/{alert_id}", token=partner["token"])).status == 410
