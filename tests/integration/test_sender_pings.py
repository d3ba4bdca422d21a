"""The handshake with a partner: its first 2xx makes it active, and nothing else does."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sender_ground import Ground, answering, partners

from services.dispatch.partners import activate
from services.dispatch.pings import Pings
from services.dispatch.transport import Transport
from services.kernel.clock import SystemClock


@pytest.fixture
def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


@pytest.fixture
async def pings(pool, settings):
    transport = Transport(settings)
    yield Pings(pool, settings, transport, activate)
    await transport.close()


async def wanted(ground, partner, state="unverified"):
    recipient = await ground.recipient(partner.url, state=state)
    await ground.pool.execute(
        "insert into dispatch.ping (recipient_id, due_at) values ($1, clock_timestamp())", recipient
    )
    return recipient


async def state(ground, recipient):
    return await ground.pool.fetchval(
        "select state from dispatch.recipient where recipient_id = $1", recipient
    )


async def test_a_ping_is_signed_by_the_databases_clock(ground, pings, monkeypatch):
    """A sender whose machine's clock is wrong would never bring a partner to life."""
    monkeypatch.setattr(SystemClock, "now", lambda _: datetime.now(UTC) + timedelta(hours=7))
    async with partners() as [partner]:
        await wanted(ground, partner)
        assert await pings.step() == 1
        [seen] = partner.seen
        told = datetime.fromtimestamp(int(seen.headers["webhook-timestamp"]), UTC)
        assert abs(told - await ground.pool.fetchval("select clock_timestamp()")) < timedelta(minutes=1)


async def test_first_2xx_makes_active(ground, pings, pool):
    """A signed ping with an empty data; the answer makes the partner active and ends the handshake."""
    async with partners() as [partner]:
        recipient = await wanted(ground, partner)
        assert await pings.step() == 1
        assert await state(ground, recipient) == "active"
        assert await pings.step() == 0
        [seen] = partner.seen
        ground.check(recipient, seen)
        assert seen.headers["webhook-id"].startswith("ping_")
        body = json.loads(seen.body)
        assert (body["type"], body["data"]) == ("ping", {})
        assert await pool.fetchval("select count(*) from dispatch.ping") == 0


async def test_failure_comes_back(ground, pings, pool):
    """Anything else leaves the partner unverified: the ping comes back after 1, 3, 10, 30 s …, each with an id of its own."""
    async with partners() as [partner]:
        partner.behaviour = answering(404)
        recipient = await wanted(ground, partner)
        waits = []
        for _ in range(4):
            assert await pings.step() == 1
            waits.append(
                await pool.fetchval(
                    "select extract(epoch from due_at - clock_timestamp()) from dispatch.ping"
                )
            )
            await pool.execute("update dispatch.ping set due_at = clock_timestamp()")
        assert [round(wait) for wait in waits] == [1, 3, 10, 30]
        assert await state(ground, recipient) == "unverified"
        row = await pool.fetchrow("select last_status, last_error_class, attempts from dispatch.ping")
        assert tuple(row) == (404, "refused", 4)
        assert len({seen.headers["webhook-id"] for seen in partner.seen}) == 4


async def test_given_up_after_a_day(ground, pings, pool):
    """After 24 hours the ping rests, and says why, until somebody asks for another."""
    async with partners() as [partner]:
        partner.behaviour = answering(500)
        await wanted(ground, partner)
        await pool.execute("update dispatch.ping set requested_at = requested_at - interval '25 hours'")
        await pings.step()
        assert await pool.fetchval("select due_at = 'infinity' from dispatch.ping")


async def test_answer_to_an_older_ping_decides_nothing(ground, pings, pool):
    """An answer to a ping that was asked for before the address changed does not make the new address active."""

    async def changes_meanwhile(request):
        await pool.execute("update dispatch.ping set requested_at = clock_timestamp()")
        return await answering(200)(request)

    async with partners() as [partner]:
        partner.behaviour = changes_meanwhile
        recipient = await wanted(ground, partner)
        await pings.step()
        assert await state(ground, recipient) == "unverified"
        assert await pool.fetchval("select count(*) from dispatch.ping") == 1


async def test_paused_partner_stays_paused(ground, pings):
    """A pause is ended by a person, not by an answer."""
    async with partners() as [partner]:
        recipient = await wanted(ground, partner, state="paused")
        await pings.step()
        assert await state(ground, recipient) == "paused"


async def test_secret_that_does_not_open_costs_the_others_nothing(ground, pings, pool):
    """The partner whose secret is damaged stays unverified and says why; the handshake beside it goes through."""
    async with partners(2) as [broken, good]:
        damaged, recipient = await wanted(ground, broken), await wanted(ground, good)
        await pool.execute(
            "update dispatch.recipient set secret = jsonb_set(secret, '{box}', '\"AAAA\"') where recipient_id = $1",
            damaged,
        )
        assert await pings.step() == 2
        assert (await state(ground, damaged), await state(ground, recipient)) == ("unverified", "active")
        assert await pool.fetchval("select last_error_class from dispatch.ping") == "secret"
        assert broken.seen == []
