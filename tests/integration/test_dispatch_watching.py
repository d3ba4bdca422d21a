"""What a person looks at and does about partners: health, who may still show a child, sending again."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from dispatch_ground import GHENT, NAME, Ground, add_recipient
from dispatch_http import PARTNER, become_active, client_of

from services.dispatch.campaigns import campaign_alert
from services.dispatch.health import condition
from services.dispatch.lanes import page_late_withdrawals
from services.kernel.principals import Role


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


async def attempted(ground, recipient, revision=1, status=200, error_class=None):
    """As the sender records an attempt at something that arrived, this time or before."""
    alert = campaign_alert(ground.campaign)
    delivery = await ground.pool.fetchval(
        "update dispatch.delivery set state = 'delivered', attempts = attempts + 1, finished_at = clock_timestamp()"
        " where alert_id = $1 and recipient_id = $2 and revision = $3 returning delivery_id",
        alert,
        recipient,
        revision,
    )
    await ground.pool.execute(
        "insert into dispatch.attempt (delivery_id, fence, owner, started_at, ended_at, status, error_class, head)"
        " values ($1, 1, 'w', clock_timestamp() - interval '80 milliseconds', clock_timestamp(), $2, $3, $4)",
        delivery,
        status,
        error_class,
        '{"box": "sealed head"}',
    )
    await ground.pool.execute("update dispatch.lane set due_at = null where recipient_id = $1", recipient)
    return delivery


async def lit(ground, recipient):
    await ground.release()
    await ground.replay()
    await attempted(ground, recipient)


async def ended(ground):
    await ground.end()
    await ground.replay()


async def still(call, query=""):
    return (await call("GET", f"/v1/may-still-show{query}", role=Role.OPERATOR)).json["items"]


def receipt(ground, revision, state):
    alert = str(campaign_alert(ground.campaign))
    at = datetime.now(UTC).isoformat()
    return {"alert_id": alert, "revision": revision, "state": state, "screens": 3, "at": at}


async def test_health_of_a_partner_that_does_well(call, ground, partner):
    """Answers and their times, the last receipt and the last poll; nothing waits, nobody may still show anything."""
    recipient = UUID(partner["partner_id"])
    await lit(ground, recipient)
    await call("POST", "/v1/receipts", receipt(ground, 1, "displayed"), token=partner["token"])
    await call("GET", "/v1/partner/state", token=partner["token"])
    path = f"/v1/partners/{recipient}/health"
    seen = (await call("GET", path, role=Role.OPERATOR)).json
    assert (seen["condition"], seen["state"], seen["breaker"]["state"]) == ("ok", "active", "closed")
    assert (seen["answers"]["attempts"], seen["answers"]["accepted"]) == (1, 1)
    assert 50 <= seen["answers"]["p50_ms"] <= seen["answers"]["p99_ms"] < 5000
    assert (seen["failures"], seen["open_withdrawals"]) == ({}, [])
    assert seen["waiting"] == {"appeals": 0, "withdrawals": 0, "oldest": None}
    assert (seen["last_receipt"]["state"], seen["last_receipt"]["screens"]) == ("displayed", 3)
    assert seen["last_success_at"] is not None
    assert seen["last_poll_at"] is not None
    assert (await call("GET", path, role=Role.VIEWER)).status == 403
    assert (await call("GET", path, token=partner["token"])).status == 403
    assert (await call("GET", f"/v1/partners/{uuid4()}/health")).status == 404


async def test_health_of_a_partner_that_does_badly(call, ground, partner):
    """Failures by class without those that are ours, an open breaker, a withdrawal that waits."""
    recipient = UUID(partner["partner_id"])
    await lit(ground, recipient)
    for error_class in ("timeout", "timeout", "tls", "superseded", "vault_away"):
        await attempted(ground, recipient, status=None, error_class=error_class)
    await ended(ground)
    await ground.pool.execute(
        "insert into dispatch.breaker (recipient_id, failures, total, failed, is_open, probe_at, probe_s)"
        " values ($1, 5, 5, 5, true, clock_timestamp(), 30)",
        recipient,
    )
    seen = (await call("GET", f"/v1/partners/{recipient}/health")).json
    assert (seen["condition"], seen["breaker"]["state"]) == ("away", "open")
    assert seen["failures"] == {"timeout": 2, "tls": 1}
    assert (seen["waiting"]["withdrawals"], len(seen["open_withdrawals"])) == (1, 1)
    assert seen["answers"]["p50_ms"] is not None


@pytest.mark.parametrize(
    ("state", "breaker", "renewal", "unanswered", "word"),
    [
        ("active", None, None, 0, "ok"),
        ("active", None, {"failures": 0}, 0, "ok"),
        ("active", None, {"failures": 1}, 0, "failing"),
        ("active", None, None, 1, "failing"),
        ("active", {"is_open": False}, None, 0, "failing"),
        ("active", {"is_open": True}, None, 0, "away"),
        ("paused", {"is_open": True}, None, 1, "paused"),
        ("unverified", None, None, 0, "unverified"),
    ],
)
def test_condition_in_one_word(state, breaker, renewal, unanswered, word):
    """The worst that is known decides; a partner that gets nothing is what its state says."""
    assert condition(state, breaker, renewal, unanswered=unanswered) == word


async def test_may_still_show_until_the_removal_is_confirmed(call, ground, partner):
    """Whoever had the alert is on the list, also after a 2xx, until its receipt; whoever never had it is not."""
    recipient = UUID(partner["partner_id"])
    await add_recipient(ground.pool, name="Never reached")
    await lit(ground, recipient)
    assert await still(call) == []
    await ended(ground)
    [one] = await still(call)
    assert (one["name"], one["reason"], one["contact"]) == ("Screens Ltd", "unanswered", "desk")
    assert one["lease_over"] is False
    since, dark = (datetime.fromisoformat(one[name]) for name in ("since", "dark_by"))
    assert 1800 <= (dark - since).total_seconds() <= 1830
    await attempted(ground, recipient, revision=2)
    assert [one["reason"] for one in await still(call)] == ["unconfirmed"]
    assert len(await still(call, f"?alert={campaign_alert(ground.campaign)}&recipient={recipient}")) == 1
    assert await still(call, f"?alert={uuid4()}") == []
    await call("POST", "/v1/receipts", receipt(ground, 2, "removed"), token=partner["token"])
    assert await still(call) == []
    assert (await call("GET", "/v1/may-still-show", role=Role.VIEWER)).status == 403


async def test_removal_of_before_the_withdrawal_confirms_nothing(call, ground, partner):
    """A receipt for the shown revision counts when it comes after the withdrawal, not when it came before."""
    recipient = UUID(partner["partner_id"])
    await lit(ground, recipient)
    await call("POST", "/v1/receipts", receipt(ground, 1, "removed"), token=partner["token"])
    await ended(ground)
    assert len(await still(call)) == 1
    await ground.pool.execute("update dispatch.receipt set recorded_at = clock_timestamp()")
    assert await still(call) == []


async def test_unconfirmed_removal_is_listed_for_a_day_an_unanswered_one_for_ever(call, ground, partner):
    """Not every partner sends receipts; one that never took the withdrawal is another matter."""
    recipient = UUID(partner["partner_id"])
    await lit(ground, recipient)
    await ended(ground)
    await ground.pool.execute("update dispatch.delivery set created_at = created_at - interval '25 hours'")
    assert [(one["reason"], one["lease_over"]) for one in await still(call)] == [("unanswered", True)]
    await attempted(ground, recipient, revision=2)
    assert await still(call) == []


async def test_partner_that_shows_it_again_is_off_the_list(call, ground, partner):
    """A withdrawal of its own that a newer revision followed, after a pause, is nothing to call about."""
    recipient = UUID(partner["partner_id"])
    await lit(ground, recipient)
    await call("PATCH", f"/v1/partners/{recipient}", {"areas": [GHENT]})
    assert len(await still(call)) == 1
    await call("PATCH", f"/v1/partners/{recipient}", {"areas": PARTNER["areas"]})
    assert await still(call) == []


async def test_person_is_paged_with_those_who_could_have_shown_it(ground, partner):
    """After five minutes without an answer; a partner that was never reached and never polled is not among them."""
    recipient = UUID(partner["partner_id"])
    never = await add_recipient(ground.pool, name="Never reached")
    await lit(ground, recipient)
    await ended(ground)
    await ground.pool.execute("update dispatch.delivery set created_at = created_at - interval '6 minutes'")
    await page_late_withdrawals(ground.pool)
    text = await ground.pool.fetchval("select text from kernel.page where matter like 'may-still-show:%'")
    assert "Screens Ltd" in text
    assert "Never reached" not in text
    await ground.pool.execute("delete from kernel.page")
    await ground.pool.execute("insert into dispatch.poll values ($1, clock_timestamp())", never)
    await page_late_withdrawals(ground.pool)
    text = await ground.pool.fetchval("select text from kernel.page where matter like 'may-still-show:%'")
    assert "Never reached" in text


async def test_alert_is_replayed_to_everybody_in_its_newest_revision(call, ground, partner):
    """Every head goes out again under its own id, whoever is paused is named; after the end only withdrawals go."""
    recipient = UUID(partner["partner_id"])
    paused = await add_recipient(ground.pool)
    await lit(ground, recipient)
    await ground.update()
    await ground.replay()
    head = await attempted(ground, recipient, revision=2)
    await ground.pool.execute(
        "update dispatch.recipient set state = 'paused' where recipient_id = $1", paused
    )
    path = f"/v1/alerts/{campaign_alert(ground.campaign)}/replay"
    assert (await call("POST", path, role=Role.OPERATOR)).status == 403
    answer = await call("POST", path, role=Role.COORDINATOR, key="k-1")
    assert (answer.status, answer.json["replayed"]) == (202, [str(head)])
    assert [(one["recipient"], one["rule"]) for one in answer.json["skipped"]] == [
        (str(paused), "recipient-not-active")
    ]
    rows = await ground.deliveries(recipient_id=recipient)
    assert [row["state"] for row in rows] == ["delivered", "pending"]
    assert await ground.pool.fetchval(
        "select due_at is not null from dispatch.lane where recipient_id = $1", recipient
    )
    again = await call("POST", path, role=Role.COORDINATOR, key="k-1")
    assert again.headers["idempotency-replayed"] == "true"
    await ground.end()
    assert (await call("POST", path)).json["replayed"] == []
    await ground.replay()
    answer = (await call("POST", path)).json
    assert (len(answer["replayed"]), answer["skipped"]) == (2, [])
    assert {row["content"] for row in await ground.deliveries(state="pending")} == {"withdrawn"}
    assert (await call("POST", f"/v1/alerts/{uuid4()}/replay")).status == 404


async def test_partner_that_lost_its_memory_gets_what_is_lit_and_what_went_dark_lately(call, ground, partner):
    """The heads of its lanes alone, of nobody else; withdrawals of the last two days, nothing older."""
    recipient = UUID(partner["partner_id"])
    other = await add_recipient(ground.pool)
    await lit(ground, recipient)
    await ended(ground)
    await attempted(ground, recipient, revision=2)
    first, ground.campaign, ground.case = ground.campaign, uuid4(), uuid4()
    await lit(ground, recipient)
    await ground.pool.execute(
        "update dispatch.delivery set state = 'delivered' where recipient_id = $1", other
    )
    path = f"/v1/partners/{recipient}/replay"
    assert len((await call("POST", path, role=Role.COORDINATOR)).json["replayed"]) == 2
    pending = {(row["alert_id"], row["content"]) for row in await ground.deliveries(state="pending")}
    assert pending == {(campaign_alert(first), "withdrawn"), (campaign_alert(ground.campaign), "issued")}
    assert await ground.deliveries(recipient_id=other, state="pending") == []
    await ground.pool.execute(
        "update dispatch.alert_revision set created_at = created_at - interval '49 hours'"
    )
    assert len((await call("POST", path)).json["replayed"]) == 1
    assert (await call("POST", f"/v1/partners/{uuid4()}/replay")).status == 404


async def test_delivery_log_shows_attempts_and_no_content(call, ground, partner):
    """When, status, class and duration of each attempt; neither what was sent nor what was answered."""
    recipient = UUID(partner["partner_id"])
    await lit(ground, recipient)
    answer = await call("GET", f"/v1/deliveries?recipient={recipient}", role=Role.VIEWER)
    [shown] = answer.json["items"]
    [attempt] = shown["attempts"]
    assert set(attempt) == {"at", "status", "error_class", "took_ms"}
    assert 50 <= attempt["took_ms"] < 60_000
    for path in (
        f"/v1/deliveries?recipient={recipient}",
        f"/v1/alerts/{campaign_alert(ground.campaign)}",
        f"/v1/partners/{recipient}/health",
        "/v1/may-still-show",
    ):
        text = (await call("GET", path)).body.decode()
        for secret in (NAME, "sealed head", "whsec_", "red coat", partner["token"]):
            assert secret not in text


async def test_delivery_log_stays_small_however_often_was_tried(call, ground, partner):
    """A withdrawal is tried for ever: the newest attempts are shown, the others counted."""
    recipient = UUID(partner["partner_id"])
    await lit(ground, recipient)
    await ground.pool.execute(
        "insert into dispatch.attempt (delivery_id, fence, owner, status)"
        " select delivery_id, n, 'w', 400 + n from dispatch.delivery, generate_series(1, 70) n"
    )
    await ground.pool.execute("update dispatch.delivery set attempts = 71")
    [shown] = (await call("GET", f"/v1/deliveries?recipient={recipient}")).json["items"]
    assert [one["status"] for one in shown["attempts"]] == list(range(421, 471))
    assert shown["attempt_count"] == 71
