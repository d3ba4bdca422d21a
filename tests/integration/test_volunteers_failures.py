"""How calling people failed elsewhere: each a test. Those that other modules hold are named in `docs/promises.md`."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from paging_ground import mail_server
from pydantic import SecretStr
from volunteers_ground import HERE, at_km, ground_of, texts, waves_alone

from schemas.vocabulary import StandDown
from services.eventlog.store import read_stream
from services.volunteers import callouts


@pytest.fixture
async def mailing(pool, vault, settings):
    """Live, with a mail server beside the provider; the next channel after 100 s."""
    async with mail_server() as (box, url):
        changed = settings.model_copy(update={"smtp_url": SecretStr(url), "volunteer_answer_s": 100.0})
        async with ground_of(pool, vault, changed) as ground:
            ground.box = box
            yield ground


def quiet_now(zone):
    """Quiet hours that have just begun, by the clock on the wall."""
    now = datetime.now(zone)
    return {
        "quiet": {"from": f"{now - timedelta(minutes=5):%H:%M}", "until": f"{now + timedelta(hours=2):%H:%M}"}
    }


def away_now(_zone):
    now = datetime.now(UTC)
    return {"away": [{"from": str(now - timedelta(minutes=1)), "until": str(now + timedelta(days=1))}]}


NOT_NOW = {
    "quiet hours": quiet_now,
    "off duty": lambda _zone: {"hours": []},
    "away": away_now,
    "consent taken back": lambda _zone: {"consent": False},
}


@pytest.mark.parametrize("why", NOT_NOW)
async def test_what_was_planned_before_wakes_nobody_after(mailing, why):
    """Chosen while they could be called; when the message, or its next channel, is due they cannot: nothing leaves."""
    first, second = await mailing.people(at_km(1, 1), at_km(2, 2))
    callout = await mailing.call_out(await mailing.case(), **HERE)
    await waves_alone(mailing)
    await mailing.change(first, **NOT_NOW[why](mailing.settings.zone))
    await mailing.work()
    assert [len(texts(mailing, n)) for n in (1, 2)] == [0, 1]
    await mailing.change(second, **NOT_NOW[why](mailing.settings.zone))
    for _ in range(2):
        await mailing.later(101)
        await mailing.work()
    assert mailing.box.got == []
    assert [len(texts(mailing, n)) for n in (1, 2)] == [0, 1]
    shown = {one["name"]: one["message"] for one in (await mailing.board(callout))["people"]}
    assert shown["An1 Helpmans"]["state"] == "failed", "a coordinator sees whom nothing reached"
    assert {one["state"] for one in shown["An1 Helpmans"]["channels"]} == {"withheld"}


async def test_who_promised_to_come_hears_of_changes_and_the_end_in_quiet_hours(mailing):
    """Somebody is out there in the night, it is elsewhere, then it is over: quiet hours are no reason to let them search."""
    [who] = await mailing.people(at_km(1, 1))
    case = await mailing.case()
    callout = await mailing.call_out(case, **HERE)
    await mailing.work()
    await mailing.says(callout, who)
    await mailing.change(who, **quiet_now(mailing.settings.zone))
    await mailing.call_out(case, meeting_place="station", **HERE)
    await mailing.work()
    assert "station" in texts(mailing, 1)[1]
    await mailing.act(callout, callouts.stand_down, StandDown.CALLED_OFF)
    await mailing.work()
    assert "voorbij" in texts(mailing, 1)[2]


async def test_nobody_is_asked_once_it_is_too_late_to_come(mailing):
    """People are needed until a time: neither the next channel nor the next wave outlives it."""
    await mailing.people(*(at_km(n, n) for n in range(1, 5)))
    by = datetime.now(UTC) + timedelta(seconds=1.5)
    await mailing.call_out(await mailing.case(), by=str(by), **HERE)
    await mailing.work()
    assert [len(texts(mailing, n)) for n in range(1, 5)] == [1, 1, 0, 0]
    await asyncio.sleep((by - datetime.now(UTC)).total_seconds())
    for _ in range(3):
        await mailing.later()
        await mailing.work()
    assert mailing.box.got == []
    assert [len(texts(mailing, n)) for n in range(1, 5)] == [1, 1, 0, 0]


async def test_somebody_whose_message_hangs_holds_up_nobody(pool, vault, settings):
    """The provider thinks for ever about one number: the other thirty are told at once, and it is tried again."""
    stuck = asyncio.Event()

    async def behave(message):
        if message["to"].endswith("01"):
            await stuck.wait()

    short = settings.model_copy(update={"delivery_timeout_s": 4.0})
    async with ground_of(pool, vault, short, behaviour=behave) as ground:
        await ground.people(*(at_km(n, n) for n in range(1, 32)))
        await ground.call_out(await ground.case(), people=16, **HERE)
        begun = time.monotonic()
        working = asyncio.create_task(ground.work())
        while len(ground.provider.taken) < 30:
            assert time.monotonic() - begun < 3.5
            await asyncio.sleep(0.02)
        await working
        stuck.set()
        await ground.later(60)
        await ground.work()
        assert {len(texts(ground, n)) for n in range(1, 32)} == {1}


ANSWERS = {
    "on standby": None,
    "asked, and nothing has left": "planned",
    "asked, no answer": "asked",
    "yes": "yes",
    "no": "no",
    "from a time on": "later",
}


@pytest.mark.parametrize("answered", ANSWERS)
async def test_an_end_is_refused_in_no_state_and_asks_nobody(mailing, answered):
    """Whatever somebody answered, or did not: it ends, is told at most once, and nothing is asked after it."""
    [who] = await mailing.people(at_km(1, 1))
    case = await mailing.case()
    callout = await mailing.call_out(case, **HERE)
    said = ANSWERS[answered]
    if said == "planned":
        await waves_alone(mailing)
    elif said:
        await mailing.work()
        if said in ("yes", "no", "later"):
            since = datetime.now(UTC) + timedelta(hours=2) if said == "later" else None
            await mailing.says(callout, who, said, since=since)
    before = len(texts(mailing, 1))
    for _ in range(2):
        done = await mailing.act(callout, callouts.stand_down, StandDown.CALLED_OFF)
        assert done.state.over
        for _ in range(2):
            await mailing.later()
            await mailing.work()
    assert len(texts(mailing, 1)) - before == (1 if said in ("asked", "yes", "later") else 0)
    assert mailing.box.got == []
    ended = [
        e for e in await read_stream(mailing.pool, f"callout-{callout}") if e.type.endswith("stood_down.v1")
    ]
    assert len(ended) == 1
