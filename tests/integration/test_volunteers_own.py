"""What somebody changes about themselves behind a link: without an account, and without telling a stranger who they are."""

import asyncio
import re
from datetime import UTC, date, datetime, time, timedelta
from uuid import uuid4

import pytest
from volunteers_ground import another, client_of, ground_of

from services.kernel.problems import NotFoundError
from services.volunteers import links, own, roster
from services.volunteers.domain.clock import WrongDateError, date_of
from services.volunteers.importing import import_file

WAYS = ["sms:+32470000123", "an@example.org", "voice:+32470000456"]


@pytest.fixture
async def ground(pool, vault, settings):
    async with ground_of(pool, vault, settings) as found:
        yield found


@pytest.fixture
async def site(ground):
    async with client_of(ground.pool, ground.vault, ground.settings) as client:
        yield client


@pytest.fixture
async def who(ground):
    [found] = await ground.people(
        another(1, given_name="Xanthippe", channels=WAYS, team="local", radius_km=25)
    )
    return found


@pytest.fixture
async def path(ground, who):
    made = await own.link(ground.deps, who)
    return re.search(r"/me/\S+", made["url"])[0]


@pytest.fixture
def opened(ground, site, who, path):
    """Somebody at their page."""
    return ground, site, who, path


async def profile(ground, who):
    return (await roster.one(ground.deps, who)).profile


async def test_the_page_tells_a_stranger_neither_name_nor_number(site, path):
    """A link may be forwarded: it shows the ends of the ways to somebody and nothing that finds them."""
    page = await site.look(path)
    assert page.status == 200
    for way in WAYS:
        assert way.partition(":")[2][:-3] not in page.text or "@" in way
        assert way[-3:] in page.text
    assert not [word for word in ("Xanthippe", "an@example", "+3247") if word in page.text]


async def test_each_button_changes_what_it_says_and_nothing_else(ground, site, who, path):
    """Order of the ways, quiet hours, days away, languages, car and distance, consent."""
    before = await profile(ground, who)
    mark = re.findall(r'name="channel" value="([0-9a-f]+)"', (await site.look(path)).text)[0]
    assert (await site.press(path, act="first", channel=mark)).status == 303
    assert (await profile(ground, who)).channels == [WAYS[1], WAYS[0], WAYS[2]]
    await site.press(path, **{"act": "quiet", "from": "23h", "until": "6.30"})
    assert (await profile(ground, who)).quiet.begins == time(23)
    assert (await profile(ground, who)).quiet.until == time(6, 30)
    await site.press(path, **{"act": "quiet", "from": "", "until": ""})
    await site.press(path, **{"act": "away", "from": "1.7.2099", "until": "2099-07-14"})
    [away] = (await profile(ground, who)).away
    zone = ground.settings.zone
    assert away.begins == datetime(2099, 7, 1, tzinfo=zone)
    assert away.until == datetime(2099, 7, 15, tzinfo=zone)
    await site.press(path, act="not_away", away=away.begins.isoformat())
    await site.press(path, act="languages", first="de", also="fr")
    assert [one.value for one in (await profile(ground, who)).languages] == ["de", "fr"]
    await site.press(path, act="car", car="on", radius_km="80")
    assert ((await profile(ground, who)).car, (await profile(ground, who)).radius_km) == (True, 80)
    await site.press(path, act="stop")
    assert not (await profile(ground, who)).consent
    await site.press(path, act="consent")
    after = await profile(ground, who)
    changed = {"channels": after.channels, "languages": after.languages, "car": True, "radius_km": 80}
    assert after == before.model_copy(update=changed)


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"act": "quiet", "from": "23:00", "until": ""}, "quiet"),
        ({"act": "quiet", "from": "25:00", "until": "6:00"}, "quiet"),
        ({"act": "quiet", "from": "8:00", "until": "8:00"}, "quiet"),
        ({"act": "away", "from": "2099-07-14", "until": "2099-07-01"}, "away"),
        ({"act": "away", "from": "31.2.2099", "until": "1.3.2099"}, "away"),
        ({"act": "away", "from": "9999-12-30", "until": "9999-12-31"}, "away"),
        ({"act": "car", "radius_km": "0"}, "car"),
        ({"act": "car", "radius_km": "-5 km"}, "car"),
        ({"act": "car", "radius_km": "9" * 5000}, "car"),
    ],
)
async def test_what_does_not_fit_is_said_at_its_field_and_changes_nothing(opened, form, field):
    ground, site, who, path = opened
    before = await profile(ground, who)
    answer = await site.press(path, **form)
    assert answer.status == 422
    assert f'id="{field}-wrong"' in answer.text
    assert all(f'value="{said}"' in answer.text for name, said in form.items() if name != "act")
    assert await profile(ground, who) == before


async def test_strange_words_change_nothing(ground, site, who, path):
    """A language that nobody speaks, a way that is not theirs, a button that is not there."""
    before = await profile(ground, who)
    assert (await site.press(path, act="languages", first="tlh")).status == 422
    for form in (
        {"act": "first", "channel": "00"},
        {"act": "channels", "channel": "sms:+32470999999"},
        {},
        {"act": "first"},
    ):
        assert (await site.press(path, **form)).status == 303
    assert await profile(ground, who) == before


async def test_a_form_with_more_fields_than_the_page_is_refused(site, path):
    """Not an error of ours, however many there are."""
    assert (await site.press(path, **{f"field{n}": "x" for n in range(200)})).status == 400


async def test_a_link_of_another_kind_or_person_or_day_opens_nothing(ground, site, who, path):
    """Forged, too old, of a message in place of a person, of somebody who never was."""
    master = ground.settings.master_key_bytes
    now = datetime.now(UTC)
    good = path.removeprefix("/me/")
    for token in (
        good[:-2] + ("AA" if good[-2:] != "AA" else "BB"),
        links.own_token(b"x" * 32, who, now + timedelta(days=1)),
        links.own_token(master, who, now - timedelta(seconds=2)),
        links.own_token(master, uuid4(), now + timedelta(days=1)),
        links.token(master, 1, now),
        "",
        "é",
    ):
        assert (await site.look(f"/me/{token}")).status in (403, 404), token
        assert (await site.press(f"/me/{token}", act="leave_for_good")).status in (403, 404), token
    assert (await site.look(f"/v/{good}")).status == 403
    assert await profile(ground, who)


async def test_leaving_is_asked_once_more_and_then_for_good(ground, site, who, path):
    asked = await site.press(path, act="leave")
    assert asked.status == 200
    assert "leave_for_good" in asked.text
    assert await profile(ground, who)
    assert (await site.press(path, act="leave_for_good")).status == 200
    with pytest.raises(NotFoundError):
        await roster.one(ground.deps, who)
    assert await ground.pool.fetchval("select count(*) from volunteers.person") == 0
    assert (await site.look(path)).status == 403
    assert (await site.press(path, act="leave_for_good")).status == 403


async def test_who_puts_another_way_first_is_nobody_new_to_the_next_file(ground, site, who, path):
    """The file names them by the way that it knows first; it would register, and call, the same person twice."""
    csv = (
        "given_name,family_name,team,languages,postal_code,channels,consent\n"
        f"Bo,Tweemaal,mobile,nl,3000,{' '.join(WAYS)},yes\n"
    ).encode()
    assert (await import_file(ground.deps, ground.ask, csv))["registered"] == 1
    rows = await ground.pool.fetch("select volunteer_id from volunteers.person where volunteer_id <> $1", who)
    second = rows[0]["volunteer_id"]
    for turn in (1, 2):
        form = [("act", "first"), ("channel", own._mark(ground.deps, WAYS[turn]))]
        await own.act(ground.deps, own.Owner(second, ground.ask), form)
        assert (await profile(ground, second)).channels[0] == WAYS[turn]
    again = await import_file(ground.deps, ground.ask, csv)
    assert again["registered"] == 0
    assert await ground.pool.fetchval("select count(*) from volunteers.person") == 2


async def test_the_answer_page_leads_there(ground, site):
    """Whoever was asked finds the way to their own details, and the link there lives a day."""
    [somebody] = await ground.people(another(7, lat=50.9, lon=4.7, channels=["sms:+32470000007"]))
    await ground.call_out(await ground.case(), lat=50.9, lon=4.7, people=1)
    await ground.work()
    link = re.search(r"http://[^/]+(/v/\S+)", ground.provider.texts("+32470000007")[-1])[1]
    path = re.search(r'href="(/me/[^"]+)"', (await site.look(link)).text)[1]
    assert (await site.look(path)).status == 200
    master, token = ground.settings.master_key_bytes, path.removeprefix("/me/")
    now = datetime.now(UTC)
    assert links.volunteer_behind(master, token, now) == somebody
    assert links.volunteer_behind(master, token, now + links.OWN_VALID + timedelta(minutes=1)) is None


def test_dates_as_people_write_them():
    assert date_of(" 1/7/2026 ") == date_of("2026-07-01") == date_of("01-07-2026") == date(2026, 7, 1)
    for text in ("", "1.7", "2026-13-01", "31.6.2026", "0.0.0000"):
        with pytest.raises(WrongDateError):
            date_of(text)


async def test_two_changes_at_once_both_count(ground, who):
    """One is made on what the other left: the second waits for the first, and loses nothing of it."""
    owner = own.Owner(who, ground.ask)
    await asyncio.gather(
        own.act(ground.deps, owner, [("act", "car"), ("car", "on")]),
        own.act(ground.deps, owner, [("act", "languages"), ("first", "fr")]),
        own.act(ground.deps, owner, [("act", "quiet"), ("from", "23"), ("until", "6")]),
    )
    found = await profile(ground, who)
    assert found.car
    assert found.quiet
    assert found.languages[0] == "fr"
