"""What partners do with their own token: receipts once, a signed digest, an alert while it may be shown."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from dispatch_ground import NAME, Ground, in_future
from dispatch_http import PARTNER, become_active, client_of

from services.dispatch.campaigns import campaign_alert
from services.dispatch.reconcile import reconcile_all
from services.eventlog.store import delivery_stream, read_case, read_stream
from services.intake.views import displays
from services.kernel import signing
from services.kernel.principals import Role, revoke_tokens


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


async def _said(ground):
    """The states of all receipts in the log, in order."""
    rows = await ground.pool.fetch(
        "select data ->> 'state' as state from eventlog.events where type = 'receipt.recorded.v1' order by position"
    )
    return [row["state"] for row in rows]


def _displays(case):
    return [(one["revision"], one["state"]) for one in case]


async def test_receipts_out_of_order_end_in_what_came_last_on_the_screens(call, ground, partner):
    """A `displayed` that arrives after the `removed` that followed it is kept, and changes nothing of what holds."""
    await ground.release()
    await ground.replay()
    now = datetime.now(UTC)
    later, earlier = (now - timedelta(seconds=s) for s in (10, 60))
    removed = receipt(ground, state="removed", at=later.isoformat())
    displayed = receipt(ground, at=earlier.isoformat())
    for body in (removed, displayed, displayed, removed):
        await call("POST", "/v1/receipts", body, token=partner["token"])
    assert await _said(ground) == ["removed", "displayed"]
    assert _displays(displays(await read_case(ground.pool, ground.case))) == [(1, "removed")]


async def test_late_receipts_are_taken(call, ground, partner):
    """After the withdrawal, and after the expiry, a partner may still say what its screens did."""
    await ground.release(expires_at=in_future(3600))
    await ground.replay()
    await ground.end()
    await ground.replay()
    await ground.pool.execute("update dispatch.alert set expires_at = clock_timestamp()")
    for revision, state in ((2, "removed"), (1, "displayed")):
        body = receipt(ground, revision=revision, state=state)
        assert (await call("POST", "/v1/receipts", body, token=partner["token"])).status == 201
    assert _displays(displays(await read_case(ground.pool, ground.case))) == [(2, "removed")]


async def test_display_that_was_dark_in_between_says_so_again(call, ground, partner):
    """Shown, gone when the lease ended, shown again, gone for good: four facts, each told twice without effect."""
    await ground.release()
    await ground.replay()
    begin = datetime.now(UTC) - timedelta(minutes=10)
    for minute, state in enumerate(("displayed", "removed", "displayed", "removed")):
        body = receipt(ground, state=state, at=(begin + timedelta(minutes=minute)).isoformat())
        for status in (201, 200):
            assert (await call("POST", "/v1/receipts", body, token=partner["token"])).status == status
    assert await _said(ground) == ["displayed", "removed", "displayed", "removed"]
    again = receipt(ground, state="removed")
    assert (await call("POST", "/v1/receipts", again, token=partner["token"])).status == 200


async def test_clock_that_is_ahead_does_not_silence_later_receipts(call, ground, partner):
    """A `displayed` of tomorrow is one of now, so the `removed` that follows it counts."""
    await ground.release()
    await ground.replay()
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    await call("POST", "/v1/receipts", receipt(ground, at=tomorrow), token=partner["token"])
    await call("POST", "/v1/receipts", receipt(ground, state="removed"), token=partner["token"])
    assert _displays(displays(await read_case(ground.pool, ground.case))) == [(1, "removed")]


async def test_forged_receipt_is_nobodys(call, ground, partner):
    """Without a token, with a made-up or a withdrawn one: 401, and nothing is recorded."""
    await ground.release()
    await ground.replay()
    for token in ("", "zl_forged", partner["token"][:-1], partner["secret"]):
        call.tokens.pop(Role.ADMIN, None)
        assert (await call("POST", "/v1/receipts", receipt(ground), token=token)).status == 401
    await revoke_tokens(ground.pool, partner["partner_id"])
    assert (await call("POST", "/v1/receipts", receipt(ground), token=partner["token"])).status == 401
    assert await _said(ground) == []
