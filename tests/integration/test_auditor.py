"""The auditor finds every broken promise from the tables, and nothing where all hold."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sender_ground import Ground, accept, answering, partners, sending, until

from schemas.events import Appeal, CampaignEnded, CampaignReleased
from schemas.vocabulary import CampaignKind, EndReason, Origin
from services.dispatch import auditor_main
from services.dispatch.auditor import RULES, audit, counts, page_findings, verify
from services.dispatch.auditor_main import serve
from services.dispatch.sender import Sender
from services.eventlog.store import Append, Cause, NewEvent, append, campaign_stream, lock_streams
from services.kernel.paging import dead_man, open_pages
from services.kernel.service import Runtime

LINGER = timedelta(minutes=10)


@pytest.fixture
def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


async def rules(pool):
    return sorted({finding.rule for finding in await audit(pool, LINGER)})


async def tell(pool, campaign, case, data, *, origin=Origin.LIVE, ago=60):
    stream = campaign_stream(campaign)
    async with pool.acquire() as connection, connection.transaction():
        await lock_streams(connection, [stream])
        at = await connection.fetchval("select clock_timestamp() - make_interval(secs => $1)", ago)
        event = NewEvent(data, recorded_time=at)
        await append(connection, [Append(stream, str(case), [event], Cause("tester", "c-1", origin=origin))])


async def test_nothing_is_found_where_all_holds(ground, pool, vault, settings):
    """After deliveries, failures, updates and withdrawals of every kind the tables prove every promise."""
    async with partners(3) as receivers, sending(Sender(pool, vault, settings)):
        recipients = [await ground.recipient(one.url) for one in receivers]
        receivers[1].behaviour = answering(500)
        alerts = [await ground.alert(recipients) for _ in range(3)]
        await ground.revise(alerts[1], "updated")
        await receivers[1].until(lambda seen: len(seen) > 4)
        receivers[1].behaviour = accept
        for alert in alerts[:2]:
            await ground.revise(alert, "withdrawn")

        async def quiet():
            return not await pool.fetchval("select count(*) from dispatch.delivery where state = 'pending'")

        await pool.execute("update dispatch.lane set due_at = clock_timestamp() where due_at is not null")
        await pool.execute("update dispatch.breaker set probe_at = clock_timestamp()")
        await until(quiet)
    assert await verify(pool, LINGER) == []


async def test_forgotten_delivery_is_found(ground, pool):
    """A pending delivery whose lane is never due, or was due long ago, is found; one of a paused partner is not."""
    alert = await ground.alert([await ground.recipient("http://127.0.0.1:1/hook")])
    assert await rules(pool) == []
    await pool.execute("update dispatch.delivery set created_at = created_at - interval '1 hour'")
    assert await rules(pool) == []
    await pool.execute("update dispatch.lane set due_at = due_at - interval '1 hour'")
    assert await rules(pool) == ["forgotten"]
    await pool.execute("update dispatch.recipient set state = 'paused'")
    assert await rules(pool) == []
    await pool.execute("update dispatch.lane set due_at = null")
    assert await rules(pool) == ["forgotten"]
    assert (await ground.states(alert)) == [(1, "pending")]


async def test_long_past_lease_is_found(ground, pool):
    """A lease that ended long ago shows that no sender is at work."""
    await ground.alert([await ground.recipient("http://127.0.0.1:1/hook")])
    await pool.execute(
        "update dispatch.lane set owner = 'x', lease_until = clock_timestamp() - interval '90 seconds',"
        " due_at = clock_timestamp() - interval '90 seconds'"
    )
    assert await rules(pool) == ["lease"]


async def test_older_revision_accepted_after_a_newer_is_found(ground, pool):
    """The last accepted revision must be the highest; a withdrawal sent again heals it."""
    alert = await ground.alert([await ground.recipient("http://127.0.0.1:1/hook")])
    await ground.revise(alert, "withdrawn")
    await pool.execute("update dispatch.delivery set state = 'delivered' where state = 'pending'")
    accepted = (
        "insert into dispatch.attempt (delivery_id, fence, owner, status, ended_at) select delivery_id, 1, 'x', 200,"
        " clock_timestamp() from dispatch.delivery where revision = $1"
    )
    await pool.execute(accepted, 2)
    assert await rules(pool) == []
    await pool.execute(accepted, 1)
    assert await rules(pool) == ["order"]
    await pool.execute(accepted, 2)
    assert await rules(pool) == []


async def test_what_is_over_and_at_rest_is_proved_again_by_verify_alone(ground, pool):
    """Every minute it looks at what is lit or was tried in the last two days; `verify` at everything that is kept."""
    alert = await ground.alert([await ground.recipient("http://127.0.0.1:1/hook")])
    await ground.revise(alert, "withdrawn")
    await pool.execute("update dispatch.delivery set state = 'delivered' where state = 'pending'")
    await pool.execute(
        "insert into dispatch.attempt (delivery_id, fence, owner, status, started_at, ended_at)"
        " select delivery_id, 1, 'x', 200, now() - interval '3 days', now() - make_interval(days => 3, secs => revision)"
        " from dispatch.delivery"
    )
    assert await rules(pool) == ["order"]
    await pool.execute("update dispatch.alert_revision set created_at = now() - interval '3 days'")
    assert await rules(pool) == []
    assert [finding.rule for finding in await verify(pool, LINGER)] == ["order"]
    await pool.execute(
        "update dispatch.attempt set started_at = now() - interval '1 day' where attempt_id = 1"
    )
    assert await rules(pool) == ["order"]
    await pool.execute("update dispatch.attempt set started_at = now() - interval '3 days'")
    await pool.execute("update dispatch.alert set withdrawn = false, head_revision = 2")
    assert "order" in await rules(pool)


async def test_older_revision_that_still_waits_is_found(ground, pool):
    """A revision must not wait beside a newer one."""
    alert = await ground.alert([await ground.recipient("http://127.0.0.1:1/hook")])
    await ground.revise(alert, "updated")
    await pool.execute("update dispatch.delivery set state = 'pending'")
    assert await rules(pool) == ["overtaken"]


async def test_recipient_without_withdrawal_is_found(ground, pool):
    """Whoever was sent a withdrawn alert must have a withdrawal."""
    one, other = [await ground.recipient("http://127.0.0.1:1/hook") for _ in range(2)]
    alert = await ground.alert([one, other])
    await pool.execute("update dispatch.delivery set attempts = 1, state = 'delivered'")
    await ground.revise(alert, "withdrawn", [one])
    assert await rules(pool) == ["withdrawal_missing"]


async def test_wrong_head_is_found(ground, pool):
    """The alert's row must say what its newest revision is."""
    await ground.alert([await ground.recipient("http://127.0.0.1:1/hook")])
    await pool.execute("update dispatch.alert set head_revision = 7")
    assert await rules(pool) == ["head"]


async def test_release_without_alert_is_found(ground, pool):
    """A live release of half a minute ago must have its alert; an imported one never has."""
    campaign, case = uuid4(), uuid4()
    data = CampaignReleased(campaign_id=campaign, appeal=Appeal(kind=CampaignKind.PUBLIC, areas=("BE",)))
    await tell(pool, campaign, case, data, origin=Origin.IMPORT)
    await tell(pool, campaign, case, data, ago=1)
    assert await rules(pool) == []
    await tell(pool, campaign, case, data)
    assert await rules(pool) == ["released"]
    await pool.execute(
        "insert into dispatch.alert (alert_id, kind, case_id, campaign_id, mode, areas, head_revision, issued_at)"
        " values ($1, 'public', $2, $3, 'actual', '{BE}', 1, clock_timestamp())",
        uuid4(),
        case,
        campaign,
    )
    assert await rules(pool) == ["head", "unrevised"]


async def test_end_without_withdrawal_is_found(ground, pool):
    """An alert whose campaign ended half a minute ago must be withdrawn, by the event as by the stop."""
    alert = await ground.alert([await ground.recipient("http://127.0.0.1:1/hook")])
    data = CampaignEnded(campaign_id=alert.campaign_id, reason=EndReason.CHILD_FOUND)
    await tell(pool, alert.campaign_id, alert.case_id, data)
    await ground.stop(alert)
    assert await rules(pool) == ["ended"]
    await pool.execute("update eventlog.stop set stopped_at = stopped_at - interval '1 minute'")
    assert await rules(pool) == ["ended", "stopped"]
    await ground.revise(alert, "withdrawn")
    assert await rules(pool) == []


async def test_findings_page_once_per_rule(ground, pool):
    """A person is told which promise is broken and what to do, however often the auditor looks."""
    await ground.alert([await ground.recipient("http://127.0.0.1:1/hook") for _ in range(7)])
    await pool.execute("update dispatch.lane set due_at = null")
    await pool.execute("update dispatch.delivery set created_at = created_at - interval '1 hour'")
    findings = await audit(pool, LINGER)
    assert counts(findings) == dict.fromkeys(RULES, 0) | {"forgotten": 7}
    for _ in range(2):
        await page_findings(pool, findings)
    [row] = await pool.fetch("select matter, text, times from kernel.page")
    assert (row["matter"], row["times"]) == ("audit:forgotten", 2)
    assert "and 2 more" in row["text"]


async def test_sign_of_life_follows_each_clean_audit(pool, settings, monkeypatch):
    """The address is asked for while every promise holds; unreachable it is paged, and that ends with an answer."""
    monkeypatch.setattr(auditor_main, "EVERY_S", 0.05)
    monkeypatch.setattr(dead_man, "_PAUSE_S", 0.01)
    async with partners() as [watcher]:
        url = SecretStr(watcher.url)
        watcher.behaviour = answering(500)
        runtime = Runtime("auditor", settings.model_copy(update={"dead_man_url": url}), pool)
        task = asyncio.create_task(serve(runtime))

        async def paged():
            return [one.matter for one in await open_pages(pool)] == ["dead-man:url"]

        await until(paged)
        assert len(watcher.seen) >= dead_man.ATTEMPTS
        watcher.behaviour = accept

        async def clear():
            return not await open_pages(pool)

        await until(clear)
        runtime.stop.set()
        await task


async def test_no_sign_of_life_while_a_promise_is_broken(ground, pool, settings, monkeypatch):
    """Silence is the alarm: whoever watches from outside notices what our own pages may not say."""
    monkeypatch.setattr(auditor_main, "EVERY_S", 0.05)
    await ground.alert([await ground.recipient("http://127.0.0.1:1/hook")])
    await pool.execute("update dispatch.alert set head_revision = 7")
    async with partners() as [watcher]:
        url = SecretStr(watcher.url)
        runtime = Runtime("auditor", settings.model_copy(update={"dead_man_url": url}), pool)
        task = asyncio.create_task(serve(runtime))

        async def looked_again():
            return await pool.fetchval("select coalesce(max(times), 0) from kernel.page") >= 3

        await until(looked_again)
        runtime.stop.set()
        await task
        assert watcher.seen == []


async def test_rule_that_holds_again_is_clear(ground, pool):
    """The page about a broken promise closes by itself; that about another one stays."""
    alert = await ground.alert([await ground.recipient("http://127.0.0.1:1/hook")])
    await pool.execute("update dispatch.alert set head_revision = 7")
    await pool.execute("update dispatch.delivery set created_at = created_at - interval '1 hour'")
    await pool.execute("update dispatch.lane set due_at = null")
    await page_findings(pool, await audit(pool, LINGER))
    await pool.execute("update dispatch.alert set head_revision = 1 where alert_id = $1", alert.alert_id)
    await page_findings(pool, await audit(pool, LINGER))
    assert [one.matter for one in await open_pages(pool)] == ["audit:forgotten"]


async def test_process_audits_at_start_and_pages(ground, pool, settings):
    """The auditor's first look comes at once; what it found is in its heartbeat."""
    await ground.alert([await ground.recipient("http://127.0.0.1:1/hook")])
    await pool.execute("update dispatch.alert set head_revision = 7")
    runtime = Runtime("auditor", settings, pool)
    task = asyncio.create_task(serve(runtime))

    async def paged():
        return await ground.matters() == ["audit"]

    await until(paged)
    runtime.stop.set()
    await task
    assert runtime.progress["findings"]["head"] == 1
