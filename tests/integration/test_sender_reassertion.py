"""What is newest is sent again where something older may arrive after it: until then a display may show what is over."""

import asyncio
import itertools
from datetime import timedelta

import asyncpg
import pytest
from sender_ground import Ground, accept, answering, hang, partners, recording, sending, until

from services.dispatch.auditor import audit, verify
from services.dispatch.healing import heal
from services.dispatch.lanes import sweep
from services.dispatch.outcomes import Fate, Outcome
from services.dispatch.publish import Publisher
from services.dispatch.recorder import Recorder, Result
from services.dispatch.sender import Sender

LINGER = timedelta(minutes=10)
NOW = "update dispatch.lane set due_at = clock_timestamp() where due_at is not null"
EARLIER = (
    "update dispatch.attempt set started_at = started_at - make_interval(secs => $1)",
    "update dispatch.lane set reassert_at = reassert_at - make_interval(secs => $1)",
    "update dispatch.lane set due_at = due_at - make_interval(secs => $1)",
)
LEASE_OVER = (
    "update dispatch.lane set lease_until = clock_timestamp() - interval '1 hour' where owner is not null"
)


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


@pytest.fixture
def publisher(pool, vault, settings):
    return Publisher(pool, vault, settings)


async def overtaken(ground, sender, content):
    """An attempt whose sender loses its lane while its request is on its way; the newer revision is accepted meanwhile.

    Returns the alert, the claim of the newer one, and what the older attempt would report.
    """
    [older] = await sender.claim()
    alert = ground.alerts[older.alert_id]
    result = await sender.attempt(older, await ground.key(alert))
    await ground.pool.execute(LEASE_OVER)
    await ground.revise(alert, content)
    [newer] = await sender.claim()
    await sender.deliver(newer, None if newer.withdrawal else await ground.key(alert))
    return alert, newer, result


async def again(ground, sender, alert):
    """What is due of an alert is sent now, as if the time until then had passed; how many seconds that would have been."""
    wait = (await ground.lane(alert))["due_in"]
    assert wait is not None
    for moment in EARLIER:
        await ground.pool.execute(moment, max(wait, 0.0))
    [claim] = await sender.claim()
    await sender.deliver(claim, None if claim.withdrawal else await ground.key(alert))
    return wait


@pytest.mark.parametrize("content", ["withdrawn", "updated"])
async def test_newest_goes_out_again_while_nobody_says_how_an_older_attempt_ended(ground, sender, content):
    """The sender of an older request dies after its bytes arrived, later than the newest: the partner ends with the newest."""
    async with partners() as [partner], recording(sender):
        await ground.alert([await ground.recipient(partner.url)])
        alert, newer, _never_reported = await overtaken(ground, sender, content)
        partner.seen.append(partner.seen[0])  # the network gave it to the partner only now
        lease = ground.settings.lease_s
        waits = []
        while (await ground.lane(alert))["due_at"] is not None:
            waits.append(await again(ground, sender, alert))
            assert partner.seen[-1].revision == newer.revision
            assert partner.seen[-1].headers["webhook-id"] == newer.message_id
        assert [round(wait / lease) for wait in waits] == [1, 1, 2]
        assert (await ground.attempts(alert))[0]["ended_at"] is None


@pytest.mark.parametrize("content", ["withdrawn", "updated"])
async def test_newest_goes_out_again_at_once_when_an_older_attempt_reports_after_it(
    ground, sender, pool, publisher, content
):
    """A late 2xx of an older revision pages nobody: the newest is sent again, and the auditor sees it healed."""
    async with partners() as [partner], recording(sender):
        await ground.alert([await ground.recipient(partner.url)])
        alert, newer, late = await overtaken(ground, sender, content)
        await pool.execute("update dispatch.lane set due_at = null, reassert_at = null, withdrawal = false")
        await sender.recorder.record(late)
        assert [f.rule for f in await audit(pool, LINGER)] == []  # it is on its way
        assert await again(ground, sender, alert) <= 0
        assert [seen.revision for seen in partner.seen] == [1, 2, 2]
        assert partner.seen[2].headers["webhook-id"] == newer.message_id
        assert await verify(pool, LINGER) == []
        assert (await ground.lane(alert))["due_at"] is None


async def test_newest_goes_out_again_after_an_attempt_that_may_have_arrived(ground, sender):
    """A timeout may have arrived late: once its lease has passed, what was accepted is sent once more, and no more."""
    async with partners(2) as receivers, sending(sender):
        alerts = []
        for partner in receivers:
            partner.behaviour = hang
            alerts.append(await ground.alert([await ground.recipient(partner.url)]))
        for partner in receivers:
            await partner.until(lambda seen: len(seen) == 1)
            partner.behaviour = accept
        for alert, content in zip(alerts, ("withdrawn", "updated"), strict=True):
            await ground.revise(alert, content)
        for partner, alert in zip(receivers, alerts, strict=True):
            await partner.until(lambda seen: len(seen) == 3)

            async def rests(alert=alert):
                return (await ground.lane(alert))["due_at"] is None

            await until(rests)
            assert [seen.revision for seen in partner.seen] == [1, 2, 2]
            issued, *newer = await ground.attempts(alert)
            assert issued["error_class"] == "timeout"
            assert newer[1]["started_at"] - issued["started_at"] >= timedelta(seconds=ground.settings.lease_s)


async def test_appeal_is_not_asserted_again_once_it_is_stopped_paused_or_over(ground, sender, pool):
    """Sending again is sending: stop, pause and end hold it back, and nothing is left waiting when it is over."""
    async with partners() as [partner], recording(sender):
        recipient = await ground.recipient(partner.url)
        await ground.alert([recipient], timedelta(hours=1))
        alert, _, late = await overtaken(ground, sender, "updated")
        await sender.recorder.record(late)
        await pool.execute("update dispatch.recipient set state = 'paused'")
        assert await sender.claim() == []
        await pool.execute("update dispatch.recipient set state = 'active'")
        await ground.stop(alert)
        [claim] = await sender.claim()
        await sender.deliver(claim, await ground.key(alert))
        await pool.execute(NOW)
        await pool.execute("update dispatch.alert_revision set expires_at = clock_timestamp()")
        assert await sender.claim() == []
        assert await sweep(pool) == 1
        assert (await ground.lane(alert))["due_at"] is None
        assert [seen.revision for seen in partner.seen] == [1, 2]
        assert await ground.states(alert) == [(1, "superseded"), (2, "delivered")]


async def test_update_in_back_off_is_not_hurried_by_a_late_report(ground, sender, pool):
    """What waits for its next try comes after the older one anyway; a partner that is overloaded is not pressed."""
    async with partners() as [partner], recording(sender):
        await ground.alert([await ground.recipient(partner.url)])
        partner.behaviour = answering(429, **{"Retry-After": "200"})
        [older] = await sender.claim()
        alert = ground.alerts[older.alert_id]
        late = Result(older, Outcome(Fate.DELIVERED), status=200)
        await pool.execute(LEASE_OVER)
        await ground.revise(alert, "updated")
        [newer] = await sender.claim()
        await sender.deliver(newer, await ground.key(alert))
        await sender.recorder.record(late)
        assert (await ground.lane(alert))["due_in"] > 150


async def test_partner_that_is_gone_is_not_asked_again_and_again(ground, sender, pool):
    """410 to what is sent once more ends it, as it ends a delivery; a person is told."""
    async with partners() as [partner], recording(sender):
        await ground.alert([await ground.recipient(partner.url)])
        alert, _, late = await overtaken(ground, sender, "updated")
        await sender.recorder.record(late)
        partner.behaviour = answering(410)
        await again(ground, sender, alert)
        assert (await ground.lane(alert))["due_at"] is None
        assert await ground.matters() == ["partner-gone"]


async def test_auditor_sends_the_newest_again_and_pages_when_that_fails(ground, sender, pool, publisher):
    """An older revision that was accepted last is healed by itself; if the partner does not take the newest, a person is told."""
    async with partners() as [partner], recording(sender):
        await ground.alert([await ground.recipient(partner.url)])
        alert, _, late = await overtaken(ground, sender, "updated")
        await sender.recorder.record(late)
        await pool.execute("update dispatch.lane set due_at = null, reassert_at = null, withdrawal = false")
        [finding] = await audit(pool, LINGER)
        assert finding.rule == "order"
        assert await heal(publisher, [finding]) == []
        partner.behaviour = answering(500)
        await again(ground, sender, alert)
        assert await audit(pool, LINGER) == []  # there is time
        await pool.execute(
            "update dispatch.attempt set ended_at = ended_at - interval '3 minutes' where status between 200 and 299"
        )
        [finding] = await audit(pool, LINGER)
        assert await heal(publisher, [finding]) == [finding]
        partner.behaviour = accept
        await again(ground, sender, alert)
        assert await verify(pool, LINGER) == []


async def test_late_report_is_kept_while_the_database_is_away(ground, sender, pool, monkeypatch):
    """Longer than a lease too: a sender that was stopped must not forget that its request arrived late."""
    monkeypatch.setattr("services.dispatch.recorder._AGAIN_S", 0.01)
    async with partners() as [partner], recording(sender):
        await ground.alert([await ground.recipient(partner.url)])
        alert, _, late = await overtaken(ground, sender, "withdrawn")
        await pool.execute("update dispatch.lane set due_at = null, reassert_at = null, withdrawal = false")
        recorder = Recorder(pool, lease_s=0.05)
        write, tries = recorder.write, itertools.count()

        async def away(connection, results):
            if next(tries) < 20:
                raise asyncpg.ConnectionDoesNotExistError("the server ended it")
            await write(connection, results)

        monkeypatch.setattr(recorder, "write", away)
        writing = asyncio.create_task(recorder.run())
        try:
            await recorder.record(late)
        finally:
            writing.cancel()
        assert (await ground.lane(alert))["due_in"] <= 0
