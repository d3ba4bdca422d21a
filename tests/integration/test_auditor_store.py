"""The auditor compares dispatch with the event store: what is gone from its tables is found, what is lit is healed."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from dispatch_ground import Ground, add_recipient

from services.dispatch import auditor
from services.dispatch.auditor import audit
from services.dispatch.auditor_main import serve
from services.dispatch.healing import heal
from services.kernel.service import Runtime

NO_LINGER = timedelta(0)


@pytest.fixture
async def ground(pool, vault, settings, monkeypatch):
    # Events of now are compared: the log is append-only and cannot be made older.
    monkeypatch.setattr(auditor, "SETTLED", timedelta(0))
    await add_recipient(pool)
    await add_recipient(pool, audience="missing_persons_unit")
    return Ground(pool, vault, settings)


async def rules(pool, linger=NO_LINGER):
    return [finding.rule for finding in await audit(pool, linger)]


async def remove_newest(pool):
    """As if the newest revision had never been planned."""
    for table in ("delivery", "body", "alert_revision"):
        await pool.execute(
            f"delete from dispatch.{table} t using dispatch.alert a"
            " where a.alert_id = t.alert_id and t.revision = a.head_revision"
        )
    await pool.execute("update dispatch.alert set head_revision = head_revision - 1, withdrawn = false")


async def test_update_without_revision_is_found(ground, pool):
    """A revision that is gone is found, unless a later one stands, or the campaign is stopped."""
    await ground.release()
    await ground.update()
    await ground.replay()
    assert await rules(pool) == []
    await remove_newest(pool)
    assert await rules(pool) == ["unrevised"]
    await ground.end()
    assert "unrevised" not in await rules(pool)


async def test_later_revision_stands_for_an_earlier(ground, pool):
    """What was overtaken before it was planned is no broken promise."""
    await ground.release()
    await ground.update()
    await ground.replay()
    await pool.execute("delete from dispatch.delivery where revision = 1")
    await pool.execute("delete from dispatch.body where revision = 1")
    await pool.execute("delete from dispatch.alert_revision where revision = 1")
    assert await rules(pool) == []


async def test_worrying_case_without_standby_is_found(ground, pool):
    """Nobody stands by for a worrying case: found, unless it is parked, stopped, or from an import."""
    await ground.assess(1)
    assert await rules(pool) == ["standby_missing"]
    await ground.replay()
    assert await rules(pool) == []
    await pool.execute("delete from dispatch.standby")
    assert await rules(pool) == ["standby_missing"]
    await pool.execute(
        "insert into eventlog.stop (kind, id, case_id, version, event_id, mode)"
        " values ('case', $1, $1, 1, $2, 'actual')",
        ground.case,
        uuid4(),
    )
    assert await rules(pool) == ["standby_missing"]
    parked = (
        "insert into dispatch.parked (case_id, topic, partition, record_offset, key, value, headers, error_class)"
        " values ($1, 'case-events', 0, 1, '', '', '[]', 'X')"
    )
    await pool.execute(parked, str(ground.case))
    assert await rules(pool) == []
    await pool.execute("delete from dispatch.parked")
    await pool.execute("update eventlog.stop set version = 2, stopped_at = clock_timestamp()")
    assert "standby_missing" not in await rules(pool)


@pytest.mark.parametrize(("case_open", "reason"), [(True, "not_worrying"), (False, "case_closed")])
async def test_standby_that_is_left_is_found_and_healed(ground, pool, case_open, reason):
    """A standby that outlasts the worry, or the case, is found; the auditor withdraws it and nobody is paged."""
    await ground.assess(1)
    await ground.replay()
    await ground.assess(1, worrying=False, case_open=case_open, case_version=2)
    assert await rules(pool, timedelta(minutes=15)) == ([] if case_open else ["standby_left"])
    findings = await audit(pool, NO_LINGER)
    assert [finding.rule for finding in findings] == ["standby_left"]
    assert await heal(ground.publisher, findings) == []
    assert await rules(pool) == []
    rows = await pool.fetch("select content, reason from dispatch.alert_revision order by revision")
    assert [tuple(row) for row in rows] == [("issued", None), ("withdrawn", reason)]


async def test_missing_withdrawal_is_healed_and_the_rest_pages(ground, pool, settings):
    """The process publishes the withdrawal that is gone, to everyone, and pages a person about the rest alone."""
    await ground.release()
    await ground.replay()
    await ground.end()
    await ground.assess(1)
    assert await rules(pool) == ["ended", "standby_missing", "stopped"]
    runtime = Runtime("auditor", settings, pool)
    task = asyncio.create_task(serve(runtime))
    while not await pool.fetchval("select count(*) from kernel.page"):  # noqa: ASYNC110 - a table has no event
        await asyncio.sleep(0.02)
    runtime.stop.set()
    await task
    assert [row["matter"] for row in await pool.fetch("select matter from kernel.page")] == [
        "audit:standby_missing"
    ]
    assert await ground.revisions() == [(1, "issued"), (2, "withdrawn")]
    assert [row["content"] for row in await ground.deliveries()] == ["issued", "withdrawn"]
    assert (
        await pool.fetchval("select reason from dispatch.alert_revision where revision = 2") == "child_found"
    )


async def test_recipient_without_withdrawal_gets_one(ground, pool):
    """Whoever was sent a withdrawn alert and has no withdrawal of it gets exactly that, and no page is needed."""
    await ground.release()
    await ground.end()
    await ground.replay()
    [sent] = [row for row in await ground.deliveries() if row["content"] == "withdrawn"]
    await pool.execute("update dispatch.delivery set attempts = 1, state = 'delivered' where revision = 1")
    await pool.execute("delete from dispatch.delivery where content = 'withdrawn'")
    await pool.execute("delete from dispatch.body where variant like '%withdrawn' and revision = 2")
    await pool.execute("update dispatch.lane set due_at = null, withdrawal = false")
    findings = await audit(pool, NO_LINGER)
    assert [finding.rule for finding in findings] == ["withdrawal_missing"]
    assert await heal(ground.publisher, findings) == []
    assert await heal(ground.publisher, findings) == []
    [again] = [row for row in await ground.deliveries() if row["content"] == "withdrawn"]
    assert (again["delivery_id"], again["revision"]) == (sent["delivery_id"], sent["revision"])
    assert await pool.fetchval("select withdrawal and due_at <= clock_timestamp() from dispatch.lane")
    assert "alert.withdrawn" in await pool.fetchval(
        "select clear from dispatch.body where revision = 2 and variant = $1", again["variant"]
    )


async def test_lost_withdrawal_that_cannot_be_published_again_pages(ground, pool):
    """The log holds the fact of a withdrawal whose rows are gone: it cannot be said twice, so a person is called."""
    await ground.release()
    await ground.end()
    await ground.replay()
    assert await rules(pool) == []
    await remove_newest(pool)
    findings = await audit(pool, NO_LINGER)
    assert [finding.rule for finding in findings] == ["ended", "stopped"]
    assert await heal(ground.publisher, findings) == findings


async def test_only_what_is_dark_afterwards_counts_as_healed(ground, pool):
    """The event made a revision already, so nothing is published: the alert is lit still, and a person is called."""
    await ground.release()
    await ground.replay()
    ended = await ground.end()
    await pool.execute("update dispatch.alert_revision set cause_id = $1", ended)
    findings = [one for one in await audit(pool, NO_LINGER) if one.rule == "stopped"]
    assert len(findings) == 1
    assert await heal(ground.publisher, findings) == findings
    await pool.execute("update dispatch.alert_revision set cause_id = null")
    assert await heal(ground.publisher, findings) == []
    assert await heal(ground.publisher, findings) == []


async def test_selected_partner_that_was_never_to_get_it_is_found(ground, pool):
    """Each release reaches one delivery per selected recipient; others, and what is not active, need none."""
    await ground.release()
    await ground.replay()
    assert await rules(pool) == []
    await add_recipient(pool, areas=["44021"])
    await add_recipient(pool, state="paused")
    await add_recipient(pool, exercise=True)
    assert await rules(pool) == []
    forgotten = await add_recipient(pool)
    [finding] = await audit(pool, NO_LINGER)
    assert (finding.rule, finding.recipient_id) == ("unplanned", forgotten)
    assert await heal(ground.publisher, [finding]) == [finding]
    await ground.end()
    await ground.replay()
    assert await rules(pool) == []
