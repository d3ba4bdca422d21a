"""Simulated partners, spoken to over real HTTP by a sender that signs as the standard says."""

import asyncio
import base64
import json
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import aiohttp
from aiohttp import web
from standardwebhooks import Webhook

from services.simulation import receivers as simulated
from services.simulation.cast import DISPLAYS, VOLUNTEERS, everyone
from services.simulation.receivers import Behaviour, Field, Receiver

SECRET = "whsec_" + base64.b64encode(b"a secret of two dozen by").decode()


@asynccontextmanager
async def office():
    """Where receipts go."""
    got: asyncio.Queue = asyncio.Queue()

    async def take(request):
        got.put_nowait((request.headers["Authorization"], await request.json()))
        return web.json_response({}, status=201)

    app = web.Application()
    app.router.add_post("/v1/receipts", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield SimpleNamespace(url=f"http://127.0.0.1:{runner.addresses[0][1]}/v1/receipts", got=got)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def standing(*receivers):
    """A field with these receivers, all registered."""
    for receiver in receivers:
        receiver.know(f"partner-{receiver.number}", SECRET, f"zl_{receiver.number}")
    async with Field(receivers) as field, aiohttp.ClientSession() as client:
        yield SimpleNamespace(field=field, client=client)


def body(kind, revision, alert="a1", **rest):
    data = {"alert_id": alert, "revision": revision, "kind": "public", "display_for_s": 1800, **rest}
    return {"type": f"alert.{kind}", "timestamp": datetime.now(UTC).isoformat(), "data": data}


async def send(ground, message, number=1, *, secret=SECRET, at=None, tamper=False):
    raw = json.dumps(message)
    name, moment = f"msg_{uuid4().hex}", at or datetime.now(UTC)
    signature = Webhook(secret).sign(name, moment, raw)
    headers = {
        "webhook-id": name,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": signature,
    }
    url = f"http://127.0.0.1:{ground.field.port}/partner/{number}"
    async with ground.client.post(url, data=raw + (" " if tamper else ""), headers=headers) as answer:
        return answer.status


def test_the_cast_is_31_displays_24_volunteers_and_the_unit():
    """As the demonstration promises; every number once."""
    cast = everyone()
    audiences = [one.audience for one in cast]
    assert audiences.count("display") == DISPLAYS == 31
    assert audiences.count("mobile_team") == VOLUNTEERS == 24
    assert audiences.count("missing_persons_unit") == 1
    assert len({one.number for one in cast}) == len(cast)
    assert {one.behaviour for one in cast} == set(Behaviour)


async def test_only_what_is_signed_is_believed():
    """Another secret, a changed body, an old message: 401, and nothing is shown."""
    receiver = Receiver(1, "one")
    async with standing(receiver) as ground:
        other = "whsec_" + base64.b64encode(b"another secret of 24 byt").decode()
        assert await send(ground, body("issued", 1), secret=other) == 401
        assert await send(ground, body("issued", 1), tamper=True) == 401
        assert await send(ground, body("issued", 1), at=datetime.now(UTC) - timedelta(minutes=6)) == 401
        assert receiver.shown == {}
        assert await send(ground, body("issued", 1)) == 200
        assert receiver.lit("a1")


async def test_only_a_higher_revision_counts_and_a_late_one_is_a_violation():
    """After a withdrawal no older revision is shown, and its arrival is on record."""
    receiver = Receiver(1, "one")
    async with standing(receiver) as ground:
        for message in (body("issued", 1), body("updated", 2), body("withdrawn", 3)):
            assert await send(ground, message) == 200
        assert receiver.violations == []
        assert await send(ground, body("updated", 2)) == 200
        assert not receiver.lit("a1")
        assert [s.accepted for s in receiver.history] == [True, True, True, False]
        assert [(v["revision"], v["after"]) for v in receiver.violations] == [(2, 3)]
        assert len(receiver.repeats) == 1
        async with ground.client.get(f"http://127.0.0.1:{ground.field.port}/sim/log") as answer:
            log = await answer.json()
    assert log["violations"][0]["revision"] == 2
    assert [seen["type"] for seen in log["receivers"][0]["history"]][:3] == [
        "alert.issued",
        "alert.updated",
        "alert.withdrawn",
    ]


async def test_displays_confirm_with_their_own_token():
    """`displayed` after an issue, `removed` after a withdrawal, each for the revision that was accepted."""
    async with office() as place, standing(Receiver(1, "one")) as ground:
        await send(ground, body("issued", 1, receipts_url=place.url))
        who, displayed = await asyncio.wait_for(place.got.get(), 5)
        await send(ground, body("withdrawn", 2, receipts_url=place.url))
        _, removed = await asyncio.wait_for(place.got.get(), 5)
    assert who == "Bearer zl_1"
    assert (displayed["state"], displayed["revision"]) == ("displayed", 1)
    assert (removed["state"], removed["revision"]) == ("removed", 2)


async def test_a_stubborn_partner_stays_lit_and_confirms_nothing():
    """It takes the withdrawal with 2xx: only the missing receipt tells."""
    receiver = Receiver(1, "one", behaviour=Behaviour.STUBBORN)
    async with office() as place, standing(receiver) as ground:
        await send(ground, body("issued", 1, receipts_url=place.url))
        await asyncio.wait_for(place.got.get(), 5)
        assert await send(ground, body("withdrawn", 2, receipts_url=place.url)) == 200
        assert receiver.lit("a1")
        assert place.got.empty()
        assert ground.field._receipts == set()


async def test_a_failing_partner_recovers():
    """500 for the first messages, then as it should be."""
    receiver = Receiver(1, "one", behaviour=Behaviour.FAILING)
    async with standing(receiver) as ground:
        assert [await send(ground, body("issued", 1)) for _ in range(3)] == [500, 500, 200]
        assert receiver.lit("a1")
        assert receiver.repeats == []


async def test_a_hanging_partner_answers_nothing_at_first(monkeypatch):
    """Its first message gets no answer while the sender waits; the next one does."""
    monkeypatch.setattr(simulated, "HANG_S", 10)
    receiver = Receiver(1, "one", behaviour=Behaviour.HANGING)
    async with standing(receiver) as ground:
        first = asyncio.create_task(send(ground, body("issued", 1)))
        while receiver._messages == 0:  # noqa: ASYNC110 - a receiver tells nobody
            await asyncio.sleep(0.01)
        assert await asyncio.wait({first}, timeout=0.2) == (set(), {first})
        first.cancel()
        assert await send(ground, body("issued", 1)) == 200
        assert receiver.lit("a1")


async def test_a_slow_partner_decides_when_it_is_done_and_not_before():
    """A withdrawal that comes while an issue is still being worked on wins."""
    receiver = Receiver(1, "one", behaviour=Behaviour.SLOW)
    async with standing(receiver) as ground:
        began = time.monotonic()
        issue = asyncio.create_task(send(ground, body("issued", 1)))
        assert await send(ground, body("withdrawn", 2)) == 200
        assert await issue == 200
        assert time.monotonic() - began >= 1
        assert receiver.displays.state["alerts"]["a1"]["revision"] == 2
        assert not receiver.lit("a1")


async def test_a_display_that_is_not_renewed_goes_dark_by_itself():
    """The lease counts from the signed time; a renewal of the shown revision makes it longer."""
    receiver = Receiver(1, "one")
    async with standing(receiver) as ground:
        await send(ground, body("issued", 1, display_for_s=60))
        later = datetime.now(UTC) + timedelta(seconds=61)
        assert receiver.lit("a1")
        assert not receiver.lit("a1", later)
        renewal = {"alert_id": "a1", "revision": 1, "display_for_s": 1800}
        assert (
            await send(ground, {"type": "display.renewed", "timestamp": "", "data": {"alerts": [renewal]}})
            == 200
        )
        assert receiver.lit("a1", later)


async def renew(ground, revision, **rest):
    one = {"alert_id": "a1", "revision": revision, "display_for_s": 1800}
    message = {"type": "display.renewed", "timestamp": "", "data": {"alerts": [one]}}
    return await send(ground, message, **rest)


async def test_a_renewal_lights_nothing():
    """Of another revision, of an alert that was withdrawn or never came: answered with 2xx, and nothing is shown."""
    receiver = Receiver(1, "one")
    later = datetime.now(UTC) + timedelta(seconds=61)
    async with standing(receiver) as ground:
        assert await renew(ground, 1) == 200
        await send(ground, body("issued", 2, display_for_s=60))
        for revision in (1, 3):
            assert await renew(ground, revision) == 200
        assert receiver.lit("a1")
        assert not receiver.lit("a1", later)
        await send(ground, body("withdrawn", 3))
        for revision in (2, 3):
            assert await renew(ground, revision) == 200
        assert not receiver.lit("a1")


async def test_a_late_renewal_counts_from_when_it_was_signed():
    """One that was held up for minutes gives only what is left of it."""
    receiver = Receiver(1, "one")
    async with standing(receiver) as ground:
        await send(ground, body("issued", 1, display_for_s=60))
        assert await renew(ground, 1, at=datetime.now(UTC) - timedelta(minutes=4)) == 200
        assert receiver.lit("a1", datetime.now(UTC) + timedelta(minutes=25))
        assert not receiver.lit("a1", datetime.now(UTC) + timedelta(minutes=27))


async def test_no_display_outlasts_the_end_of_its_alert():
    """The lease may be longer than the alert: the end that the body names counts."""
    receiver = Receiver(1, "one")
    end = datetime.now(UTC) + timedelta(seconds=30)
    async with standing(receiver) as ground:
        await send(ground, body("issued", 1, expires_at=end.isoformat()))
        assert receiver.lit("a1")
        assert not receiver.lit("a1", end + timedelta(seconds=1))


async def test_a_message_that_is_faster_than_the_registrations_answer_waits_for_it():
    """The handshake may come before the receiver has read its secret."""
    receiver = Receiver(1, "one")
    async with Field([receiver]) as field, aiohttp.ClientSession() as client:
        ground = SimpleNamespace(field=field, client=client)
        ping = asyncio.create_task(send(ground, {"type": "ping", "timestamp": "", "data": {}}))
        await asyncio.sleep(0)
        receiver.know("p", SECRET, "zl")
        assert await ping == 200


async def test_nothing_is_left_of_a_field_that_ends_while_it_answers(monkeypatch):
    """A message that is being answered then begins no receipt on what is closed already."""
    errors = []

    async def a_moment(receiver):
        await asyncio.sleep(0.2)
        return 200

    monkeypatch.setattr(Receiver, "_misbehave", a_moment)
    async with office() as somewhere:
        receiver = Receiver(1, "Spoorschermen België", Behaviour.NORMAL)
        receiver.know("partner-1", SECRET, "zl_1")
        field = Field([receiver])
        confirm = field._send_receipt

        async def noted(*what):
            try:
                await confirm(*what)
            except RuntimeError as error:
                errors.append(error)

        monkeypatch.setattr(field, "_send_receipt", noted)
        async with field, aiohttp.ClientSession() as client:
            ground = SimpleNamespace(field=field, client=client)
            sending = asyncio.create_task(send(ground, body("issued", 1, receipts_url=somewhere.url)))
            await asyncio.sleep(0.1)
            await field.__aexit__()
            await asyncio.gather(sending, return_exceptions=True)
            assert (len(receiver.history), errors, field._receipts) == (1, [], set())
