"""Leased displays: renewed while they may show an alert, and never a moment longer."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sender_ground import Ground, accept, answering, free_port, hang, partners, sending, until

from services.dispatch import renewals as renewing
from services.dispatch.renewals import PAGE_AFTER, Renewals
from services.dispatch.sender import Sender
from services.dispatch.transport import Transport
from services.kernel.clock import SystemClock
from services.kernel.paging import open_pages

EVERY = timedelta(seconds=300)


@pytest.fixture
def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


@pytest.fixture
async def renewals(pool, settings):
    transport = Transport(settings.model_copy(update={"delivery_timeout_s": 1.0}))
    yield Renewals(pool, settings, transport)
    await transport.close()


async def lit(ground, partner, **rest):
    """A display that accepted an alert longer ago than a renewal is due."""
    recipient = await ground.recipient(partner.url)
    alert = await ground.alert([recipient], **rest)
    await accepted(ground, alert)
    return recipient, alert


async def accepted(ground, alert):
    await ground.pool.execute(
        "update dispatch.alert set issued_at = clock_timestamp() - 2 * $2::interval where alert_id = $1",
        alert.alert_id,
        EVERY,
    )
    await ground.pool.execute(
        "update dispatch.delivery set state = 'delivered', finished_at = clock_timestamp() - $2::interval"
        " where alert_id = $1 and state = 'pending'",
        alert.alert_id,
        EVERY,
    )


async def due_again(pool):
    await pool.execute("update dispatch.renewal set due_at = clock_timestamp()")


def named(seen):
    message = json.loads(seen.body)
    assert message["type"] == "display.renewed"
    return {(UUID(one["alert_id"]), one["revision"]) for one in message["data"]["alerts"]}


async def test_a_renewal_is_signed_by_the_databases_clock(ground, renewals, monkeypatch):
    """A sender whose machine's clock is wrong would have every renewal refused, and its displays go dark."""
    monkeypatch.setattr(SystemClock, "now", lambda _: datetime.now(UTC) + timedelta(hours=7))
    async with partners() as [partner]:
        await lit(ground, partner)
        assert await renewals.step() == 1
        [seen] = partner.seen
        told = datetime.fromtimestamp(int(seen.headers["webhook-timestamp"]), UTC)
        assert abs(told - await ground.pool.fetchval("select clock_timestamp()")) < timedelta(minutes=1)
        assert json.loads(seen.body)["timestamp"][:16] == told.isoformat()[:16]


async def test_display_is_renewed_every_five_minutes_in_one_signed_message(ground, renewals, pool):
    """All its alerts at once, freshly signed, under an id of its own; then not again before the next is due."""
    async with partners() as [partner]:
        recipient, alert = await lit(ground, partner)
        other = await ground.alert([recipient])
        await accepted(ground, other)
        assert [await renewals.step(), await renewals.step()] == [1, 0]
        assert await pool.fetchval("select due_at - clock_timestamp() from dispatch.renewal") > timedelta(
            seconds=290
        )
        await due_again(pool)
        assert await renewals.step() == 1
        first, second = partner.seen
        for seen in (first, second):
            ground.check(recipient, seen)
            assert seen.headers["webhook-id"].startswith("renew_")
            assert named(seen) == {(alert.alert_id, 1), (other.alert_id, 1)}
            assert {one["display_for_s"] for one in json.loads(seen.body)["data"]["alerts"]} == {1800}
        assert first.headers["webhook-id"] != second.headers["webhook-id"]
        assert tuple(await pool.fetchrow("select alerts, status, failures from dispatch.renewal")) == (
            2,
            202,
            0,
        )


async def lit_in_parts(ground, partner, monkeypatch):
    """Five alerts on one display, told of two at a time."""
    monkeypatch.setattr(renewing, "PER_MESSAGE", 2)
    recipient, first = await lit(ground, partner)
    alerts = [first] + [await ground.alert([recipient]) for _ in range(4)]
    for one in alerts[1:]:
        await accepted(ground, one)
    return sorted(one.alert_id for one in alerts)


async def test_display_of_many_alerts_is_told_in_parts(ground, renewals, pool, monkeypatch):
    """Each alert once, in messages of their own ids; noted as one renewal."""
    async with partners() as [partner]:
        alerts = await lit_in_parts(ground, partner, monkeypatch)
        assert await renewals.step() == 1
        assert [sorted(named(one)) for one in partner.seen] == [
            [(alert, 1) for alert in part] for part in (alerts[:2], alerts[2:4], alerts[4:])
        ]
        assert len({one.headers["webhook-id"] for one in partner.seen}) == 3
        assert tuple(await pool.fetchrow("select alerts, status, failures from dispatch.renewal")) == (
            5,
            202,
            0,
        )


async def test_refused_part_stops_no_other(ground, renewals, pool, monkeypatch):
    """It counts as a failure of that partner; the alerts behind it are renewed all the same."""
    async with partners() as [partner]:
        alerts = await lit_in_parts(ground, partner, monkeypatch)

        async def refuses_the_first(request):
            return await (accept if len(partner.seen) > 1 else answering(500))(request)

        partner.behaviour = refuses_the_first
        await renewals.step()
        assert {alert for one in partner.seen for alert, _ in named(one)} == set(alerts)
        row = await pool.fetchrow("select status, error_class, failures from dispatch.renewal")
        assert tuple(row) == (500, "refused", 1)


async def test_parts_are_not_tried_where_nobody_answers(ground, renewals, pool, monkeypatch):
    """Each would wait as long, and the lease of the others goes on meanwhile."""
    async with partners() as [partner]:
        await lit_in_parts(ground, partner, monkeypatch)
        partner.behaviour = hang
        await renewals.step()
        assert len(partner.seen) == 1
        assert tuple(await pool.fetchrow("select alerts, error_class from dispatch.renewal")) == (
            2,
            "timeout",
        )


async def test_withdrawal_between_two_parts_is_left_out(ground, renewals, pool, monkeypatch):
    """Each part is built when it is sent, and looked at on the open connection."""
    async with partners() as [partner]:
        alerts = await lit_in_parts(ground, partner, monkeypatch)

        async def withdraw_the_last(request):
            await pool.execute("update dispatch.alert set withdrawn = true where alert_id = $1", alerts[-1])
            return await accept(request)

        partner.behaviour = withdraw_the_last
        await renewals.step()
        assert {alert for one in partner.seen for alert, _ in named(one)} == set(alerts[:-1])


async def test_fresh_display_is_not_renewed_yet(ground, renewals):
    """Its own message has just begun the lease."""
    async with partners() as [partner]:
        _, alert = await lit(ground, partner)
        await ground.pool.execute("update dispatch.delivery set finished_at = clock_timestamp()")
        assert await renewals.step() == 0
        assert (await ground.states(alert), partner.seen) == ([(1, "delivered")], [])


async def test_lease_ends_with_the_alert(ground, renewals):
    """Near its expiry an alert is renewed for what is left, after it not at all."""
    async with partners() as [partner]:
        _, alert = await lit(ground, partner, expires_in=timedelta(seconds=100))
        await renewals.step()
        [one] = json.loads(partner.seen[0].body)["data"]["alerts"]
        assert 90 < one["display_for_s"] <= 100
        await ground.pool.execute("update dispatch.alert set expires_at = clock_timestamp()")
        await due_again(ground.pool)
        await renewals.step()
        assert len(partner.seen) == 1
        assert alert.alert_id is not None


async def withdrawn(ground, alert, _recipient):
    await ground.revise(alert, "withdrawn")


async def stopped(ground, alert, _recipient):
    await ground.stop(alert)


async def replaced(ground, alert, _recipient):
    await ground.revise(alert, "updated")


async def paused(ground, _alert, _recipient):
    await ground.pool.execute("update dispatch.recipient set state = 'paused'")


async def rejected(ground, alert, recipient):
    await receipt(ground, alert, recipient, "rejected")


async def recorded_dark(ground, alert, _recipient):
    await ground.revise(alert, "updated")
    await ground.pool.execute("update dispatch.delivery set state = 'superseded' where revision = 2")


async def never_accepted(ground, _alert, _recipient):
    await ground.pool.execute("update dispatch.delivery set state = 'pending', finished_at = null")


async def not_a_display(ground, _alert, _recipient):
    await ground.pool.execute("update dispatch.recipient set audience = 'mobile_team'")


async def receipt(ground, alert, recipient, state, revision=1):
    await ground.pool.execute(
        "insert into dispatch.receipt (alert_id, recipient_id, revision, state, at)"
        " values ($1, $2, $3, $4, clock_timestamp())",
        alert.alert_id,
        recipient,
        revision,
        state,
    )


@pytest.mark.parametrize(
    "change",
    [withdrawn, stopped, replaced, paused, rejected, recorded_dark, never_accepted, not_a_display],
)
async def test_what_must_not_be_shown_is_not_renewed(ground, renewals, change):
    """Withdrawn, stopped in the store, being replaced, paused, rejected, dark, never accepted, no display: no renewal."""
    async with partners() as [partner]:
        recipient, alert = await lit(ground, partner)
        assert {one.alert_id for one in await renewals.renewable(recipient)} == {alert.alert_id}
        await change(ground, alert, recipient)
        await renewals.step()
        assert partner.seen == []
        assert await renewals.renewable(recipient) == []


async def test_receipt_stands_for_an_answer_that_was_lost(ground, renewals):
    """A display that confirmed what it shows is renewed, although its answer to the message never came."""
    async with partners() as [partner]:
        recipient, alert = await lit(ground, partner)
        await never_accepted(ground, alert, recipient)
        await ground.pool.execute(
            "update dispatch.delivery set created_at = created_at - $1::interval", EVERY
        )
        await receipt(ground, alert, recipient, "displayed")
        await renewals.step()
        assert named(partner.seen[0]) == {(alert.alert_id, 1)}


async def test_withdrawal_between_building_and_sending_wins(ground, renewals, pool, monkeypatch):
    """The last look is taken on the open connection: what was withdrawn meanwhile is left out, the rest is renewed."""
    async with partners() as [partner]:
        recipient, gone = await lit(ground, partner)
        stays = await ground.alert([recipient])
        await accepted(ground, stays)
        post = renewals._transport.post

        async def slow_connect(url, body, headers, before_send):
            if not await pool.fetchval("select count(*) from dispatch.delivery where content = 'withdrawn'"):
                await ground.revise(gone, "withdrawn")
            return await post(url, body, headers, before_send)

        monkeypatch.setattr(renewals._transport, "post", slow_connect)
        await renewals.step()
        assert [named(seen) for seen in partner.seen] == [{(stays.alert_id, 1)}]


async def test_many_senders_renew_once(ground, pool, settings):
    """Eight processes at the same moment: each partner is told once."""
    async with partners(3) as receivers:
        for one in receivers:
            await lit(ground, one)
        transports = [Transport(settings) for _ in range(8)]
        taken = await asyncio.gather(*(Renewals(pool, settings, one).step() for one in transports))
        assert sum(taken) == 3
        assert [len(one.seen) for one in receivers] == [1, 1, 1]
        for one in transports:
            await one.close()


@pytest.mark.parametrize(
    ("behaviour", "noted"), [(answering(503), (503, "refused")), (hang, (None, "timeout"))]
)
async def test_renewal_is_never_tried_again(ground, renewals, pool, behaviour, noted):
    """A failure is noted and no more; three in a row call a person, a success ends the count."""
    async with partners() as [partner]:
        await lit(ground, partner)
        partner.behaviour = behaviour
        for _ in range(PAGE_AFTER):
            assert await ground.matters() == []
            assert [await renewals.step(), await renewals.step()] == [1, 0]
            await due_again(pool)
        assert await ground.matters() == ["renewals-fail"]
        assert len(partner.seen) == PAGE_AFTER
        row = await pool.fetchrow("select status, error_class, failures from dispatch.renewal")
        assert tuple(row) == (*noted, PAGE_AFTER)
        partner.behaviour = accept
        await renewals.step()
        assert await pool.fetchval("select failures from dispatch.renewal") == 0
        assert await pool.fetchval("select count(*) from kernel.page where closed_at is null") == 0


@pytest.mark.parametrize("end", ["withdrawn", "expired"])
async def test_page_about_renewals_ends_with_what_was_to_be_renewed(ground, renewals, pool, end):
    """Nothing is renewed any more, so no success would ever close it; the next alert begins to count at nothing."""
    async with partners() as [partner]:
        partner.behaviour = answering(500)
        _, alert = await lit(ground, partner)
        for _ in range(PAGE_AFTER):
            await due_again(pool)
            await renewals.step()
        assert len(await open_pages(pool)) == 1
        await due_again(pool)
        if end == "withdrawn":
            await ground.revise(alert, "withdrawn")
        else:
            await pool.execute("update dispatch.alert set expires_at = clock_timestamp()")
        assert await renewals.step() == 0
    assert await open_pages(pool) == []
    assert await pool.fetchval("select failures from dispatch.renewal") == 0


async def test_secret_that_does_not_open_keeps_nobody_from_being_renewed(ground, renewals, pool):
    """It is a failure of that partner's renewal, and no more."""
    async with partners(2) as [broken, good]:
        damaged, _ = await lit(ground, broken)
        await lit(ground, good)
        await pool.execute(
            "update dispatch.recipient set secret = jsonb_set(secret, '{box}', '\"AAAA\"') where recipient_id = $1",
            damaged,
        )
        assert await renewals.step() == 2
        assert (len(broken.seen), len(good.seen)) == (0, 1)
        row = await pool.fetchrow(
            "select error_class, failures from dispatch.renewal where recipient_id = $1", damaged
        )
        assert tuple(row) == ("secret", 1)


async def test_partner_that_is_away_keeps_nobody_from_being_renewed(ground, renewals):
    """A port where nobody listens beside a display that answers."""
    async with partners() as [partner]:
        await lit(ground, partner)
        gone = await ground.recipient(f"http://127.0.0.1:{free_port()}/hook")
        await accepted(ground, await ground.alert([gone]))
        assert await renewals.step() == 2
        assert len(partner.seen) == 1


async def test_sender_and_renewals_beside_each_other_never_renew_after_a_withdrawal(
    ground, pool, vault, settings
):
    """Alerts come and go while renewals are always due: none names an alert whose withdrawal the partner had."""
    busy = settings.model_copy(update={"renew_every_s": 0.01})
    async with partners() as [partner], sending(Sender(pool, vault, busy)):
        transport = Transport(busy)
        renewals = Renewals(pool, busy, transport)
        recipient = await ground.recipient(partner.url)
        done = asyncio.Event()

        async def renew():
            while not done.is_set():
                await renewals.step()
                await asyncio.sleep(0.005)

        working = asyncio.create_task(renew())
        for _ in range(12):
            alert = await ground.alert([recipient])
            await partner.until(lambda seen, a=alert: any(renews(one, a) for one in seen))
            await ground.revise(alert, "withdrawn")

            async def dark(alert=alert):
                return (2, "delivered") in await ground.states(alert)

            await until(dark)
        done.set()
        await working
        await transport.close()
    gone = set()
    for seen in partner.seen:
        message = json.loads(seen.body)
        if message["type"] == "alert.withdrawn":
            gone.add(UUID(message["data"]["alert_id"]))
        elif message["type"] == "display.renewed":
            assert not {alert for alert, _ in named(seen)} & gone
    assert len(gone) == 12


def renews(seen, alert):
    message = json.loads(seen.body)
    return message["type"] == "display.renewed" and alert.alert_id in {one for one, _ in named(seen)}
