"""The sender against real partners on loopback and a real PostgreSQL."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from sender_ground import Ground, accept, answering, free_port, partners, recording, sending, until

from schemas.vocabulary import Mode
from services.dispatch.lanes import claim as claim_lanes
from services.dispatch.lanes import page_late_withdrawals, sweep
from services.dispatch.outcomes import Fate, Outcome
from services.dispatch.recorder import Result
from services.dispatch.sender import Sender
from services.eventlog.store import (
    Append,
    Cause,
    NewEvent,
    alert_stream,
    append,
    delivery_stream,
    read_stream,
)
from services.kernel.paging import acknowledge, open_pages
from services.kernel.postgres import AWAY, create_pool
from services.kernel.vault import Vault, ring_of


@pytest.fixture
def fast(settings):
    """Short times, so that what is to happen happens within the test."""
    return settings.model_copy(update={"delivery_timeout_s": 1.0, "lease_s": 4.0})


@pytest.fixture
def ground(pool, vault, fast):
    return Ground(pool, vault, fast)


@pytest.fixture
async def sender(pool, vault, fast):
    return Sender(pool, vault, fast)


async def delivered(ground, alert, revision=1):
    async def holds():
        return (revision, "delivered") in await ground.states(alert)

    await until(holds)


async def test_delivery_is_signed_recorded_and_told(ground, sender, pool):
    """A 2xx makes the delivery delivered; the body is the frozen one, signed by both secrets; the log tells it."""
    async with partners() as [partner], sending(sender):
        recipient = await ground.recipient(partner.url, rotating=True)
        alert = await ground.alert([recipient])
        await delivered(ground, alert)
        [seen] = partner.seen
        ground.check(recipient, seen)
        assert seen.headers["webhook-signature"].count("v1,") == 2
        assert seen.headers["content-type"] == "application/json"
        assert seen.headers["user-agent"].startswith("zoeklicht/")
        lane = await ground.lane(alert)
        assert (lane["due_at"], lane["owner"], lane["fence"]) == (None, None, 1)
        [attempt] = await ground.attempts(alert)
        assert (attempt["status"], attempt["error_class"]) == (202, None)
        [event] = await read_stream(pool, delivery_stream(alert.alert_id, recipient))
        assert event.type == "delivery.delivered.v1"
        assert event.subject == str(alert.case_id)
        assert event.cause == Cause("sender", str(alert.alert_id), mode=Mode.ACTUAL)


async def test_three_hanging_partners_delay_nobody(pool, vault, settings):
    """With 3 of 31 partners hanging, the other 28 have all their alerts before the first of them times out."""
    settings = settings.model_copy(update={"delivery_timeout_s": 60.0, "lease_s": 180.0})
    ground, end = Ground(pool, vault, settings), asyncio.Event()

    async def hang_until_the_end(request):
        await end.wait()
        return await accept(request)

    async with partners(31) as receivers:
        for receiver in receivers[:3]:
            receiver.behaviour = hang_until_the_end
        recipients = [await ground.recipient(receiver.url) for receiver in receivers]
        for _ in range(4):
            await ground.alert(recipients)
        async with sending(Sender(pool, vault, settings)):
            async with asyncio.timeout(settings.delivery_timeout_s - 5):
                for receiver in receivers[3:]:
                    await receiver.until(lambda seen: len(seen) == 4)
            # all but the slot that is kept for withdrawals
            assert [len(receiver.seen) for receiver in receivers[:3]] == [3, 3, 3]
            end.set()


async def test_cap_holds_and_keeps_a_slot_for_withdrawals(ground, sender, pool):
    """A partner has at most its cap in flight, the last slot only for a withdrawal, over several senders too."""
    async with partners() as [partner], recording(sender):
        recipient = await ground.recipient(partner.url, cap=4)
        alerts = [await ground.alert([recipient]) for _ in range(6)]
        other = Sender(pool, ground.vault, ground.settings)
        claims = await asyncio.gather(sender.claim(), other.claim())
        assert sum(map(len, claims)) == 3
        assert await sender.claim() == []
        await ground.revise(alerts[5], "withdrawn")
        await ground.revise(alerts[4], "withdrawn")
        [withdrawal] = await sender.claim()
        assert withdrawal.content == "withdrawn"
        await other.transport.close()


async def test_claims_count_what_another_is_just_claiming(ground, sender, pool):
    """A claim waits for one that is not committed yet, and counts it: the cap holds whatever the two choose."""
    recipient = await ground.recipient(f"http://127.0.0.1:{free_port()}/hook", cap=4)
    alerts = [await ground.alert([recipient]) for _ in range(6)]
    async with recording(sender), pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        first = await claim_lanes(other, "another", 4, lambda: 0.0, most=64, most_withdrawals=64)
        for alert in alerts:
            if alert.alert_id not in {one.alert_id for one in first}:
                await ground.revise(alert, "withdrawn")
        second = asyncio.create_task(sender.claim())

        async def waits_or_is_done():
            waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
            return second.done() or bool(await pool.fetchval(waiting))

        await until(waits_or_is_done)
        await transaction.commit()
        assert (len(first), len(await second)) == (3, 1)


async def test_claim_takes_withdrawals_first(ground, sender):
    """Whatever is due longer, a withdrawal is claimed before it."""
    async with partners() as [partner], recording(sender):
        recipient = await ground.recipient(partner.url)
        alerts = [await ground.alert([recipient]) for _ in range(3)]
        await ground.revise(alerts[2], "withdrawn")
        [first] = await sender.claim(1)
        assert (first.alert_id, first.content) == (alerts[2].alert_id, "withdrawn")


async def test_newest_revision_wins(ground, sender):
    """A newer revision supersedes the waiting older one, which never starts afterwards."""
    async with partners() as [partner]:
        partner.behaviour = answering(500)
        alert = await ground.alert([await ground.recipient(partner.url)])
        async with sending(sender):
            await partner.until(lambda seen: len(seen) >= 2)
            partner.behaviour = accept
            await ground.revise(alert, "updated")
            await delivered(ground, alert, 2)
        revisions = [seen.revision for seen in partner.seen]
        assert revisions == sorted(revisions)
        assert await ground.states(alert) == [(1, "superseded"), (2, "delivered")]
        assert len({seen.headers["webhook-id"] for seen in partner.seen if seen.revision == 1}) == 1


async def test_claimed_revision_is_not_sent_once_it_is_superseded(ground, sender):
    """The last look sees a revision that was published after the claim: the older one does not start."""
    async with partners() as [partner], recording(sender):
        alert = await ground.alert([await ground.recipient(partner.url)])
        [claim] = await sender.claim()
        await ground.revise(alert, "updated")
        await sender.deliver(claim, await ground.key(alert))
        assert partner.seen == []
        assert [a["error_class"] for a in await ground.attempts(alert)] == ["superseded"]
        [claim] = await sender.claim()
        await sender.deliver(claim, await ground.key(alert))
        assert [seen.revision for seen in partner.seen] == [2]


async def test_stopped_campaign_is_not_sent(ground, sender):
    """A campaign that ended in the event store is not sent any more, though nobody has published the withdrawal yet."""
    async with partners() as [partner], recording(sender):
        alert = await ground.alert([await ground.recipient(partner.url)])
        [claim] = await sender.claim()
        await ground.stop(alert)
        await sender.deliver(claim, await ground.key(alert))
        assert partner.seen == []
        assert await ground.states(alert) == [(1, "pending")]
        assert 0 < (await ground.lane(alert))["due_in"] <= 1
        await ground.revise(alert, "withdrawn")
        [claim] = await sender.claim()
        await sender.deliver(claim, None)
        assert [seen.type for seen in partner.seen] == ["alert.withdrawn"]


async def test_stopped_case_darkens_its_standby_only(ground, sender):
    """A stop of the case holds back a standby that rests on an older version, not a campaign of that case."""
    async with partners() as [partner], recording(sender):
        recipient = await ground.recipient(partner.url)
        standby = await ground.alert([recipient], kind="standby")
        campaign = await ground.alert([recipient])
        for alert in (standby, campaign):
            await ground.stop(alert, "case")
        for claim in await sender.claim():
            alert = standby if claim.alert_id == standby.alert_id else campaign
            await sender.deliver(claim, await ground.key(alert))
        assert await ground.states(standby) == [(1, "pending")]
        assert await ground.states(campaign) == [(1, "delivered")]


async def test_short_lease_is_not_used(pool, vault, fast, ground):
    """A worker that was stopped until its lease is nearly over sends nothing, though the table still says it holds it."""
    now = [100.0]
    sender = Sender(pool, vault, fast, now_s=lambda: now[0])
    async with partners() as [partner], recording(sender):
        alert = await ground.alert([await ground.recipient(partner.url)])
        [claim] = await sender.claim()
        now[0] += 2.1
        await sender.deliver(claim, await ground.key(alert))
        assert partner.seen == []
        assert [a["error_class"] for a in await ground.attempts(alert)] == ["lease_short"]
        lane = await ground.lane(alert)
        assert (lane["owner"], lane["failures"]) == (None, 0)


async def test_lost_fence_changes_nothing_but_its_attempt(pool, ground, sender):
    """Who lost the lane sends nothing, and what it reports of an earlier attempt does not touch the delivery."""
    async with partners() as [partner], recording(sender):
        alert = await ground.alert([await ground.recipient(partner.url)])
        [old] = await sender.claim()
        result = await sender.attempt(old, await ground.key(alert))
        await pool.execute("update dispatch.lane set lease_until = clock_timestamp() - interval '1 second'")
        [new] = await sender.claim()
        assert new.fence == old.fence + 1
        await sender.recorder.record(result)
        assert await ground.states(alert) == [(1, "pending")]
        assert (await ground.lane(alert))["owner"] == sender.owner
        await sender.deliver(old, await ground.key(alert))
        assert len(partner.seen) == 1
        await sender.deliver(new, await ground.key(alert))
        assert await ground.states(alert) == [(1, "delivered")]
        assert len({seen.headers["webhook-id"] for seen in partner.seen}) == 1


async def test_expired_alert_is_not_sent_and_somebody_is_told(ground, sender, pool):
    """What has passed its end is marked and paged, not sent; a claim that outlives the end is not sent either."""
    async with partners() as [partner], recording(sender):
        recipient = await ground.recipient(partner.url)
        late, gone = (
            await ground.alert([recipient], timedelta(hours=1)),
            await ground.alert([recipient], timedelta()),
        )
        [claim] = await sender.claim()
        await pool.execute(
            "update dispatch.alert_revision set expires_at = clock_timestamp() where alert_id = $1",
            late.alert_id,
        )
        await sender.deliver(claim, await ground.key(late))
        assert await sweep(pool) == 1
        assert await ground.states(late) == await ground.states(gone) == [(1, "expired")]
        assert partner.seen == []
        assert await ground.matters() == ["expired", "expired"]
        assert await sender.claim() == []


async def test_withdrawal_goes_through_backoff(ground, sender):
    """A withdrawal does not wait for the back-off of what it replaces."""
    async with partners() as [partner], sending(sender):
        partner.behaviour = answering(503, **{"Retry-After": "200"})
        alert = await ground.alert([await ground.recipient(partner.url)])
        await partner.until(lambda seen: len(seen) == 1)

        async def waits():
            return ((await ground.lane(alert))["due_in"] or 0) > 190

        await until(waits)
        partner.behaviour = accept
        await ground.revise(alert, "withdrawn")
        await partner.until(lambda seen: len(seen) == 2)
        assert [seen.type for seen in partner.seen] == ["alert.issued", "alert.withdrawn"]


async def test_gone_is_held_and_paged(ground, sender, pool):
    """410 is never forgotten silently: the delivery is held, a person paged, the log tells it."""
    async with partners() as [partner], sending(sender):
        partner.behaviour = answering(410)
        recipient = await ground.recipient(partner.url)
        alert = await ground.alert([recipient])

        async def held():
            return await ground.states(alert) == [(1, "held")]

        await until(held)
        assert await ground.matters() == ["partner-gone"]
        [event] = await read_stream(pool, delivery_stream(alert.alert_id, recipient))
        assert event.data.error_class == "gone"
        assert len(partner.seen) == 1


@pytest.mark.parametrize(
    "expected",
    [
        (302, "redirect", 0, 0, []),
        (404, "refused", 299, 300, ["partner-refused"]),
        (500, "server_error", 0, 0, []),
    ],
)
async def test_failures_come_back_as_their_kind_wants(ground, sender, expected):
    """3xx is not followed; a 4xx is a bug in the contract, retried slowly and paged; a 5xx comes back at once."""
    status, error_class, least, most, matters = expected
    async with partners() as [partner], recording(sender):
        partner.behaviour = answering(status, Location="/elsewhere")
        alert = await ground.alert([await ground.recipient(partner.url)])
        [claim] = await sender.claim()
        await sender.deliver(claim, await ground.key(alert))
        assert [(a["status"], a["error_class"]) for a in await ground.attempts(alert)] == [
            (status, error_class)
        ]
        assert least - 1 <= (await ground.lane(alert))["due_in"] <= most
        assert await ground.matters() == matters
        assert len(partner.seen) == 1


async def test_withdrawal_answered_410_is_tried_for_ever(ground, sender):
    """A withdrawal is never held: it comes back every minute, and a person is paged."""
    async with partners() as [partner], recording(sender):
        partner.behaviour = answering(410)
        alert = await ground.alert([await ground.recipient(partner.url)])
        await ground.revise(alert, "withdrawn")
        [claim] = await sender.claim()
        await sender.deliver(claim, None)
        assert (2, "pending") in await ground.states(alert)
        assert 58 < (await ground.lane(alert))["due_in"] <= 60
        assert await ground.matters() == ["partner-gone"]


async def test_whoever_looks_after_a_partner_is_not_paged_at_every_try(ground, sender, pool):
    """What is tried again and again pages once; when it still fails an hour after somebody took it on, again."""
    async with partners() as [partner], recording(sender):
        partner.behaviour = answering(410)
        alert = await ground.alert([await ground.recipient(partner.url)])
        await ground.revise(alert, "withdrawn")

        async def tried():
            await pool.execute("update dispatch.lane set due_at = clock_timestamp()")
            [claim] = await sender.claim()
            await sender.deliver(claim, None)
            return [page.page_id for page in await open_pages(pool)]

        [first] = await tried()
        assert await tried() == [first]
        assert await acknowledge(pool, first, "ann")
        assert await tried() == []
        await pool.execute("update kernel.page set acknowledged_at = acknowledged_at - interval '61 minutes'")
        assert len(await tried()) == 1


async def test_erased_alert_is_held(ground, sender, vault):
    """An alert whose key is destroyed cannot be sent; its withdrawal can."""
    async with partners() as [partner], sending(sender):
        recipient = await ground.recipient(partner.url, state="paused")
        alert = await ground.alert([recipient])
        await vault.destroy([f"alert:{alert.alert_id}"])
        await ground.pool.execute("update dispatch.recipient set state = 'active'")

        async def held():
            return await ground.states(alert) == [(1, "held")]

        await until(held)
        assert [a["error_class"] for a in await ground.attempts(alert)] == ["erased"]
        await ground.revise(alert, "withdrawn")
        await delivered(ground, alert, 2)
        assert [seen.type for seen in partner.seen] == ["alert.withdrawn"]


async def test_paused_partner_gets_withdrawals_only(ground, sender):
    """What was shown must go dark even where nothing new is sent."""
    async with partners() as [partner], recording(sender):
        recipient = await ground.recipient(partner.url, state="paused")
        alert = await ground.alert([recipient])
        assert await sender.claim() == []
        await ground.revise(alert, "withdrawn")
        assert [c.content for c in await sender.claim()] == ["withdrawn"]


async def test_unacknowledged_withdrawal_pages_with_names(ground, pool):
    """After five minutes a person gets the list of those who may still show the child, until nobody may."""
    recipient = await ground.recipient(f"http://127.0.0.1:{free_port()}/hook")
    alert = await ground.alert([recipient])
    await pool.execute("update dispatch.delivery set attempts = 1")
    await ground.revise(alert, "withdrawn")
    await page_late_withdrawals(pool)
    assert await ground.matters() == []
    await pool.execute("update dispatch.delivery set created_at = clock_timestamp() - interval '5 minutes'")
    await page_late_withdrawals(pool)
    await page_late_withdrawals(pool)
    [row] = await pool.fetch("select text, times from kernel.page")
    assert row["times"] == 1
    assert f"Partner {recipient.hex[:6]} (desk)" in row["text"]
    await pool.execute("update dispatch.recipient set contact = 'night desk'")
    await page_late_withdrawals(pool)
    assert "(night desk)" in await pool.fetchval("select text from kernel.page")
    await pool.execute("update dispatch.delivery set state = 'delivered' where content = 'withdrawn'")
    await page_late_withdrawals(pool)
    assert await pool.fetchval("select closed_at is not null from kernel.page")


async def test_breaker_delays_and_recovers(ground, sender, pool):
    """Five failures open the breaker: only probes and withdrawals pass; a success brings 1, 2, 4 … back, at once."""
    async with partners() as [partner], recording(sender):
        partner.behaviour = answering(500)
        recipient = await ground.recipient(partner.url, cap=8)
        alerts = [await ground.alert([recipient]) for _ in range(9)]
        for claim in (await sender.claim())[:5]:
            await sender.deliver(
                claim, (await ground.vault.find([f"alert:{claim.alert_id}"]))[f"alert:{claim.alert_id}"]
            )
        await pool.execute("update dispatch.lane set owner = null, lease_until = null")
        assert await ground.matters() == ["partner-unreachable"]
        assert await sender.claim() == []
        await ground.revise(alerts[8], "withdrawn")
        assert [c.content for c in await sender.claim()] == ["withdrawn"]
        await pool.execute(
            "update dispatch.lane set owner = null, lease_until = null, due_at = null where withdrawal"
        )
        await pool.execute("update dispatch.breaker set probe_at = clock_timestamp()")
        [probe] = await sender.claim()
        assert await pool.fetchval("select probe_s from dispatch.breaker") > 15
        waiting = "update dispatch.lane set due_at = due_at + interval '1 hour' where due_at is not null and owner is null"
        await pool.execute(waiting)
        partner.behaviour = accept
        keys = await ground.vault.find([f"alert:{a.alert_id}" for a in alerts])
        await sender.deliver(probe, keys[f"alert:{probe.alert_id}"])
        assert await pool.fetchval("select closed_at is not null from kernel.page")
        assert not await pool.fetchval("select count(*) from dispatch.lane where due_at > clock_timestamp()")
        sizes = []
        while claims := await sender.claim():
            sizes.append(len(claims))
            for claim in claims:
                await sender.deliver(claim, keys[f"alert:{claim.alert_id}"])
        assert sizes[:2] == [1, 2]
        assert sum(sizes) == 7
        assert await pool.fetchval("select count(*) from dispatch.breaker") == 0


async def test_answer_head_is_kept_sealed(ground, sender):
    """The beginning of an answer is kept for people who mend things, and cannot be read in the table."""

    async def talkative(_request):
        from aiohttp import web

        return web.Response(status=400, text="the field called geheim is wrong " * 1000)

    async with partners() as [partner], recording(sender):
        partner.behaviour = talkative
        alert = await ground.alert([await ground.recipient(partner.url)])
        [claim] = await sender.claim()
        await sender.deliver(claim, await ground.key(alert))
        [attempt] = await ground.attempts(alert)
        assert attempt["size"] == 33_000
        assert "geheim" not in attempt["head"]
        assert len(attempt["head"]) < 8000


async def test_event_inherits_the_correlation_of_the_alert(ground, sender, pool):
    """What follows from an alert carries the correlation id of the alert's own events."""
    from schemas.events import AlertIssued
    from schemas.vocabulary import AlertKind

    async with partners() as [partner], recording(sender):
        recipient = await ground.recipient(partner.url)
        alert = await ground.alert([recipient])
        data = AlertIssued(
            alert_id=alert.alert_id, revision=1, kind=AlertKind.PUBLIC, recipients=1, displays=1
        )
        async with pool.acquire() as connection, connection.transaction():
            cause = Cause("dispatch", "call-7")
            await append(
                connection,
                [Append(alert_stream(alert.alert_id), str(alert.case_id), [NewEvent(data)], cause)],
            )
        [claim] = await sender.claim()
        await sender.deliver(claim, await ground.key(alert))
        [event] = await read_stream(pool, delivery_stream(alert.alert_id, recipient))
        assert event.cause.correlation_id == "call-7"


async def test_vault_that_is_away_holds_no_withdrawal_back(ground, sender, vault):
    """Withdrawals need no key: they go out while the vault is away; the rest goes out when it is back."""
    async with partners() as [partner], sending(sender):
        recipient = await ground.recipient(partner.url, state="paused")
        lit, ended = await ground.alert([recipient]), await ground.alert([recipient])
        sender._vault = Vault(await closed_pool(ground.settings), ring_of(ground.settings))
        await ground.pool.execute("update dispatch.recipient set state = 'active'")
        await ground.revise(ended, "withdrawn")
        await partner.until(lambda seen: len(seen) == 1)

        async def put_back():
            return "vault_away" in {a["error_class"] for a in await ground.attempts(lit)}

        await until(put_back)
        assert [seen.type for seen in partner.seen] == ["alert.withdrawn"]
        sender._vault = vault
        await delivered(ground, lit)
        assert await ground.matters() == []


async def closed_pool(settings):
    pool = await create_pool(settings.vault_url, size=1)
    await pool.close()
    return pool


async def test_slow_database_is_not_the_partners_fault(ground, sender, pool):
    """A last look that takes too long prevents sending, and neither counts against the partner nor as a failure."""
    async with partners() as [partner], recording(sender):
        alert = await ground.alert([await ground.recipient(partner.url)])
        [claim] = await sender.claim()
        async with pool.acquire() as blocker, blocker.transaction():
            await blocker.execute("lock table eventlog.stop in access exclusive mode")
            result = await sender.attempt(claim, await ground.key(alert))
        await sender.recorder.record(result)
        assert partner.seen == []
        assert [a["error_class"] for a in await ground.attempts(alert)] == ["look_timeout"]
        assert await pool.fetchval("select count(*) from dispatch.breaker") == 0
        assert (await ground.lane(alert))["failures"] == 0


async def test_secret_that_does_not_open_pages(ground, sender, pool):
    """A recipient whose secret cannot be opened gets nothing unsigned; a person is paged, nothing is lost."""
    async with partners() as [partner], recording(sender):
        one, other = await ground.recipient(partner.url), await ground.recipient(partner.url)
        await pool.execute(
            "update dispatch.recipient set secret = (select secret from dispatch.recipient where recipient_id = $2)"
            " where recipient_id = $1",
            one,
            other,
        )
        alert = await ground.alert([one])
        [claim] = await sender.claim()
        await sender.deliver(claim, await ground.key(alert))
        assert partner.seen == []
        assert await ground.matters() == ["partner-secret"]
        assert await ground.states(alert) == [(1, "pending")]


async def test_stalled_recorder_keeps_nobody_waiting(ground, sender, pool):
    """A sender that falls silent in the middle of recording loses its locks after two seconds."""
    async with partners() as [partner], recording(sender):
        alert = await ground.alert([await ground.recipient(partner.url)])
        [claim] = await sender.claim()
        result = await sender.attempt(claim, await ground.key(alert))
        async with pool.acquire() as stalled:
            transaction = stalled.transaction()
            await transaction.start()
            await sender.recorder.write(stalled, [result])
            async with asyncio.timeout(12):  # the server itself would end it after 15 s
                await ground.revise(alert, "withdrawn")
            with pytest.raises(AWAY):
                await transaction.commit()
        assert await ground.states(alert) == [(1, "superseded"), (2, "pending")]


async def test_result_that_cannot_be_written_does_not_harm_the_others(ground, sender):
    """Of a batch with one impossible result, the others are recorded; its lane waits for the end of its lease."""
    async with partners() as [partner], recording(sender):
        recipient = await ground.recipient(partner.url)
        good, bad = await ground.alert([recipient]), await ground.alert([recipient])
        claims = {claim.alert_id: claim for claim in await sender.claim()}
        results = [
            Result(claims[good.alert_id], Outcome(Fate.DELIVERED), status=200),
            Result(claims[bad.alert_id], Outcome(Fate.DELIVERED), status=200, head="not json"),
        ]
        ends = await asyncio.gather(*map(sender.recorder.record, results), return_exceptions=True)
        assert ends[0] is None
        assert isinstance(ends[1], asyncpg.PostgresError)
        assert await ground.states(good) == [(1, "delivered")]
        assert (await ground.lane(bad))["owner"] == sender.owner
