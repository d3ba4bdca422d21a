"""The page behind a link: what it shows, what its buttons do, and what links of others, old ones and made-up ones do."""

import base64
import re
import struct
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from volunteers_ground import another, client_of, ground_of

from schemas.commands import GiveTask
from schemas.events import Material
from schemas.vocabulary import StandDown
from services.eventlog.store import read_stream
from services.kernel.postgres import in_transaction
from services.volunteers import callouts, links, roster
from services.volunteers.callouts import callout_stream
from services.volunteers.domain.clock import WrongTimeError, next_time

BRUSSELS = ZoneInfo("Europe/Brussels")


@pytest.fixture
async def ground(pool, vault, settings):
    async with ground_of(pool, vault, settings) as found:
        yield found


@pytest.fixture
async def site(ground):
    async with client_of(ground.pool, ground.vault, ground.settings) as client:
        yield client


def person(number, **more):
    return another(number, lat=50.9, lon=4.7, channels=[f"sms:+3247{number:07}"], **more)


def link(ground, number, which=-1):
    """The path of the link in a message to somebody."""
    text = ground.provider.texts(f"+3247{number:07}")[which]
    return re.search(r"http://[^/]+(/v/\S+)", text)[1]


async def asked(ground, *profiles, **need):
    people = await ground.people(*profiles)
    case = await ground.case()
    callout = await ground.call_out(case, lat=50.9, lon=4.7, **need)
    await ground.work()
    return people, case, callout


async def answers(ground, callout):
    """Every answer on the log."""
    events = await read_stream(ground.pool, callout_stream(callout))
    return [event.data for event in events if event.type == "callout.answered.v1"]


async def test_looking_changes_nothing_and_a_button_answers(ground, site):
    """Mail scanners look; a person presses. Pressing twice, or sending the form again, says nothing new."""
    _, _, callout = await asked(ground, person(1), meeting_place="station <b>")
    path = link(ground, 1)
    for _ in range(3):
        page = await site.look(path)
        assert page.status == 200
    text = page.body.decode()
    assert "station &lt;b&gt;" in text
    assert "Leuven" in text
    assert "<script" not in text
    assert "Anneleen" not in text
    assert "Helpmans" not in text
    assert await answers(ground, callout) == []
    for _ in range(3):
        pressed = await site.press(path, reply="yes", revision="1")
        assert (pressed.status, pressed.headers["location"]) == (303, path)
    assert [one.reply.value for one in await answers(ground, callout)] == ["yes"]
    assert "ja, ik kom" in (await site.look(path)).body.decode()


@pytest.mark.parametrize(
    ("language", "words"),
    [("nl", "Ja, ik kom"), ("fr", "Oui, je viens"), ("de", "Ja, ich komme"), ("en", "Yes, I am coming")],
)
async def test_the_page_speaks_the_language_of_the_person_or_the_one_they_choose(
    ground, site, language, words
):
    """The profile's first, whatever the telephone is set to; `?lang=` wins."""
    await asked(ground, person(1, languages=[language]), person(2, languages=["nl"]))
    assert words in (await site.look(link(ground, 1), "nl")).body.decode()
    assert words in (await site.look(link(ground, 2) + f"?lang={language}")).body.decode()


async def test_from_a_time_on_is_kept_with_its_time(ground, site):
    """From 20:00 is from the next 20:00 by the clock on the wall; what is no time is refused, and nothing is noted."""
    _, _, callout = await asked(ground, person(1))
    path = link(ground, 1)
    wrong = await site.press(path, reply="later", since="soon", revision="1")
    assert wrong.status == 422
    assert "Er is nog niets genoteerd" in wrong.body.decode()
    assert await answers(ground, callout) == []
    await site.press(path, reply="later", since="20:00", revision="1")
    [one] = await answers(ground, callout)
    assert f"{one.since.astimezone(BRUSSELS):%H:%M}" == "20:00"
    assert timedelta() < one.since - datetime.now(UTC) <= timedelta(days=1, hours=1)
    assert "ja, vanaf" in (await site.look(path)).body.decode()


@pytest.mark.parametrize(
    ("text", "now", "wanted"),
    [
        ("20:00", "2026-03-02T19:59", "2026-03-02T20:00+01:00"),
        ("20:00", "2026-03-02T20:00", "2026-03-03T20:00+01:00"),
        (" 7 ", "2026-03-02T20:00", "2026-03-03T07:00+01:00"),
        ("7h30", "2026-03-02T20:00", "2026-03-03T07:30+01:00"),
        ("20.15", "2026-03-28T21:00", "2026-03-29T20:15+02:00"),
        ("20u", "2026-10-24T21:00", "2026-10-25T20:00+01:00"),
    ],
)
def test_a_time_is_the_next_one_by_the_clock_on_the_wall(text, now, wanted):
    """As people write it, also over a night in which the clock is moved."""
    moment = datetime.fromisoformat(now).replace(tzinfo=BRUSSELS)
    assert next_time(text, moment.astimezone(UTC), BRUSSELS) == datetime.fromisoformat(wanted)
    for wrong in ("", "24:00", "20:60", "soon", "8 pm", "²0:00"):
        with pytest.raises(WrongTimeError):
            next_time(wrong, moment, BRUSSELS)


async def test_links_that_are_not_ours_or_too_old_open_nothing(ground, site):
    """Changed in any place, cut, made up, beyond all numbers, or a week old: 403, and nothing is answered."""
    _, _, callout = await asked(ground, person(1), person(2))
    good = link(ground, 1).removeprefix("/v/")
    master, raw = ground.settings.master_key_bytes, base64.urlsafe_b64decode(good)
    number = struct.unpack(">Q", raw[:8])[0]
    spoiled = [raw[:n] + bytes([raw[n] ^ 1]) + raw[n + 1 :] for n in range(len(raw))]
    forged = [base64.urlsafe_b64encode(one).decode() for one in spoiled]
    old = links.token(master, number, datetime.now(UTC) - links.VALID)
    other = links.token(bytes(32), number, datetime.now(UTC))
    beyond = links.token(master, 2**64 - 1, datetime.now(UTC))
    nobody = links.token(master, 2**40, datetime.now(UTC))
    for token in (*forged, old, other, beyond, nobody, good[:-4], "x", "%C3%A9", good + good):
        assert (await site.look(f"/v/{token}")).status == 403, token
        assert (await site.press(f"/v/{token}", reply="yes")).status == 403, token
    assert await answers(ground, callout) == []


async def test_a_forwarded_link_speaks_for_its_owner_and_is_noticed(ground, site):
    """Who answers from another device than the first is believed, and the coordinator sees it."""
    people, _, callout = await asked(ground, person(1), person(2))
    path = link(ground, 1)
    first = await site.press(path, reply="yes", revision="1")
    cookie = re.search(r"volunteer=([^;]+)", first.headers["set-cookie"])[1]
    assert "HttpOnly" in first.headers["set-cookie"]
    await site.press(path, cookie=cookie, reply="no", revision="1")
    await site.press(path, cookie="another", reply="yes", revision="1")
    said = await answers(ground, callout)
    assert [(one.reply.value, one.other_device) for one in said] == [
        ("yes", False),
        ("no", False),
        ("yes", True),
    ]
    assert {one.volunteer_id for one in said} == {people[0]}


async def test_an_old_page_answers_what_it_showed(ground, site):
    """The page was open when the meeting place changed: its yes is kept, is no promise, and the page says so."""
    _, case, callout = await asked(ground, person(1), meeting_place="station")
    path = link(ground, 1)
    await ground.call_out(case, lat=50.9, lon=4.7, meeting_place="town hall")
    await site.press(path, reply="yes", revision="1")
    assert (await ground.board(callout))["coming"] == 0
    page = (await site.look(path)).body.decode()
    assert "Er is iets veranderd" in page
    assert "town hall" in page
    await site.press(path, reply="yes", revision="2")
    assert (await ground.board(callout))["coming"] == 1
    assert "Er is iets veranderd" not in (await site.look(path)).body.decode()


async def test_after_the_end_the_page_says_so_and_keeps_what_is_said(ground, site):
    """No button to answer with; an answer that comes all the same is kept as late."""
    _, _, callout = await asked(ground, person(1))
    path = link(ground, 1)
    await ground.act(callout, callouts.stand_down, StandDown.CALLED_OFF)
    page = (await site.look(path)).body.decode()
    assert "Het is voorbij" in page
    assert 'value="yes"' not in page
    await site.press(path, reply="yes", revision="1")
    assert [one.late for one in await answers(ground, callout)] == [True]


async def test_tasks_and_posters_on_the_page(ground, site):
    """Somebody sees their task, notes what they put up, and takes it off the list; nobody sees or touches another's."""
    people, _, callout = await asked(ground, person(1), person(2), people=2)
    paths = [link(ground, 1), link(ground, 2)]
    for path in paths:
        await site.press(path, reply="yes", revision="1")
    task = GiveTask(volunteers=[people[0]], places=["library"], material=Material(posters=20))
    await ground.act(callout, callouts.give_task, task)
    assert "library" in (await site.look(paths[0])).body.decode()
    assert "library" not in (await site.look(paths[1])).body.decode()
    await site.press(paths[0], act="placed", placed="door of the library")
    page = (await site.look(paths[0])).body.decode()
    poster = re.search(r'name="poster" value="([^"]+)"', page)[1]
    await site.press(paths[1], act="removed", poster=poster)
    assert [one["up"] for one in (await ground.board(callout))["posters"]] == [True]
    await ground.act(callout, callouts.stand_down, StandDown.CASE_CLOSED)
    assert "Haal nog weg" in (await site.look(paths[0])).body.decode()
    for _ in range(2):
        await site.press(paths[0], act="removed", poster=poster)
    assert [one["up"] for one in (await ground.board(callout))["posters"]] == [False]


async def test_somebody_takes_a_rest_comes_back_or_wants_no_more_calls(ground, site):
    """Without an account: a day off, back again, or never; and after being forgotten the link opens nothing."""
    [who, _], _, _ = await asked(ground, person(1), person(2))
    path = link(ground, 1)

    async def profile():
        return (await roster.one(ground.deps, who)).profile

    await site.press(path, act="away_day")
    [away] = (await profile()).away
    assert away.until - away.begins == timedelta(days=1)
    assert "We bellen u niet tot" in (await site.look(path)).body.decode()
    await ground.call_out(await ground.case(), lat=50.9, lon=4.7)
    await ground.work()
    assert len(ground.provider.texts("+32470000001")) == 1
    await site.press(path, act="back")
    assert (await profile()).away == []
    await site.press(path, act="stop")
    assert (await profile()).consent is False
    await in_transaction(ground.pool, lambda c: roster.leave(ground.deps, ground.ask, c, who))
    assert (await site.look(path)).status == 403
    assert (await site.press(path, act="back")).status == 403
