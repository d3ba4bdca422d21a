"""Partners: registered by an administrator, active once they answer, and then caught up with what is lit."""

import asyncio
from uuid import UUID, uuid4

import pytest
from dispatch_ground import GHENT, LEUVEN, NAME, Ground, add_recipient
from dispatch_http import PARTNER, become_active, client_of

from services.dispatch.campaigns import campaign_alert
from services.dispatch.secret_boxes import open_secrets
from services.kernel.paging import page
from services.kernel.principals import Role
from services.kernel.signing import SignatureError, parse_public, parse_secret, verify


@pytest.fixture
def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


@pytest.fixture
async def call(pool, vault, settings):
    async with client_of(pool, vault, settings) as client:
        yield client


async def created(call, **changes):
    answer = await call("POST", "/v1/partners", {**PARTNER, **changes})
    assert answer.status == 201
    return answer.json


async def test_new_partner_is_unverified_with_secret_token_and_a_ping_that_is_due(call, pool, settings):
    """The answer alone shows secret and token; the secret is kept sealed; the handshake is due at once."""
    partner = await created(call)
    assert partner["state"] == "unverified"
    row = await pool.fetchrow("select * from dispatch.recipient")
    assert partner["secret"] not in str(dict(row))
    assert open_secrets(row, settings.master_key_bytes).secrets == (parse_secret(partner["secret"]),)
    assert await pool.fetchval("select due_at <= clock_timestamp() from dispatch.ping") is True
    shown = await call("GET", f"/v1/partners/{partner['partner_id']}", role=Role.OPERATOR)
    assert (shown.json["name"], shown.json["ping"]["attempts"]) == ("Screens Ltd", 0)
    assert "whsec_" not in str(shown.json)
    state = await call("GET", "/v1/partner/state", token=partner["token"])
    assert (state.status, state.json["alerts"]) == (200, [])


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"url": "http://203.0.113.9/hook"}, "partner-url"),
        ({"areas": ["nowhere:1"]}, "partner-areas"),
    ],
)
async def test_partner_that_cannot_be_served_is_refused(call, pool, changes, rule):
    """An address or an area that we cannot serve is a 422 that says what to write."""
    answer = await call("POST", "/v1/partners", {**PARTNER, **changes})
    assert (answer.status, answer.json["rule"]) == (422, rule)
    assert await pool.fetchval("select count(*) from dispatch.recipient") == 0


async def test_only_an_administrator_changes_partners(call):
    """Others read at most; a viewer not even that, and a partner nothing of the others."""
    partner = await created(call)
    path = f"/v1/partners/{partner['partner_id']}"
    writes = (
        ("POST", "/v1/partners"),
        ("PATCH", path),
        ("POST", f"{path}/secret:rotate"),
        ("POST", f"{path}/ping"),
    )
    for method, target in writes:
        for role in (Role.COORDINATOR, Role.OPERATOR, Role.VIEWER):
            assert (await call(method, target, PARTNER, role=role)).status == 403
        assert (await call(method, target, PARTNER, token=partner["token"])).status == 403
    assert (await call("GET", path, role=Role.VIEWER)).status == 403
    assert (await call("GET", path, token="nobody")).status == 401
    assert (await call("GET", f"/v1/partners/{uuid4()}")).status == 404


async def test_same_key_registers_one_partner(call, pool):
    """The same Idempotency-Key gives the same secret again and makes no second partner."""
    first = await call("POST", "/v1/partners", PARTNER, key="k-1")
    again = await call("POST", "/v1/partners", PARTNER, key="k-1")
    assert again.json == first.json
    assert await pool.fetchval("select count(*) from dispatch.recipient") == 1
    assert (await call("POST", "/v1/partners", {**PARTNER, "name": "X"}, key="k-1")).status == 422


async def test_rotation_keeps_two_secrets_alive(call, pool, settings):
    """For 24 hours both sign, the new one first."""
    partner = await created(call)
    answer = await call("POST", f"/v1/partners/{partner['partner_id']}/secret:rotate")
    row = await pool.fetchrow("select * from dispatch.recipient")
    wanted = [parse_secret(answer.json["secret"]), parse_secret(partner["secret"])]
    assert open_secrets(row, settings.master_key_bytes).secrets == tuple(wanted)
    left = await pool.fetchval("select previous_until - clock_timestamp() from dispatch.recipient")
    assert 23.9 < left.total_seconds() / 3600 <= 24


async def test_public_key_is_told_once_shown_always_and_public(call, pool, settings):
    """Registration, the partner's page and the public address name one key; another partner has another; none is stored."""
    partner, other = await created(call), await created(call)
    shown = await call("GET", f"/v1/partners/{partner['partner_id']}")
    public = await call("GET", f"/.well-known/webhook-keys/{partner['partner_id']}", token="nobody")
    key = partner["public_key"]
    assert key.startswith("whpk_")
    assert shown.json["public_key"] == key
    assert (public.status, public.json["public_keys"]) == (200, [key])
    assert other["public_key"] != key
    assert (await call("GET", f"/.well-known/webhook-keys/{uuid4()}")).status == 404
    rows = await pool.fetch("select * from dispatch.recipient")
    assert key.removeprefix("whpk_") not in str([dict(row) for row in rows])


async def test_signed_digest_holds_for_the_public_key_alone(call):
    """Whoever knows only the public key can check what is signed, and so can whoever knows only the secret."""
    partner = await created(call)
    answer = await call("GET", "/v1/partner/state", token=partner["token"])
    now = int(answer.headers["webhook-timestamp"])
    verify([], answer.headers, answer.body, now, [parse_public(partner["public_key"])])
    verify([parse_secret(partner["secret"])], answer.headers, answer.body, now)
    with pytest.raises(SignatureError):
        verify([], answer.headers, answer.body + b" ", now, [parse_public(partner["public_key"])])


async def test_becoming_active_plans_what_is_lit(call, ground):
    """Registered while a campaign runs: nothing until it answers, then the newest revision in its own form."""
    await add_recipient(ground.pool)
    await ground.release()
    await ground.update()
    await ground.replay()
    partner = await created(call, languages=["fr"])
    other = await created(call, areas=[GHENT])
    partner_id = UUID(partner["partner_id"])
    assert await ground.deliveries(recipient_id=partner_id) == []
    await become_active(ground.pool, partner)
    await become_active(ground.pool, partner)
    await become_active(ground.pool, other)
    [row] = await ground.deliveries(recipient_id=partner_id)
    assert (row["revision"], row["content"], row["state"]) == (2, "updated", "pending")
    body = await ground.body(row)
    assert set(body["data"]["texts"]) == {"fr"}
    assert body["data"]["persons"][0]["name"] == NAME
    assert await ground.deliveries(recipient_id=UUID(other["partner_id"])) == []
    assert await ground.pool.fetchval("select count(*) from kernel.page") == 0


async def test_becoming_active_lights_nothing_that_is_over(call, ground):
    """Withdrawn, stopped in the store or for exercises only: a partner that becomes active gets none of it."""
    partner = await created(call)
    await ground.release()
    await ground.replay()
    await ground.end()
    await become_active(ground.pool, partner)
    assert await ground.deliveries() == []
    await ground.replay()
    await become_active(ground.pool, partner)
    assert await ground.deliveries() == []


async def test_activation_beside_a_release_misses_nothing(call, ground):
    """At the same moment, in either order: the partner has the alert, once."""
    partners = [await created(call) for _ in range(6)]
    await ground.release()
    await asyncio.gather(ground.replay(), *(become_active(ground.pool, partner) for partner in partners))
    assert len(await ground.deliveries(revision=1, state="pending")) == 6


async def test_new_address_is_proved_before_anything_is_sent(call, pool):
    """A changed address or the end of a pause makes a partner unverified, with a handshake due at once."""
    partner = await created(call)
    path = f"/v1/partners/{partner['partner_id']}"
    await become_active(pool, partner)
    assert (await call("PATCH", path, {"contact": "night desk"})).json["state"] == "active"
    await pool.execute("delete from dispatch.ping")
    moved = await call("PATCH", path, {"url": "http://127.0.0.1:10/hook"})
    assert (moved.json["state"], moved.json["ping"]["attempts"]) == ("unverified", 0)
    assert (await call("PATCH", path, {"paused": True})).json["state"] == "paused"
    await become_active(pool, partner)
    assert (await call("GET", path)).json["state"] == "paused"
    assert (await call("PATCH", path, {"paused": False})).json["state"] == "unverified"


async def test_partner_that_moves_during_a_campaign_keeps_its_alert(call, ground):
    """While its new address is unproved an update waits for it, instead of a withdrawal."""
    partner = await created(call)
    await become_active(ground.pool, partner)
    await ground.release()
    await ground.replay()
    await call("PATCH", f"/v1/partners/{partner['partner_id']}", {"url": "http://127.0.0.1:10/hook"})
    await ground.update()
    await ground.replay()
    assert [(r["content"], r["state"]) for r in await ground.deliveries()] == [
        ("issued", "superseded"),
        ("updated", "pending"),
    ]


async def test_wider_area_gets_what_is_lit_there(call, ground):
    """An active partner whose screens now reach the area gets the running alert."""
    partner = await created(call, areas=[GHENT])
    await become_active(ground.pool, partner)
    await ground.release()
    await ground.replay()
    await call("PATCH", f"/v1/partners/{partner['partner_id']}", {"areas": [GHENT, LEUVEN]})
    assert [r["state"] for r in await ground.deliveries()] == ["pending"]


async def test_lists_go_on_where_they_stopped(call):
    """Cursor after cursor shows every partner once."""
    made = [(await created(call, name=f"P{i}"))["partner_id"] for i in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        answer = (await call("GET", f"/v1/partners?limit=2{cursor and '&cursor=' + cursor}")).json
        seen += [item["partner_id"] for item in answer["items"]]
        cursor = answer["next_cursor"]
    assert seen == made


async def test_alert_and_deliveries_show_what_went_where(call, ground):
    """Revisions with counts; deliveries with their attempts, filtered and paged; no identity."""
    told = [await add_recipient(ground.pool) for _ in range(3)]
    await ground.release()
    await ground.update()
    await ground.replay()
    alert_id = campaign_alert(ground.campaign)
    alert = (await call("GET", f"/v1/alerts/{alert_id}", role=Role.VIEWER)).json
    assert [r["deliveries"] for r in alert["revisions"]] == [{"superseded": 3}, {"pending": 3}]
    one = (await ground.deliveries(recipient_id=told[0], revision=2))[0]
    await ground.pool.execute(
        "insert into dispatch.attempt (delivery_id, fence, owner, status) values ($1, 1, 'w', 503)",
        one["delivery_id"],
    )
    path = f"/v1/deliveries?alert={alert_id}&state=pending"
    [shown] = (await call("GET", f"{path}&recipient={told[0]}")).json["items"]
    assert (shown["delivery_id"], shown["attempts"][0]["status"]) == (str(one["delivery_id"]), 503)
    first = (await call("GET", f"{path}&limit=2")).json
    rest = (await call("GET", f"{path}&limit=2&cursor={first['next_cursor']}")).json
    assert {item["recipient"] for item in first["items"] + rest["items"]} == {str(one) for one in told}
    assert (await call("GET", "/v1/deliveries?cursor=nonsense")).status == 422
    assert (await call("GET", f"/v1/alerts/{uuid4()}")).status == 404


async def test_replay_sends_the_newest_revision_alone(call, ground):
    """The head goes out again under its own id; an older one, a dark one or one that is over is a 409."""
    await add_recipient(ground.pool)
    await ground.release()
    await ground.update()
    await ground.replay()
    old, head = await ground.deliveries()
    await ground.pool.execute("update dispatch.delivery set state = 'delivered' where revision = 2")
    await ground.pool.execute("update dispatch.lane set due_at = null, failures = 4")
    refused = await call("POST", f"/v1/deliveries/{old['delivery_id']}/replay", role=Role.COORDINATOR)
    assert (refused.status, refused.json["rule"]) == (409, "not-head")
    path = f"/v1/deliveries/{head['delivery_id']}/replay"
    assert (await call("POST", path, role=Role.OPERATOR)).status == 403
    assert (await call("POST", path, role=Role.COORDINATOR)).status == 202
    assert [r["state"] for r in await ground.deliveries(revision=2)] == ["pending"]
    assert await ground.pool.fetchval("select due_at is not null and failures = 0 from dispatch.lane")
    await ground.end()
    assert (await call("POST", path)).json["rule"] == "alert-over"
    await ground.replay()
    assert (await call("POST", path)).json["rule"] == "not-head"
    withdrawal = (await ground.deliveries(content="withdrawn"))[0]["delivery_id"]
    assert (await call("POST", f"/v1/deliveries/{withdrawal}/replay")).status == 202
    assert (await call("POST", f"/v1/deliveries/{uuid4()}/replay")).status == 404


async def test_pages_wait_for_a_person(call, pool):
    """Open pages are listed, acknowledged once, and gone then."""
    async with pool.acquire() as connection:
        await page(connection, "m-1", "look after it")
    [item] = (await call("GET", "/v1/pages", role=Role.OPERATOR)).json["items"]
    assert (item["matter"], item["text"]) == ("m-1", "look after it")
    path = f"/v1/pages/{item['page_id']}/acknowledge"
    assert (await call("POST", path, role=Role.VIEWER)).status == 403
    assert (await call("POST", path, role=Role.OPERATOR)).json["acknowledged_by"] == "operator"
    assert (await call("POST", path, role=Role.OPERATOR)).status == 404
    assert (await call("GET", "/v1/pages")).json["items"] == []


async def test_many_pages_come_in_parts(call, pool):
    """A storm of pages is one answer after the other, oldest first, none twice."""
    async with pool.acquire() as connection:
        for number in range(5):
            await page(connection, f"m-{number}", "look after it")
    found, path = [], "/v1/pages?limit=2"
    while path:
        answer = (await call("GET", path)).json
        found.append([item["matter"] for item in answer["items"]])
        path = answer["next_cursor"] and f"/v1/pages?limit=2&cursor={answer['next_cursor']}"
    assert found == [["m-0", "m-1"], ["m-2", "m-3"], ["m-4"]]
    assert (await call("GET", f"/v1/pages?cursor={2**63}")).status == 422
