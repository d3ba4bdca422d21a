"""Messaging apps through Apprise, against a receiver on loopback: taken, refused, silent; and never from a sandbox."""

import pytest
from paging_ground import mail_server, push_server
from pydantic import SecretStr
from volunteers_ground import HERE, another, ground_of

from schemas.vocabulary import StandDown
from services.eventlog.store import read_stream
from services.volunteers import callouts
from services.volunteers.gateways import Gateways
from services.volunteers.sender import Sender


@pytest.fixture
async def app():
    async with push_server() as push:
        yield push


@pytest.fixture
async def ground(pool, vault, settings, app):
    async with mail_server() as (box, url):
        changed = settings.model_copy(
            update={"smtp_url": SecretStr(url), "volunteer_answer_s": 100.0, "delivery_timeout_s": 1.0}
        )
        async with ground_of(pool, vault, changed) as found:
            found.box = box
            yield found


def with_app(number, app, *others, **more):
    """Somebody who wants an app first."""
    return another(number, **HERE, channels=[f"{app.url}/an{number}", *others], **more)


async def test_an_app_is_told_in_the_persons_language_with_a_link_and_of_the_end(ground, app):
    """The question, then that it is over; the log knows the kind of channel alone."""
    await ground.people(with_app(1, app, languages=["fr"]))
    callout = await ground.call_out(await ground.case(), **HERE)
    await ground.work()
    await ground.act(callout, callouts.stand_down, StandDown.CALLED_OFF)
    await ground.work()
    asked, over = app.got
    assert asked["to"] == "an1"
    assert f"{ground.settings.base_url}/v/" in asked["message"]
    assert "Louvain" in asked["message"]
    assert "terminé" in over["message"]
    told = await read_stream(ground.pool, f"told-{callout}")
    assert [(e.data.step.value, e.data.channel) for e in told] == [("ask", "json"), ("stand_down", "json")]
    assert "127.0.0.1" not in str(told)


async def test_silence_in_an_app_leads_to_the_next_channel(ground, app):
    """Taken, and no answer in time: the text follows, then the mail; each once."""
    await ground.people(with_app(1, app, "sms:+32470000001", "an1@example.org"))
    await ground.call_out(await ground.case(), **HERE)
    await ground.work()
    assert (len(app.got), len(ground.provider.taken), len(ground.box.got)) == (1, 0, 0)
    for texted, mailed in ((1, 0), (1, 1), (1, 1)):
        await ground.later(101)
        await ground.work()
        assert (len(app.got), len(ground.provider.taken), len(ground.box.got)) == (1, texted, mailed)


@pytest.mark.parametrize("wrong", ["refuses", "hangs", "is not there"])
async def test_an_app_that_fails_leads_to_the_next_channel(ground, app, wrong):
    """Without waiting for an answer to what was never taken."""
    app.status, app.hangs_s = {"refuses": (500, 0), "hangs": (200, 3)}.get(wrong, (200, 0))
    gone = "json://127.0.0.1:9/x" if wrong == "is not there" else f"{app.url}/an1"
    await ground.people(another(1, **HERE, channels=[gone, "an1@example.org"]))
    callout = await ground.call_out(await ground.case(), **HERE)
    for _ in range(3):
        await ground.work()
        await ground.later(30)
    assert len(ground.box.to("an1@example.org")) == 1
    [person] = (await ground.board(callout))["people"]
    assert [(one["kind"], one["state"]) for one in person["message"]["channels"]] == [
        ("json", "failed"),
        ("email", "accepted"),
    ]


async def test_a_sandbox_and_people_of_exercises_reach_no_app(ground, app):
    """Not live: nothing leaves, whatever the address. Live: an exercise reaches the people of exercises alone."""
    await ground.people(with_app(1, app), with_app(2, app, exercise=True))
    live = ground.sender
    sandbox = ground.settings.model_copy(update={"volunteer_channels": "sandbox"})
    async with Gateways(sandbox) as gateways:
        ground.sender = Sender(ground.deps, gateways)
        for exercise in (False, True):
            await ground.call_out(await ground.case(exercise=exercise), **HERE)
        await ground.work()
    assert app.got == []
    assert ground.box.got == []
    ground.sender = live
    await ground.call_out(await ground.case(exercise=True), people=2, **HERE)
    await ground.work()
    assert {got["to"] for got in app.got} <= {"an2"}
