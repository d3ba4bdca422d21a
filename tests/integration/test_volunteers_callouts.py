"""Call-outs on a real database, with a provider and a mail server on loopback: who is told what, when, and how often."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import asyncpg
import paging_ground
import pytest
from aiohttp import web
from paging_ground import mail_server
from pydantic import SecretStr
from volunteers_ground import HERE, add_events, at_km, client_of, ground_of, phone, texts, waves_alone
from web_ground import listening

from schemas.commands import CallOut, GiveTask, PlacePoster, RemovePoster
from schemas.events import CASE_EVENTS, AlertIssued, AlertWithdrawn, AssessmentChanged, Material
from schemas.vocabulary import AlertKind, CaseKind, Reply, StandDown
from services.eventlog import wire
from services.eventlog.store import Cause, Recorded, read_stream
from services.kernel.ids import new_id
from services.kernel.messages import Message
from services.kernel.paging import acknowledge, open_pages
from services.kernel.postgres import in_transaction
from services.kernel.principals import Role
from services.kernel.problems import ConflictError, NotFoundError
from services.simulation.text_provider import Mischief
from services.volunteers import callouts, roster, waves
from services.volunteers.callouts import callout_stream
from services.volunteers.desk import VolunteerDeps
from services.volunteers.gateways import Gateways
from services.volunteers.sender import Sender
from services.volunteers.standby import Follower, alerted, end_with_cases


@pytest.fixture
async def ground(pool, vault, settings):
    async with ground_of(pool, vault, settings) as found:
        yield found


async def test_the_nearest_are_asked_once_in_their_language_and_of_nothing_but_the_place(ground):
    """One is needed: the two nearest get one message each, with a place, a time and a link; the others get nothing."""
    people = await ground.people(at_km(1, 30), at_km(2, 2), at_km(3, 5, languages=["fr"]))
    case = await ground.case()
    by = datetime(datetime.now(UTC).year + 1, 3, 2, 20, 0, tzinfo=UTC)
    callout = await ground.call_out(case, **HERE, meeting_place="station, hall B", by=by)
    await ground.work()
    assert [len(texts(ground, n)) for n in (1, 2, 3)] == [0, 1, 1]
    [text] = texts(ground, 2)
    assert text.startswith("116 000: kunt u komen helpen in Leuven, station, hall B, voor 02.03. 21:00?")
    assert f"{ground.settings.base_url}/v/" in text
    assert "pouvez-vous" in texts(ground, 3)[0]
    board = await ground.board(callout)
    assert board["waves"] == [board["waves"][0] | {"wave": 1, "asked": 2, "left_out": {}}]
    first = board["people"][0]
    assert (first["volunteer_id"], first["asked"]["distance_km"]) == (str(people[1]), 2.0)
    assert first["message"]["channels"][0] | {"at": ""} == {
        "channel": 0, "kind": "sms", "state": "accepted", "tries": 1, "at": "",
    }  # fmt: skip
    await ground.later(60)
    await ground.work()
    assert len(ground.provider.requests) == 2 + 0, "time went by, but not enough for another channel"


async def test_who_cannot_be_called_is_not_called_and_counted(ground):
    """No consent, away, off duty, too far: nobody of them hears anything, and the log says how many there were."""
    now = datetime.now(UTC)
    away = [{"from": str(now - timedelta(hours=1)), "until": str(now + timedelta(hours=1))}]
    await ground.people(
        at_km(1, 1, consent=False),
        at_km(2, 1, away=away),
        at_km(3, 1, hours=[]),
        at_km(4, 80, team="local", radius_km=50),
        at_km(5, 40, team="local", radius_km=50),
    )
    callout = await ground.call_out(await ground.case(), **HERE)
    await ground.work()
    assert [len(texts(ground, n)) for n in range(1, 6)] == [0, 0, 0, 0, 1]
    assert (await ground.board(callout))["waves"][0]["left_out"] == {
        "no_consent": 1, "away": 1, "off_duty": 1, "too_far": 1,
    }  # fmt: skip


async def test_enough_is_enough(ground):
    """Two of four say yes: the others hear once that they are not needed, and nobody else is asked."""
    people = await ground.people(*(at_km(n, n) for n in range(1, 7)))
    callout = await ground.call_out(await ground.case(), people=2, **HERE)
    await ground.work()
    await ground.says(callout, people[0])
    await ground.says(callout, people[1])
    await ground.work()
    assert [len(texts(ground, n)) for n in range(1, 7)] == [1, 1, 2, 2, 0, 0]
    assert "U hoeft niet meer te komen" in texts(ground, 3)[1]
    await ground.later()
    await ground.work()
    assert len(ground.provider.taken) == 6
    await ground.says(callout, people[0], "no")
    await ground.work()
    assert [len(texts(ground, n)) for n in (5, 6)] == [1, 1], "who drops out is replaced at once"


async def test_load_is_shared(ground):
    """Who was out for one case is asked for the next only after others who live a little farther."""
    people = await ground.people(*(at_km(n, n) for n in range(1, 5)))
    first = await ground.call_out(await ground.case(), **HERE)
    await ground.work()
    await ground.says(first, people[0])
    second = await ground.call_out(await ground.case(), **HERE)
    await ground.work()
    asked = [one["volunteer_id"] for one in (await ground.board(second))["people"]]
    assert asked == [str(people[2]), str(people[3])], "one is out, the other was asked a moment ago"


async def test_what_is_lacking_is_looked_for_among_everybody(ground, monkeypatch):
    """A car, French, a skill, which only people far away have: they are asked beside the nearest, and the board says why."""
    monkeypatch.setattr(waves, "MOST_AT_ONCE", 2)  # so that nobody far away is found as one of the nearest
    near = [at_km(n, n, languages=["nl"]) for n in range(1, 5)]
    far = [at_km(8, 80, languages=["nl"], car=True), at_km(9, 90, languages=["nl", "fr"])]
    far += [
        at_km(n, 60 + 5 * n, languages=["nl"], skills=has)
        for n, has in ((6, ["fr", "car"]), (7, ["first_aid"]))
    ]
    await ground.people(*near, *far)
    callout = await ground.call_out(
        await ground.case(), people=2, cars=1, languages=["fr"], skills=["first_aid"], **HERE
    )
    await ground.work()
    asked = {one["name"]: one["asked"]["chosen_for"] for one in (await ground.board(callout))["people"]}
    assert asked == {"An7 Helpmans": ["skill:first_aid"], "An8 Helpmans": ["car"], "An9 Helpmans": ["fr"]} | {
        f"An{n} Helpmans": [] for n in range(1, 2)
    }
    assert (await ground.board(callout))["lacking"]["skills"] == ["first_aid"]


async def test_silence_leads_to_the_next_channel_and_an_answer_to_peace(pool, vault, settings):
    """Without an answer in time the e-mail follows the text, once; who answers hears no more of it."""
    async with mail_server() as (box, url):
        mailing = settings.model_copy(update={"smtp_url": SecretStr(url), "volunteer_answer_s": 100.0})
        async with ground_of(pool, vault, mailing) as ground:
            people = await ground.people(at_km(1, 1), at_km(2, 2))
            callout = await ground.call_out(await ground.case(), **HERE)
            await ground.work()
            await ground.says(callout, people[0], "no")
            await ground.later(101)
            await ground.work()
            assert box.to("an1@example.org") == []
            [mail] = box.to("an2@example.org")
            assert "/v/" in mail.get_content()
            for _ in range(3):
                await ground.later(101)
                await ground.work()
            assert len(box.got) == 1
            assert [len(texts(ground, n)) for n in (1, 2)] == [1, 1]
            told = await read_stream(pool, f"told-{callout}")
            assert [e.data.channel for e in told for _ in e.data.volunteers] == ["sms", "sms", "email"]


async def test_a_provider_that_is_away_or_refuses_does_not_hold_anybody_up(pool, vault, settings):
    """A refusal leads to the next channel at once, errors after three tries, and a wait that is asked for is kept."""
    answers = {phone(1): 404, phone(2): 500, phone(3): 429}

    async def behave(message):
        status = answers.get(f"sms:{message['to']}")
        return status and web.Response(status=status, headers={"Retry-After": "120"} if status == 429 else {})

    async with mail_server() as (box, url):
        mailing = settings.model_copy(update={"smtp_url": SecretStr(url)})
        async with ground_of(pool, vault, mailing, behaviour=behave) as ground:
            await ground.people(at_km(1, 1), at_km(2, 2), at_km(3, 3))
            await ground.call_out(await ground.case(), people=2, **HERE)
            await ground.work()
            assert [len(box.to(f"an{n}@example.org")) for n in (1, 2, 3)] == [1, 0, 0]
            for _ in range(2):
                await ground.later(100)
                await ground.work()
            assert [len(box.to(f"an{n}@example.org")) for n in (1, 2, 3)] == [1, 1, 0]
            tried = [m["id"] for m in ground.provider.requests if m["to"] == phone(2).removeprefix("sms:")]
            assert len(tried) == 3
            assert len(set(tried)) == 1, "the same message at every try"
            assert texts(ground, 3) == []
            answers.clear()
            await ground.later(121)
            await ground.work()
            assert len(texts(ground, 3)) == 1
            assert box.to("an3@example.org") == []


async def test_reports_may_be_late_twice_out_of_order_or_early(pool, vault, settings):
    """Only a failure of what was not delivered leads to the next channel, and only once; forged ones lead nowhere."""
    async with mail_server() as (box, url):
        mailing = settings.model_copy(update={"smtp_url": SecretStr(url)})
        async with (
            ground_of(pool, vault, mailing) as ground,
            client_of(pool, vault, ground.settings) as client,
        ):

            async def report(message, state, **more):
                body = {"id": message["id"], "state": state} | more
                return (await client.signed("/v1/volunteers/reports", body, ground.provider)).status

            async def early(message):
                if message["to"].endswith("3"):
                    assert await report(message, "failed") == 204

            ground.provider.behaviour = early
            people = await ground.people(at_km(1, 1), at_km(2, 2), at_km(3, 3), at_km(4, 4))
            callout = await ground.call_out(await ground.case(), people=2, **HERE)
            await ground.work()
            by = {m["to"][-1]: m for m in ground.provider.taken.values()}
            assert [len(box.to(f"an{n}@example.org")) for n in (1, 2, 3)] == [0, 0, 1]
            for state in ("delivered", "failed", "accepted", "delivered"):
                assert await report(by["1"], state) == 204
            for _ in range(3):
                assert await report(by["2"], "failed") == 204
            await ground.work()
            assert [len(box.to(f"an{n}@example.org")) for n in (1, 2, 3)] == [0, 1, 1]
            assert await report(by["4"], "replied", reply="yes") == 204
            assert await report(by["4"], "replied", reply="yes") == 204
            assert (await ground.board(callout))["coming"] == 1
            assert str(people[3]) in str(await ground.board(callout))
            assert await report(by["1"] | {"id": "0" * 32 + "-0"}, "failed") == 404
            body = {"id": by["1"]["id"], "state": "replied", "reply": "no"}
            forged = await client.signed(
                "/v1/volunteers/reports", body, ground.provider, secret="whsec_" + "A" * 32
            )
            assert forged.status == 401
            assert (await ground.board(callout))["people"][0]["asked"]["reply"] is None


async def test_a_provider_that_does_everything_wrong_gets_everything_through(pool, vault, settings):
    """It rejects, takes without saying so, reports late, twice, in any order or never: one message each, and no other way."""
    tries = Counter()

    async def behave(message):
        number = int(message["to"][-2:])
        tries[number] += 1
        if tries[number] > 1:
            return None
        if number % 5 == 0:
            return web.Response(status=503)
        if number % 3 == 0:
            ground.provider.taken[message["id"]] = message
            return web.Response(status=500)
        return None

    mischief = Mischief(lost=0.2, twice=0.4, late_s=0.3)
    provider = {"behaviour": behave, "reports": True, "mischief": mischief}
    async with (
        ground_of(pool, vault, settings, **provider) as ground,
        listening(ground.settings, pool) as site,
    ):
        public = ground.settings.model_copy(update={"public_url": site.base})
        async with Gateways(public) as gateways:
            ground.sender = Sender(VolunteerDeps(pool, vault, public), gateways)
            await ground.people(*(at_km(n, n) for n in range(1, 25)))
            await ground.call_out(await ground.case(), people=12, **HERE)
            await ground.work()
            await ground.later(60)
            await ground.work()
            while ground.provider._reporting:
                await asyncio.wait(set(ground.provider._reporting))
    assert {len(got) for got in ground.provider.by_number().values()} == {1}
    assert len(ground.provider.by_number()) == 24
    rows = await pool.fetch("select channel, state from volunteers.transmission")
    assert {row["channel"] for row in rows} == {0}, "nobody is told another way"
    states = Counter(row["state"] for row in rows)
    assert states.keys() <= {"accepted", "delivered"}
    assert states["delivered"] > 5


async def test_the_end_overtakes_what_has_not_left(pool, vault, settings):
    """Who was told is called back; who was not, is not even told that it is over."""
    async with ground_of(pool, vault, settings) as ground:
        people = await ground.people(*(at_km(n, n) for n in range(1, 4)))
        callout = await ground.call_out(await ground.case(), **HERE)
        await ground.work()
        await ground.act(callout, callouts.stand_down, StandDown.CALLED_OFF)
        await ground.work()
        assert [len(texts(ground, n)) for n in (1, 2, 3)] == [2, 2, 0]
        assert "het is voorbij" in texts(ground, 1)[1]
        other = await ground.call_out(await ground.case(), people=3, **HERE)
        await waves_alone(ground)
        await ground.act(other, callouts.stand_down, StandDown.CALLED_OFF)
        await ground.work()
        assert len(ground.provider.taken) == 4, "nothing had left, so that nothing is called back"
        late = await ground.says(callout, people[0])
        assert late.events[0].late
        await ground.work()
        assert len(ground.provider.taken) == 4


async def test_the_end_of_a_case_ends_its_call_out_even_for_what_is_claimed(ground):
    """The store says that the case is closed: what a sender holds does not leave, and the rest is called back."""
    await ground.people(at_km(1, 1), at_km(2, 2))
    case = await ground.case()
    callout = await ground.call_out(case, **HERE)
    await waves_alone(ground)
    await ground.close(case)
    await ground.send()
    assert ground.provider.taken == {}
    assert await end_with_cases(ground.deps, timedelta(hours=1)) == 1
    assert await end_with_cases(ground.deps, timedelta(hours=1)) == 0
    assert (await ground.board(callout))["state"] == "over"
    with pytest.raises(ConflictError):
        await ground.call_out(case, **HERE)
    await ground.later(100)
    await ground.work()
    assert ground.provider.taken == {}


async def test_the_last_look_keeps_back_what_nobody_waits_for_any_more(ground):
    """Somebody answers by telephone while a sender holds the question to them: it does not leave."""
    people = await ground.people(at_km(1, 1), at_km(2, 2))
    callout = await ground.call_out(await ground.case(), **HERE)
    await waves_alone(ground)
    look = ground.sender._kept_back

    async def slow(row, about):
        if row["volunteer_id"] == people[0]:
            await ground.says(callout, people[0], "no")
        return await look(row, about)

    ground.sender._kept_back = slow
    await ground.send()
    assert [len(texts(ground, n)) for n in (1, 2)] == [0, 1]
    await ground.later()
    await ground.work()
    assert texts(ground, 1) == []


async def test_another_place_is_told_to_who_may_still_come(ground):
    """A changed meeting place goes once to who said yes or may still do; a repeated command tells nobody anything."""
    people = await ground.people(at_km(1, 1), at_km(2, 2), at_km(3, 3), at_km(4, 4))
    case = await ground.case()
    callout = await ground.call_out(case, people=2, meeting_place="station", **HERE)
    await ground.work()
    await ground.says(callout, people[0])
    await ground.says(callout, people[1], "no")
    for _ in range(2):
        await ground.call_out(case, people=2, meeting_place="town hall", **HERE)
        await ground.work()
    assert [len(texts(ground, n)) for n in (1, 2, 3, 4)] == [2, 1, 2, 2]
    assert "town hall" in texts(ground, 1)[1]
    assert (await ground.board(callout))["coming"] == 0
    await ground.says(callout, people[0], revision=1)
    assert (await ground.board(callout))["coming"] == 0, "that was the answer to the first message"
    await ground.says(callout, people[0], revision=2)
    assert (await ground.board(callout))["coming"] == 1


async def test_two_answers_at_once_are_both_kept_and_the_last_counts(ground):
    """Neither is lost, whoever comes first."""
    [who] = await ground.people(at_km(1, 1))
    callout = await ground.call_out(await ground.case(), **HERE)
    await ground.work()
    await asyncio.gather(*(ground.says(callout, who, reply) for reply in ("yes", "no") * 5))
    events = await read_stream(ground.pool, callout_stream(callout))
    said = [event.data.reply for event in events if event.type == "callout.answered.v1"]
    assert set(said) == {Reply.YES, Reply.NO}
    assert all(a is not b for a, b in pairwise(said))
    board = await ground.board(callout)
    assert board["people"][0]["asked"]["reply"] == said[-1]


async def test_an_exercise_and_the_real_thing_never_meet(ground):
    """People of exercises are called in exercises alone, and no row of the database can say otherwise."""
    real, drilled = await ground.people(at_km(1, 1), at_km(2, 1, exercise=True))
    actual = await ground.call_out(await ground.case(), **HERE)
    drill = await ground.call_out(await ground.case(exercise=True), **HERE)
    await ground.work()
    assert [one["volunteer_id"] for one in (await ground.board(actual))["people"]] == [str(real)]
    assert [one["volunteer_id"] for one in (await ground.board(drill))["people"]] == [str(drilled)]
    assert texts(ground, 2)[0].startswith("OEFENING: ")
    assert not texts(ground, 1)[0].startswith("OEFENING")
    for callout, who, exercise in ((drill, real, True), (actual, drilled, False), (drill, real, False)):
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await ground.pool.execute(
                "insert into volunteers.lane (callout_id, volunteer_id, exercise) values ($1, $2, $3)",
                callout, who, exercise,
            )  # fmt: skip
    modes = {e.cause.mode for e in await read_stream(ground.pool, callout_stream(drill))}
    assert {mode.value for mode in modes} == {"exercise"}


async def test_in_the_sandbox_nothing_leaves(ground):
    """An installation that is not live reaches nobody, whatever its people's addresses are."""
    sandbox = ground.settings.model_copy(update={"volunteer_channels": "sandbox"})
    async with Gateways(sandbox) as gateways:
        ground.sender = Sender(ground.deps, gateways)
        await ground.people(at_km(1, 1), at_km(2, 2))
        callout = await ground.call_out(await ground.case(), **HERE)
        await ground.work()
    assert ground.provider.requests == []
    assert (await ground.board(callout))["people"][0]["message"]["state"] == "sent"


def test_an_installation_is_a_sandbox_until_somebody_says_otherwise(settings):
    """Nobody is called by accident."""
    assert type(settings).model_fields["volunteer_channels"].default == "sandbox"


async def test_a_stand_down_leaves_also_when_the_case_has_ended_since(ground):
    """Who promised to come hears that they need not, whatever else was stopped between the message and its sending."""
    (somebody,) = await ground.people(at_km(1, 1))
    case = await ground.case()
    callout = await ground.call_out(case, **HERE)
    await ground.work()
    await ground.says(callout, somebody)
    await ground.work()
    before = len(texts(ground, 1))
    await ground.act(callout, callouts.stand_down, StandDown.CALLED_OFF)
    await ground.close(case)
    await ground.work()
    assert len(texts(ground, 1)) == before + 1


async def test_a_standby_tells_the_mobile_team_once_and_its_end_once(ground):
    """Area and "be ready" to the team that is on duty; the same alert again changes nothing; then it is over."""
    await ground.people(at_km(1, 1), at_km(2, 900), at_km(3, 1, hours=[]), at_km(4, 1, team="local"))
    case, alert = await ground.case(), new_id()
    issued = event(
        case, AlertIssued(alert_id=alert, revision=1, kind=AlertKind.STANDBY, recipients=1, displays=0)
    )
    for _ in range(2):
        await alerted(ground.deps, issued)
        await ground.work()
    assert [len(texts(ground, n)) for n in (1, 2, 3, 4)] == [1, 1, 0, 0]
    assert texts(ground, 1) == [
        "116 000: hou u klaar. Misschien zoeken we in de buurt van Leuven. U hoeft nu niets te doen."
    ]
    over = AlertWithdrawn(
        alert_id=alert, revision=2, kind=AlertKind.STANDBY, recipients=1, displays=0, reason="not_worrying"
    )
    for _ in range(2):
        await alerted(ground.deps, event(case, over))
        await ground.work()
    assert [len(texts(ground, n)) for n in (1, 2, 3, 4)] == [2, 2, 0, 0]
    await alerted(ground.deps, issued)
    await ground.work()
    assert len(ground.provider.taken) == 4, "a replay of the log wakes nobody"


async def test_an_alert_that_cannot_be_read_keeps_nobody_else_from_standing_by(ground):
    """A person is paged to call by hand; the alerts behind it are worked on, and the stream does not begin it again."""
    await ground.people(at_km(1, 1))
    issued = AlertIssued(alert_id=new_id(), revision=1, kind=AlertKind.STANDBY, recipients=1, displays=0)
    good = message_of(event(await ground.case(), issued), 2)
    broken = good._replace(offset=0, value=b'{"kind": "standby"}')
    nobodys = good._replace(
        offset=1, headers=tuple((n, b"nobody" if n == "ce_subject" else v) for n, v in good.headers)
    )
    await Follower(ground.deps).apply([broken, nobodys, good])
    await ground.work()
    assert len(texts(ground, 1)) == 1
    pages = await open_pages(ground.deps.pool)
    assert [f"{CASE_EVENTS}/0/{n}" in page.text for n, page in enumerate(sorted(pages, key=lambda p: p.text))] == [
        True, True,
    ]  # fmt: skip
    progress = await ground.deps.pool.fetchval("select next_offset from kernel.consumer_progress")
    assert progress == 3


def message_of(event, offset):
    """The message by which the relay brings an event."""
    cause = event.cause
    row = {name: getattr(event, name) for name in (
        "event_id", "type", "subject", "time", "stream", "version", "recorded_time", "imported_time",
    )} | {
        "correlation_id": cause.correlation_id, "causation_id": None, "actor": cause.actor, "traceparent": None,
        "origin": cause.origin.value, "mode": cause.mode.value,
    }  # fmt: skip
    body = event.data.model_dump_json(exclude_none=True).encode()
    return Message(CASE_EVENTS, 0, offset, event.subject.encode(), body, tuple(wire.headers(row)))


async def test_the_missing_persons_unit_is_told_until_somebody_acknowledges(pool, vault, settings):
    """Its own people on duty, one after the other, never the operators; then what they acknowledged is on record."""
    async with mail_server() as (box, url), ground_of(pool, vault, settings) as ground:
        desk = paging_ground.Ground(pool, settings.model_copy(update={"smtp_url": SecretStr(url)}))
        await desk.person("operator")
        case, alert = await ground.case(), new_id()
        assessed = await worrying(ground, case)
        issued = AlertIssued(alert_id=alert, revision=1, kind=AlertKind.STANDBY, recipients=1, displays=0)
        await alerted(ground.deps, event(case, issued))
        assert await open_pages(pool) == [], (
            "nobody of the Unit is registered: it is told by its webhook alone"
        )
        for name in ("first", "second"):
            await desk.person(name, desk="missing_persons_unit")
        for _ in range(2):
            await alerted(ground.deps, event(case, issued))
        await desk.work()
        assert [len(box.to(f"{n}@example.org")) for n in ("operator", "first", "second")] == [0, 1, 0]
        mail = box.to("first@example.org")[0].get_content()
        assert f"case {assessed.case_number} is worrying (under_13), Leuven" in mail
        await desk.later(5)
        assert [len(box.to(f"{n}@example.org")) for n in ("operator", "first", "second")] == [0, 1, 1]
        [one] = await open_pages(pool)
        assert await acknowledge(pool, one.page_id, "second")
        await desk.later(60)
        assert len(box.got) == 2
        over = AlertWithdrawn(
            alert_id=alert,
            revision=2,
            kind=AlertKind.STANDBY,
            recipients=1,
            displays=0,
            reason="not_worrying",
        )
        await add_events(pool, f"alert-{alert}", str(case), Cause("dispatch", "c"), issued, over)
        await alerted(ground.deps, event(case, over))
        await alerted(ground.deps, event(case, issued))
        assert await open_pages(pool) == []
        [known] = await open_pages(pool, over=True)
        assert ([one["name"] for one in known.told], known.acknowledged_by) == (["first", "second"], "second")


async def worrying(ground, case):
    """As criteria assess it."""
    data = AssessmentChanged(
        case_number="2026-000001", kind=CaseKind.RUNAWAY, municipality="24062", case_version=1, case_open=True,
        rules="MD-2002-02-20", worrying=True, episode=1, criteria=(), reasons=("criterion:under_13",), changes=(),
    )  # fmt: skip
    await add_events(ground.pool, f"assessment-{case}", str(case), Cause("criteria", "c"), data)
    return data


async def test_a_standby_becomes_a_call_out(ground):
    """Who stands by and is asked gets the question; who stands by and is not asked is called back at the end."""
    people = await ground.people(at_km(1, 1), at_km(2, 2), at_km(3, 3))
    case, alert = await ground.case(), new_id()
    issued = AlertIssued(alert_id=alert, revision=1, kind=AlertKind.STANDBY, recipients=1, displays=0)
    await alerted(ground.deps, event(case, issued))
    await ground.work()
    callout = await ground.call_out(case, **HERE)
    await ground.work()
    assert [len(texts(ground, n)) for n in (1, 2, 3)] == [2, 2, 1]
    await ground.says(callout, people[0])
    await ground.act(callout, callouts.stand_down, StandDown.CASE_CLOSED)
    await ground.work()
    assert ["het is voorbij" in texts(ground, n)[-1] for n in (1, 2, 3)] == [True, False, True]


def event(case, data):
    return Recorded(
        f"alert-{data.alert_id}", data.revision, new_id(), data.TYPE, str(case), datetime.now(UTC), datetime.now(UTC),
        None, Cause("dispatch", "c"), data,
    )  # fmt: skip


async def test_who_leaves_is_not_told_anything_any_more(ground):
    """What was planned for somebody goes with them; the board counts them as nobody."""
    people = await ground.people(at_km(1, 1), at_km(2, 2))
    callout = await ground.call_out(await ground.case(), **HERE)
    await waves_alone(ground)
    await in_transaction(ground.pool, lambda c: roster.leave(ground.deps, ground.ask, c, people[0]))
    await ground.work()
    assert [len(texts(ground, n)) for n in (1, 2)] == [0, 1]
    board = await ground.board(callout)
    assert [one["name"] for one in board["people"]] == [None, "An2 Helpmans"]


async def test_tasks_posters_and_the_round_that_takes_them_down(ground):
    """A task is told, what is put up is listed with its proof, and stays listed after the end until it is gone."""
    people = await ground.people(at_km(1, 1), at_km(2, 2))
    callout = await ground.call_out(await ground.case(), **HERE)
    await ground.work()
    await ground.says(callout, people[0])
    await ground.work()
    task = GiveTask(volunteers=[people[0]], places=["station", "library"], material=Material(posters=20))
    given = await ground.act(callout, callouts.give_task, task)
    await ground.work()
    assert "opdracht" in texts(ground, 1)[1]
    now = datetime.now(UTC)
    for where in ("station", "library"):
        wish = PlacePoster(place=where, at=now, volunteer_id=people[0], task_id=given.events[0].task_id)
        await ground.act(callout, callouts.place, wish)
    await ground.act(callout, callouts.stand_down, StandDown.CASE_CLOSED)
    board = await ground.board(callout)
    assert board["tasks"][0]["places"] == ["station", "library"]
    assert [(one["place"], one["up"]) for one in board["posters"]] == [("station", True), ("library", True)]
    first = UUID(board["posters"][0]["poster_id"])
    await ground.act(callout, callouts.take_down, first, RemovePoster(at=now))
    assert [(one["place"], one["up"]) for one in (await ground.board(callout))["posters"]] == [
        ("library", True), ("station", False),
    ]  # fmt: skip
    stored = " ".join(
        row["data"]
        for row in await ground.pool.fetch(
            "select data::text from eventlog.events where stream like 'callout%'"
        )
    )
    assert "library" not in stored


async def test_call_outs_over_http(ground, pool, vault, settings):
    """A coordinator calls out, looks, writes an answer down and ends it; the annual report counts one call-out."""
    people = await ground.people(at_km(1, 1), at_km(2, 2))
    case = await ground.case()
    need = {"people": 1, "postal_code": "3000", "languages": ["nl"], "cars": 0} | HERE
    async with client_of(pool, vault, ground.settings) as call:
        made = await call("POST", f"/v1/cases/{case}/callouts", need, role=Role.COORDINATOR, key="k1")
        assert made.status == 201
        again = await call("POST", f"/v1/cases/{case}/callouts", need, role=Role.COORDINATOR, key="k1")
        assert again.json == made.json
        await ground.work()
        path = f"/v1/callouts/{made.json['callout_id']}"
        answer = {"volunteer_id": str(people[0]), "reply": "later", "from": "2026-03-02T20:00:00+01:00"}
        assert (await call("POST", f"{path}/answers", answer, role=Role.COORDINATOR)).json["coming"] == 1
        stranger = answer | {"volunteer_id": str(new_id())}
        assert (await call("POST", f"{path}/answers", stranger, role=Role.COORDINATOR)).status == 404
        assert (await call("POST", f"{path}/answers", answer | {"reply": "yes"})).status == 422
        shown = (await call("GET", path, role=Role.COORDINATOR)).json
        assert (shown["state"], shown["coming"], shown["need"]["languages"]) == ("called", 1, ["nl"])
        ended = await call("POST", f"{path}/stand-down", {}, role=Role.COORDINATOR)
        assert [one["type"] for one in ended.json["events"]] == ["callout.stood_down.v1"]
        listed = (await call("GET", "/v1/callouts", role=Role.COORDINATOR)).json
        assert [one["state"] for one in listed["items"]] == ["over"]
        for role in (Role.OPERATOR, Role.VIEWER):
            assert (await call("GET", path, role=role)).status == 403
        assert (await call("POST", f"/v1/cases/{new_id()}/callouts", need)).status == 404
    counted = await pool.fetch("select subject from eventlog.events where type = 'volunteers.called_out.v1'")
    assert [row["subject"] for row in counted] == [str(case)]
    with pytest.raises(NotFoundError):
        await callouts.found(pool, new_id())
    assert CallOut.model_validate(need).people == 1
