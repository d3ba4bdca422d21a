"""Promises of the delivery engine that hold by a clock, by an order, or by trying again."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from aiohttp import web
from sender_ground import Ground, answering, partners, recording

from services.dispatch.breaker import LAST_PROBE_S
from services.dispatch.sender import Sender
from services.kernel.postgres import in_transaction


@pytest.fixture
def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


async def test_messages_are_signed_by_the_databases_time(ground, pool, vault, settings):
    """The signed time is the database's at the claim, carried on by the clock that nobody sets."""
    boot = 1000.0
    sender = Sender(pool, vault, settings, now_s=lambda: boot)
    async with partners() as [partner], recording(sender):
        recipient = await ground.recipient(partner.url)
        alert = await ground.alert([recipient])
        [claim] = await sender.claim()
        boot += 7
        await sender.deliver(claim, await ground.key(alert))
        [seen] = partner.seen
        expected = claim.moment + timedelta(seconds=7)
        assert int(seen.headers["webhook-timestamp"]) == int(expected.timestamp())
        ended = await pool.fetchval("select max(ended_at) from dispatch.attempt")
        assert abs((ended - claim.moment).total_seconds()) < 5


async def test_lease_counts_from_before_it_was_asked_for(ground, pool, vault, settings):
    """A claim that took nearly the whole lease to be answered is not used: the partner hears nothing."""
    moments = iter([100.0])
    late = 100.0 + settings.lease_s - settings.delivery_timeout_s
    sender = Sender(pool, vault, settings, now_s=lambda: next(moments, late))
    async with partners() as [partner], recording(sender):
        alert = await ground.alert([await ground.recipient(partner.url)])
        [claim] = await sender.claim()
        await sender.deliver(claim, await ground.key(alert))
        assert partner.seen == []
        assert [a["error_class"] for a in await ground.attempts(alert)] == ["lease_short"]


async def test_partner_that_is_away_is_probed_soon_enough(ground, pool, vault, settings):
    """After a failed probe the next one comes in 45 s at most, so that whoever returns has everything within 60 s."""
    sender = Sender(pool, vault, settings)
    async with partners() as [partner], recording(sender):
        partner.behaviour = answering(500)
        recipient = await ground.recipient(partner.url)
        alert = await ground.alert([recipient])
        await pool.execute(
            "insert into dispatch.breaker (recipient_id, failures, total, failed, is_open, probe_at, probe_s)"
            " values ($1, 9, 9, 9, true, clock_timestamp(), 60)",
            recipient,
        )
        [probe] = await sender.claim()
        await sender.deliver(probe, await ground.key(alert))
        wait = await pool.fetchval(
            "select extract(epoch from probe_at - clock_timestamp())::float from dispatch.breaker"
        )
        assert LAST_PROBE_S - 10 < wait <= LAST_PROBE_S < 60


async def test_deadlock_is_tried_again_in_place(pool):
    """Two transactions that lock the same rows in opposite order both end well."""
    await pool.execute("create table two (n int primary key, times int not null default 0)")
    await pool.execute("insert into two values (1), (2)")
    both = asyncio.Barrier(2)
    tries = []

    async def work(connection: asyncpg.Connection, first: int, second: int) -> None:
        tries.append(first)
        await connection.execute("update two set times = times + 1 where n = $1", first)
        if len(tries) <= 2:
            await both.wait()
        await connection.execute("update two set times = times + 1 where n = $1", second)

    await asyncio.gather(
        in_transaction(pool, lambda c: work(c, 1, 2)), in_transaction(pool, lambda c: work(c, 2, 1))
    )
    assert len(tries) == 3
    assert [r["times"] for r in await pool.fetch("select times from two")] == [2, 2]


async def test_no_transaction_is_open_while_a_partner_thinks(ground, pool, vault, settings):
    """An open transaction would stall every reader of the log: while a request is on its way there is none."""
    sender = Sender(pool, vault, settings)
    async with partners() as [partner], recording(sender):
        arrived, answer = asyncio.Event(), asyncio.Event()

        async def think(_request: web.Request) -> web.Response:
            arrived.set()
            await answer.wait()
            return web.Response(status=200)

        partner.behaviour = think
        alert = await ground.alert([await ground.recipient(partner.url)])
        [claim] = await sender.claim()
        sending = asyncio.create_task(sender.deliver(claim, await ground.key(alert)))
        await arrived.wait()
        open_ones = await pool.fetchval(
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            " and (state like 'idle in transaction%' or backend_xid is not null)"
        )
        answer.set()
        await sending
        assert open_ones == 0
        assert await ground.states(alert) == [(1, "delivered")]


async def test_partner_that_failed_for_days_is_served_when_it_is_back(ground, pool, vault, settings):
    """However long and often it failed, nobody switches a partner off: its alert is still due, and arrives."""
    sender = Sender(pool, vault, settings)
    async with partners() as [partner], recording(sender):
        recipient = await ground.recipient(partner.url)
        alert = await ground.alert([recipient])
        partner.behaviour = answering(500)
        await pool.execute(
            "update dispatch.delivery set created_at = created_at - interval '5 days', attempts = 2000"
        )
        await pool.execute(
            "insert into dispatch.breaker (recipient_id, failures, total, failed, is_open, probe_at, probe_s)"
            " values ($1, 2000, 90, 90, true, clock_timestamp(), 60)",
            recipient,
        )
        [probe] = await sender.claim()
        await sender.deliver(probe, await ground.key(alert))
        assert await pool.fetchval("select state from dispatch.recipient") == "active"
        partner.behaviour = answering(200)
        await pool.execute("update dispatch.breaker set probe_at = clock_timestamp()")
        await pool.execute("update dispatch.lane set due_at = clock_timestamp()")
        [probe] = await sender.claim()
        await sender.deliver(probe, await ground.key(alert))
        assert await ground.states(alert) == [(1, "delivered")]
