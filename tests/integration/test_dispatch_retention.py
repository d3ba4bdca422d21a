"""What is over is deleted after its time, and never comes back, whatever is replayed."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from dispatch_ground import Ground, add_recipient, snapshot
from dispatch_http import PARTNER, become_active, client_of
from sender_ground import until

from services.dispatch.auditor import verify
from services.dispatch.desk import DispatchDeps
from services.dispatch.health import health
from services.dispatch.lanes import page_late_withdrawals, sweep
from services.dispatch.renewals import Renewals
from services.dispatch.replay import of_alert
from services.dispatch.retention import _forget, purge
from services.dispatch.sender import Sender
from services.kernel.postgres import create_pool, in_transaction, queries

KEEP = timedelta(days=400)
EMPTIED = ("lane", "delivery", "attempt", "receipt", "body")


@pytest.fixture
def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


async def over(ground):
    """An alert that was sent, replaced and withdrawn, and every answer came."""
    await add_recipient(ground.pool)
    await add_recipient(ground.pool)
    await ground.release()
    await ground.update()
    await ground.replay()
    await ground.end()
    await ground.replay()
    await settled(ground)


async def settled(ground):
    await ground.pool.execute(
        "insert into dispatch.attempt (delivery_id, fence, owner, ended_at, status)"
        " select delivery_id, 1, 'w', clock_timestamp(), 200 from dispatch.delivery where state = 'pending'"
    )
    await ground.pool.execute("update dispatch.delivery set state = 'delivered' where state = 'pending'")
    await ground.pool.execute("update dispatch.lane set due_at = null")
    await ground.pool.execute(
        "insert into dispatch.receipt (alert_id, recipient_id, revision, state, at)"
        " select alert_id, recipient_id, revision, 'removed', clock_timestamp() from dispatch.delivery"
        " where content = 'withdrawn' on conflict do nothing"
    )


async def age(ground, days):
    for table, column in (("alert_revision", "created_at"), ("attempt", "started_at")):
        await ground.pool.execute(
            f"update dispatch.{table} set {column} = {column} - make_interval(days => {days})"
        )


async def counts(ground):
    return [await ground.pool.fetchval(f"select count(*) from dispatch.{name}") for name in EMPTIED]


async def test_nothing_is_purged_before_its_time(ground):
    """A day before the end of the term everything is there."""
    await over(ground)
    await age(ground, 399)
    before = await counts(ground)
    assert await purge(ground.pool, KEEP) == (0, 0)
    assert await counts(ground) == before
    assert 0 not in before


async def test_replay_of_the_whole_log_after_a_purge_lights_nothing(ground):
    """Only what an alert was and that it is withdrawn stays; with that, every event again changes nothing at all."""
    await over(ground)
    await age(ground, 401)
    assert await purge(ground.pool, KEEP) == (1, 0)
    assert await counts(ground) == [0] * len(EMPTIED)
    assert await ground.pool.fetchval("select withdrawn and head_revision = 3 from dispatch.alert")
    await ground.replay()
    await ground.pool.execute("delete from dispatch.stream_seen")
    before = await snapshot(ground.pool)
    await ground.replay()
    after = await snapshot(ground.pool)
    assert after["events"] == before["events"]
    assert all(after[name] == before[name] for name in after if name != "stream_seen")
    assert await counts(ground) == [0] * len(EMPTIED)
    assert await verify(ground.pool, timedelta(minutes=15)) == []


async def test_standby_that_was_purged_stays_over(ground):
    """The same for a standby, whose newest assessment is replayed too."""
    await add_recipient(ground.pool, audience="mobile_team")
    await ground.assess(1)
    await ground.assess(1, worrying=False, case_open=False, case_version=2)
    await ground.replay()
    await settled(ground)
    await age(ground, 401)
    assert (await purge(ground.pool, KEEP))[0] == 1
    await ground.pool.execute("delete from dispatch.stream_seen")
    await ground.replay()
    assert await ground.deliveries() == []


async def test_partner_that_comes_back_after_a_purge_gets_nothing_of_it(ground, pool, vault, settings):
    """Its digest is empty, its activation plans nothing, and a receipt that is years late is a 404."""
    async with client_of(pool, vault, settings) as call:
        partner = (await call("POST", "/v1/partners", PARTNER)).json
        await become_active(pool, partner)
        await over(ground)
        await age(ground, 401)
        await purge(pool, KEEP)
        await become_active(pool, partner)
        assert await ground.deliveries(recipient_id=UUID(partner["partner_id"])) == []
        assert (await call("GET", "/v1/partner/state", token=partner["token"])).json["alerts"] == []
        alert = await pool.fetchval("select alert_id from dispatch.alert")
        body = {"alert_id": str(alert), "revision": 1, "state": "displayed", "at": "2026-01-01T00:00:00Z"}
        assert (await call("POST", "/v1/receipts", body, token=partner["token"])).status == 404


async def test_what_still_waits_is_kept_however_old(ground):
    """A withdrawal that nobody took, one that is to be asserted again, and an alert that is lit stay whole."""
    await over(ground)
    await age(ground, 401)
    await ground.pool.execute(
        "update dispatch.lane set due_at = clock_timestamp() where recipient_id in"
        " (select recipient_id from dispatch.lane limit 1)"
    )
    assert (await purge(ground.pool, KEEP))[0] == 0
    await ground.pool.execute("update dispatch.lane set due_at = null")
    await ground.pool.execute("update dispatch.delivery set state = 'pending' where revision = 3")
    assert (await purge(ground.pool, KEEP))[0] == 0
    await ground.pool.execute("update dispatch.delivery set state = 'delivered' where revision = 3")
    await ground.pool.execute("update dispatch.alert set withdrawn = false")
    assert (await purge(ground.pool, KEEP))[0] == 0
    assert 0 not in [
        count for name, count in zip(EMPTIED, await counts(ground), strict=True) if name != "attempt"
    ]


async def test_old_attempts_of_what_is_lit_go_alone(ground):
    """A standby may last for years; its attempts do not."""
    await add_recipient(ground.pool)
    await ground.release()
    await ground.replay()
    await settled(ground)
    await age(ground, 401)
    await ground.pool.execute(
        "insert into dispatch.attempt (delivery_id, fence, owner) select delivery_id, 2, 'w' from dispatch.delivery"
    )
    assert await purge(ground.pool, KEEP) == (0, 1)
    assert len(await ground.deliveries()) == 1
    assert await ground.pool.fetchval("select count(*) from dispatch.attempt") == 1


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_million_finished_deliveries_slow_nobody_down(ground, settings, vault):
    """Claiming, the last look, sweeping, renewing, watching and a partner's page read no table from end to end."""
    recipients = [await add_recipient(ground.pool) for _ in range(31)]
    async with ground.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "set local session_replication_role = replica; set local transaction_timeout = 0"
        )
        await connection.execute(FILL, recipients, uuid4(), timeout=600)
    await ground.pool.execute("vacuum analyze dispatch.lane")
    await ground.pool.execute("vacuum analyze dispatch.delivery")
    await ground.pool.execute("vacuum analyze dispatch.alert")
    await ground.pool.execute("vacuum analyze dispatch.attempt")
    await ground.release()
    await ground.replay()
    one = await create_pool(settings.database_url.get_secret_value(), size=1)
    sender = Sender(one, vault, settings)
    renewals = Renewals(one, settings, sender.transport)
    try:
        before = await _scans(one)
        assert len(await sender.claim()) == 31
        for work in (
            sweep(one),
            renewals.step(),
            renewals.renewable(recipients[0]),
            page_late_withdrawals(one),
            health(DispatchDeps(one, vault, settings), recipients[0]),
            one.fetch(queries("services.dispatch")["partner_alerts"], recipients[0]),
        ):
            await work
            assert (work.__name__, await _scans(one)) == (work.__name__, before)
    finally:
        await sender.transport.close()
        await one.close()


async def _scans(one):
    """How often each large table was read from end to end; asked on the connection that did it."""
    await one.execute("select pg_stat_force_next_flush()")
    rows = await one.fetch(
        "select relname, seq_scan from pg_stat_user_tables where schemaname = 'dispatch'"
        " and relname in ('lane', 'delivery', 'alert', 'attempt')"
    )
    return {row["relname"]: row["seq_scan"] for row in rows}


FILL = """
with alerts as (
    insert into dispatch.alert (alert_id, kind, case_id, mode, areas, head_revision, withdrawn, issued_at)
    select gen_random_uuid(), 'public', $2, 'actual', '{BE}', 2, true, clock_timestamp()
    from generate_series(1, 32259) returning alert_id
), lanes as (
    insert into dispatch.lane (recipient_id, alert_id) select r, alert_id from alerts, unnest($1::uuid[]) r
), deliveries as (
    insert into dispatch.delivery (delivery_id, recipient_id, alert_id, revision, content, variant, state, attempts,
        created_at, finished_at)
    select gen_random_uuid(), r, alert_id, 2, 'withdrawn', 'json.withdrawn', 'delivered', 1, d.at, d.at
    from alerts, unnest($1::uuid[]) r, (select clock_timestamp() - interval '9 days' as at) d returning delivery_id
)
insert into dispatch.attempt (delivery_id, fence, owner, started_at, ended_at, status)
select delivery_id, 1, 'w', clock_timestamp() - interval '9 days', clock_timestamp() - interval '9 days', 200
from deliveries
"""


async def test_replay_that_waited_for_the_purge_is_refused(ground):
    """What it was to send again is deleted by the time that it has the lanes: that is an answer, no error of ours."""
    await over(ground)
    await age(ground, 401)
    alert = await ground.pool.fetchval("select alert_id from dispatch.alert")
    async with ground.pool.acquire() as connection:
        purging = connection.transaction()
        await purging.start()
        await _forget(alert, connection)
        replaying = asyncio.create_task(in_transaction(ground.pool, lambda c: of_alert(c, alert)))

        async def waits():
            return await ground.pool.fetchval("select count(*) from pg_locks where not granted")

        await until(waits)
        await purging.commit()
        status, answer = await replaying
    assert (status, answer["replayed"]) == (202, [])
    assert {one["rule"] for one in answer["skipped"]} == {"alert-over"}
