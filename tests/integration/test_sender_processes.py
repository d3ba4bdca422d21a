"""Real sender processes, killed and stopped at the worst moments."""

import asyncio
import json
import os
import random
import signal
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from sender_ground import Ground, accept, hang, partners, until

from services.dispatch.auditor import verify

COMMAND = "from services.dispatch.sender_main import main; raise SystemExit(main())"


@pytest.fixture
def fast(settings):
    return settings.model_copy(update={"delivery_timeout_s": 1.0, "lease_s": 3.0})


@pytest.fixture
def ground(pool, vault, fast):
    return Ground(pool, vault, fast)


def environment(settings):
    return os.environ | {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "ZOEKLICHT_VAULT_DATABASE_URL": settings.vault_url,
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "ZOEKLICHT_MASTER_KEY": settings.master_key.get_secret_value(),
        "ZOEKLICHT_ALLOW_LOOPBACK_PARTNERS": "true",
        "ZOEKLICHT_DELIVERY_TIMEOUT_S": str(settings.delivery_timeout_s),
        "ZOEKLICHT_LEASE_S": str(settings.lease_s),
    }


class Process:
    """A sender as the supervisor starts it."""

    def __init__(self, process):
        self.process = process

    def send(self, number):
        if self.process.returncode is None:
            self.process.send_signal(number)

    async def kill(self):
        self.send(signal.SIGKILL)
        await self.process.wait()


async def start(settings):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, env=environment(settings), stdout=asyncio.subprocess.DEVNULL
    )
    return Process(process)


@asynccontextmanager
async def running(settings):
    one = await start(settings)
    try:
        yield one
    finally:
        one.send(signal.SIGCONT)
        await one.kill()


async def test_killed_sender_is_taken_over(ground, fast):
    """After a kill -9 in the middle of a request another sender repeats it once the lease is over, with the same id."""
    async with partners() as [partner], running(fast) as first:
        partner.behaviour = hang
        alert = await ground.alert([await ground.recipient(partner.url)])
        await partner.until(lambda seen: len(seen) == 1)
        await first.kill()
        partner.behaviour = accept
        async with running(fast):
            await partner.until(lambda seen: len(seen) == 2)

            async def delivered():
                return await ground.states(alert) == [(1, "delivered")]

            await until(delivered)
        assert len({seen.headers["webhook-id"] for seen in partner.seen}) == 1
        killed, second = await ground.attempts(alert)
        assert killed["ended_at"] is None
        assert (second["started_at"] - killed["started_at"]).total_seconds() >= fast.lease_s


async def waiting_for_a_lock(pool):
    return bool(
        await pool.fetchval(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            " and application_name = 'zoeklicht-sender'"
        )
    )


async def test_stopped_sender_sends_nothing_stale(ground, fast, pool):
    """A sender stopped in its last look, with a yes already in its socket, sends nothing when it wakes after its lease."""
    async with partners() as [partner], running(fast) as stalled:
        alert = await ground.alert([await ground.recipient(partner.url, state="paused")])
        async with pool.acquire() as blocker:
            transaction = blocker.transaction()
            await transaction.start()
            await blocker.execute("lock table eventlog.stop in access exclusive mode")
            await pool.execute("update dispatch.recipient set state = 'active'")
            await until(lambda: waiting_for_a_lock(pool))
            stalled.send(signal.SIGSTOP)
            await transaction.rollback()
        await ground.revise(alert, "withdrawn")
        async with running(fast):
            await partner.until(lambda seen: len(seen) >= 1)
            stalled.send(signal.SIGCONT)

            async def reported():
                return all(attempt["ended_at"] for attempt in await ground.attempts(alert))

            await until(reported)
        assert {seen.type for seen in partner.seen} == {"alert.withdrawn"}
        assert await ground.states(alert) == [(1, "superseded"), (2, "delivered")]


async def test_terminated_sender_finishes(ground, fast):
    """SIGTERM: nothing new is claimed, what is on its way is finished and recorded, no lease is left."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def slow(_request):
        arrived.set()
        await go.wait()
        return web.Response(status=200)

    async with partners() as [partner], running(fast) as sender:
        partner.behaviour = slow
        alert = await ground.alert([await ground.recipient(partner.url)])
        await arrived.wait()
        sender.send(signal.SIGTERM)
        go.set()
        assert await sender.process.wait() == 0
        assert await ground.states(alert) == [(1, "delivered")]
        assert (await ground.lane(alert))["owner"] is None


class Display:
    """A conforming receiver: takes only a revision above the last it saw. Remembers what it took."""

    def __init__(self, chance):
        self.chance = chance
        self.last = {}
        self.accepted = []

    async def __call__(self, request):
        data = json.loads(await request.read())
        luck = self.chance.random()
        if luck < 0.05:
            return web.Response(status=500)
        alert, revision = data["data"]["alert_id"], data["data"]["revision"]
        self.accepted.append((datetime.now(UTC), alert, revision, data["type"]))
        if revision > self.last.get(alert, (0, ""))[0]:
            self.last[alert] = (revision, data["type"])
        if luck < 0.1:  # the answer is lost
            request.transport.abort()
        return web.Response(status=200)


class Storm:
    """Alerts come and go while senders are killed and stopped."""

    def __init__(self, ground, settings, recipients, chance):
        self.ground, self.settings, self.recipients, self.chance = ground, settings, recipients, chance
        self.alerts, self.withdrawn, self.senders = [], {}, []

    async def blow(self, steps):
        self.senders = [await start(self.settings) for _ in range(2)]
        for number in range(steps):
            await self.publish(number)
            await self.harm(number)
            await asyncio.sleep(0.15)  # time for the senders to get into the middle of things
        self.wake()
        for alert in self.alerts:
            if str(alert.alert_id) not in self.withdrawn:
                await self.withdraw(alert)

    async def publish(self, number):
        self.alerts.append(await self.ground.alert(self.recipients))
        lit = [alert for alert in self.alerts if str(alert.alert_id) not in self.withdrawn]
        if number % 3 == 0:
            await self.ground.revise(self.chance.choice(lit), "updated")
        if number % 2:
            await self.withdraw(self.alerts[number // 2])

    async def withdraw(self, alert):
        await self.ground.stop(alert)
        await self.ground.revise(alert, "withdrawn")
        self.withdrawn[str(alert.alert_id)] = datetime.now(UTC)

    async def harm(self, number):
        if number % 4 == 1:
            victim = self.chance.randrange(2)
            await self.senders[victim].kill()
            self.senders[victim] = await start(self.settings)
        if number % 4 == 3:
            self.chance.choice(self.senders).send(signal.SIGSTOP)
        if number % 24 == 23:  # long after the leases of whoever was stopped first
            self.wake()

    def wake(self):
        for one in self.senders:
            one.send(signal.SIGCONT)

    async def quiet(self):
        pool = self.ground.pool
        await pool.execute("update dispatch.breaker set probe_at = clock_timestamp() where is_open")
        return not await pool.fetchval("select count(*) from dispatch.lane where due_at is not null")

    async def end(self):
        for one in self.senders:
            await one.kill()


async def test_promises_hold_under_kills_and_stalls(ground, fast, pool):
    """Senders are killed and stopped while alerts are issued, updated and withdrawn: all goes dark, in order, proven."""
    chance = random.Random(116)
    async with partners(5) as receivers:
        displays = [Display(chance) for _ in receivers]
        for receiver, display in zip(receivers, displays, strict=True):
            receiver.behaviour = display
        storm = Storm(ground, fast, [await ground.recipient(one.url) for one in receivers], chance)
        try:
            await storm.blow(48)
            await until(storm.quiet, 100)
        finally:
            await storm.end()
        for display in displays:
            assert {kind for _, kind in display.last.values()} == {"alert.withdrawn"}
            assert len(display.last) == len(storm.alerts)
            for at, alert, _, kind in display.accepted:
                # Whoever looked before the withdrawal was committed may be sending until its lease ends.
                late = (at - storm.withdrawn[alert]).total_seconds()
                assert kind == "alert.withdrawn" or late < fast.lease_s
        assert await verify(pool, timedelta(minutes=10)) == []
