"""The planner plans each revision exactly once, for those who must get it, and keeps everything else dark."""

import asyncio
from datetime import timedelta
from functools import partial
from importlib import resources
from uuid import uuid4

import orjson
import pytest
from dispatch_ground import GHENT, LEUVEN, NAME, Ground, add_recipient, in_future, snapshot

from schemas.events import CASE_EVENTS, CaseClosed, CaseMerged
from schemas.vocabulary import Audience, CampaignKind, Criterion, Mode, Origin
from services.dispatch import main as dispatch_main
from services.dispatch import standby
from services.dispatch.campaigns import campaign_alert
from services.dispatch.partners import activate
from services.dispatch.standby import standby_alert, withdraw_calm
from services.dispatch.stops import AT_START, darken
from services.dispatch.stream import CONSUMER, Planner
from services.eventlog.arrivals import is_overdue
from services.eventlog.producer import producer
from services.eventlog.relay import Relay
from services.eventlog.store import Cause, case_stream, read_stream
from services.intake.policy import load_policy
from services.kernel.messages import Message
from services.kernel.postgres import create_pool, in_transaction
from services.kernel.service import Runtime
from services.kernel.streaming import as_it_came, run_stream, stream_app
from services.kernel.topic_identity import topic_identity


@pytest.fixture
def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


async def until(pool, query, wanted):
    """Waits for an answer of the database; the test's own time limit ends a wait that never comes true."""
    while await pool.fetchval(query) != wanted:  # noqa: ASYNC110 - a table has no event to wait for
        await asyncio.sleep(0.02)


# ── who gets what ───────────────────────────────────────────────────────────────────────────────────────────


async def test_release_reaches_the_active_displays_of_its_area_and_nobody_else(ground):
    """A public appeal for Leuven: the display there, the one for the country, the one by province; no other."""
    pool = ground.pool
    wanted = {
        await add_recipient(pool),
        await add_recipient(pool, areas=["BE"]),
        await add_recipient(pool, areas=["postal:3000"]),
    }
    for changes in (
        {"areas": [GHENT]},
        {"state": "unverified"},
        {"state": "paused"},
        {"exercise": True},
        {"audience": "mobile_team"},
        {"audience": "missing_persons_unit"},
    ):
        await add_recipient(pool, **changes)
    await ground.release()
    await ground.replay()
    planned = await ground.deliveries()
    assert {row["recipient_id"] for row in planned} == wanted
    assert {row["state"] for row in planned} == {"pending"}
    assert await pool.fetchval("select count(*) from dispatch.lane where due_at <= clock_timestamp()") == 3
    [event] = await read_stream(pool, f"alert-{campaign_alert(ground.campaign)}")
    assert (event.type, event.data.recipients, event.data.displays) == ("alert.issued.v1", 3, 3)
    assert set(event.data.to) == wanted
    assert (event.subject, event.cause.correlation_id) == (str(ground.case), "c-1")


async def test_body_is_in_the_recipients_languages_and_a_link_shows_nobody(ground):
    """Full: texts in the partner's language, the person, half an hour; link: an address and no identity."""
    full = await add_recipient(ground.pool, languages=["fr"])
    link = await add_recipient(ground.pool, content="link")
    await ground.release()
    await ground.replay()
    bodies = {row["recipient_id"]: (await ground.body(row))["data"] for row in await ground.deliveries()}
    assert set(bodies[full]["texts"]) == {"fr"}
    assert bodies[full]["persons"][0]["name"] == NAME
    assert bodies[full]["display_for_s"] == 1800
    assert bodies[full]["receipts_url"] == f"{ground.settings.base_url}/v1/receipts"
    assert not {"texts", "persons", "media"} & set(bodies[link])
    assert bodies[link]["content_url"].endswith(f"/v1/partner/alerts/{campaign_alert(ground.campaign)}")
    assert str(ground.case) not in str(bodies)


async def test_vignette_reaches_no_display(ground):
    """A vignette campaign is recorded as an alert and plans no delivery to a display."""
    await add_recipient(ground.pool, areas=["BE"])
    await ground.release(kind=CampaignKind.VIGNETTE)
    await ground.replay()
    assert await ground.revisions() == [(1, "issued")]
    assert await ground.deliveries() == []


async def test_audiences_of_the_policy_get_the_appeal_and_its_withdrawal(ground, tmp_path):
    """Mobile team and displays of the area, one that joins late too; an update and the end reach the same."""
    file = tmp_path / "policy.toml"
    text = resources.files("services.intake").joinpath("policy.toml").read_text(encoding="utf-8")
    file.write_text(text.replace('audiences = ["display"]', 'audiences = ["display", "mobile_team"]'))
    audiences = load_policy(file).kinds[CampaignKind.PUBLIC].named_audiences
    display = await add_recipient(ground.pool)
    team = await add_recipient(ground.pool, audience="mobile_team", languages=["fr"])
    await add_recipient(ground.pool, audience="mobile_team", areas=[GHENT])
    await add_recipient(ground.pool, audience="missing_persons_unit")
    late = await add_recipient(ground.pool, audience="mobile_team", state="unverified")
    await ground.release(audiences=audiences)
    await ground.replay()
    issued = await ground.deliveries()
    assert {row["recipient_id"] for row in issued} == {display, team}
    [event] = await read_stream(ground.pool, f"alert-{campaign_alert(ground.campaign)}")
    assert (event.data.recipients, event.data.displays, event.data.to) == (2, 1, (display,))
    bodies = {row["recipient_id"]: (await ground.body(row))["data"] for row in issued}
    assert set(bodies[team]["texts"]) == {"fr"}
    assert bodies[team]["persons"] == bodies[display]["persons"]
    assert ("display_for_s" in bodies[team], "display_for_s" in bodies[display]) == (False, True)
    await in_transaction(ground.pool, lambda connection: activate(connection, late))
    [joined] = await ground.deliveries(recipient_id=late)
    assert (await ground.body(joined))["data"]["persons"][0]["name"] == NAME
    await ground.update(audiences=audiences)
    await ground.replay()
    assert {r["recipient_id"] for r in await ground.deliveries(content="updated")} == {display, team, late}
    await ground.end()
    await ground.replay()
    assert {r["recipient_id"] for r in await ground.deliveries(content="withdrawn")} == {display, team, late}


async def test_event_without_audiences_plans_as_before(ground):
    """As events of before the field: displays alone, and the row says that nothing was named."""
    display = await add_recipient(ground.pool)
    await add_recipient(ground.pool, audience="mobile_team")
    await ground.release()
    [message] = await ground.messages()
    data = orjson.loads(message.value)
    data["appeal"].pop("audiences", None)
    await ground.planner.apply([message._replace(value=orjson.dumps(data))])
    assert [row["recipient_id"] for row in await ground.deliveries()] == [display]
    assert await ground.pool.fetchval("select audiences from dispatch.alert") is None


async def test_vignette_reaches_the_team_that_its_policy_names_and_no_display_whatever_it_says(ground):
    """The team gets it whole; a display is left out although the event names it."""
    await add_recipient(ground.pool, areas=["BE"])
    team = await add_recipient(ground.pool, audience="mobile_team")
    named = (Audience.DISPLAY, Audience.MOBILE_TEAM)
    await ground.release(kind=CampaignKind.VIGNETTE, audiences=named)
    await ground.replay()
    [row] = await ground.deliveries()
    assert row["recipient_id"] == team
    body = (await ground.body(row))["data"]
    assert (body["kind"], body["persons"][0]["name"]) == ("vignette", NAME)


async def test_exercise_reaches_only_recipients_marked_for_exercises(ground):
    """An exercise never leaves the exercise's recipients, and a real alert never reaches those."""
    real = await add_recipient(ground.pool)
    drill = await add_recipient(ground.pool, exercise=True)
    exercise = Ground(ground.pool, ground.vault, ground.settings, mode=Mode.EXERCISE)
    await exercise.release()
    await ground.replay()
    [row] = await ground.deliveries()
    assert row["recipient_id"] == drill
    assert (await ground.body(row))["data"]["status"] == "exercise"
    await ground.release()
    await ground.replay()
    assert {row["recipient_id"] for row in await ground.deliveries()} == {real, drill}
    assert len(await ground.deliveries(recipient_id=drill)) == 1


async def test_import_plans_nothing_but_a_live_fact_on_it_does(ground):
    """Imported history alerts nobody; what happens live on an imported case is planned as live."""
    await add_recipient(ground.pool)
    ground.origin = Origin.IMPORT
    await ground.release()
    await ground.assess(1)
    await ground.replay()
    assert await ground.revisions() == []
    assert await ground.pool.fetchval("select count(*) from dispatch.stream_seen") == 0
    ground.origin = Origin.LIVE
    await ground.update()
    await ground.replay()
    assert await ground.revisions() == [(1, "issued")]


class CountingPool:
    """A pool that counts how often somebody takes a connection, and knows no other way in."""

    def __init__(self, pool):
        self._pool, self.taken = pool, 0

    def acquire(self):
        self.taken += 1
        return self._pool.acquire()


async def test_batch_without_anything_live_costs_one_small_transaction(ground):
    """Two hundred imported facts: one connection taken once, the progress noted, nothing else read or written."""
    ground.origin = Origin.IMPORT
    await ground.release()
    await ground.assess(1)
    imported = await ground.messages() * 100
    counting = CountingPool(ground.pool)
    ground.publisher.pool = counting
    await Planner(ground.publisher, ground.settings).apply(imported)
    assert counting.taken == 1
    assert await ground.pool.fetchval("select max(next_offset) from kernel.consumer_progress") > 0


# ── once, and in the end dark ───────────────────────────────────────────────────────────────────────────────


async def test_what_was_acted_on_before_is_told_by_its_headers_alone(ground):
    """A log that is sent again costs one question a batch: nothing of it is read, let alone set aside."""
    await add_recipient(ground.pool)
    await ground.release()
    await ground.replay()
    before = await snapshot(ground.pool)
    await ground.planner.apply([message._replace(value=b"{") for message in await ground.messages()])
    assert await snapshot(ground.pool) == before
    assert not await ground.pool.fetchval("select count(*) from dispatch.parked")


async def test_replay_of_the_whole_topic_changes_nothing(ground):
    """Released, updated, ended, assessed: the same messages again leave every row as it was."""
    await add_recipient(ground.pool)
    await add_recipient(ground.pool, audience="missing_persons_unit")
    await ground.release()
    await ground.update()
    await ground.assess(1)
    await ground.end()
    await ground.replay()
    before = await snapshot(ground.pool)
    await ground.replay()
    assert await snapshot(ground.pool) == before
    assert [c for _, c in await ground.revisions()].count("withdrawn") == 1


@pytest.mark.parametrize("over", [True, False])
async def test_replay_lights_nothing_even_when_the_versions_seen_are_lost(ground, over):
    """Without the notes of what was seen, the alerts themselves still know which events they were made from."""
    await add_recipient(ground.pool)
    await ground.release()
    await ground.update()
    if over:
        await ground.end()
    await ground.replay()
    before = await snapshot(ground.pool)
    assert [row["version"] for row in before["stream_seen"]] == [3 if over else 2]
    await ground.pool.execute("delete from dispatch.stream_seen")
    await ground.replay()
    assert await snapshot(ground.pool) == before


async def test_update_supersedes_what_is_pending_and_ends_the_back_off(ground):
    """The older revision gives way, and the lane is due at once with no failures."""
    await add_recipient(ground.pool)
    await ground.release()
    await ground.replay()
    await ground.pool.execute(
        "update dispatch.lane set due_at = clock_timestamp() + interval '1 hour', failures = 9"
    )
    await ground.update()
    await ground.replay()
    assert [(row["revision"], row["state"]) for row in await ground.deliveries()] == [
        (1, "superseded"),
        (2, "pending"),
    ]
    lane = await ground.pool.fetchrow(
        "select failures, due_at <= clock_timestamp() as due from dispatch.lane"
    )
    assert (lane["failures"], lane["due"]) == (0, True)


async def test_update_withdraws_from_whom_it_no_longer_selects(ground):
    """The display that falls out of the area gets a withdrawal of its own, once; back in, it gets the appeal."""
    stays = await add_recipient(ground.pool, areas=["BE"])
    leaves = await add_recipient(ground.pool)
    await ground.release()
    await ground.update(areas=(GHENT,))
    await ground.update(areas=(GHENT,))
    await ground.replay()
    assert [r["content"] for r in await ground.deliveries(recipient_id=stays)] == [
        "issued",
        "updated",
        "updated",
    ]
    mine = await ground.deliveries(recipient_id=leaves)
    assert [(r["revision"], r["content"], r["state"]) for r in mine] == [
        (1, "issued", "superseded"),
        (2, "withdrawn", "pending"),
    ]
    body = await ground.body(mine[1])
    assert (body["type"], body["data"]["revision"]) == ("alert.withdrawn", 2)
    assert NAME not in str(body)
    await ground.update()
    await ground.replay()
    assert (await ground.deliveries(recipient_id=leaves))[-1]["content"] == "updated"


async def test_withdrawal_reaches_everyone_with_any_delivery(ground):
    """Also those that were paused since, or whose delivery came through: all are told, and nothing of it is sealed."""
    told = [await add_recipient(ground.pool) for _ in range(3)]
    await ground.release()
    await ground.replay()
    await ground.pool.execute(
        "update dispatch.recipient set state = 'paused' where recipient_id = $1", told[0]
    )
    await ground.pool.execute(
        "update dispatch.delivery set state = 'delivered' where recipient_id = $1", told[1]
    )
    await ground.end()
    await ground.replay()
    dark = await ground.deliveries(content="withdrawn")
    assert {row["recipient_id"] for row in dark} == set(told)
    assert await ground.pool.fetchval("select bool_and(withdrawal) from dispatch.lane")
    assert await ground.deliveries(revision=1, state="pending") == []
    row = await ground.pool.fetchrow("select * from dispatch.body where revision = 2")
    assert row["box"] is None
    assert NAME not in row["clear"]


async def test_withdrawal_by_both_ways_is_one_revision(ground):
    """Kafka and the stop row at the same moment: one revision, one delivery each, one event."""
    for _ in range(31):
        await add_recipient(ground.pool)
    await ground.release()
    await ground.replay()
    await ground.end()
    await asyncio.gather(ground.replay(), *(darken(ground.publisher, AT_START) for _ in range(4)))
    assert await ground.revisions() == [(1, "issued"), (2, "withdrawn")]
    assert len(await ground.deliveries(content="withdrawn")) == 31
    events = await read_stream(ground.pool, f"alert-{campaign_alert(ground.campaign)}")
    assert [event.type for event in events] == ["alert.issued.v1", "alert.withdrawn.v1"]
    assert events[1].data.reason == "child_found"


async def test_kafka_away_31_of_31_go_dark_by_the_stop_row(ground):
    """No message arrives, the loop alone runs: every display has its withdrawal, all older ones gave way."""
    for _ in range(31):
        await add_recipient(ground.pool)
    await ground.release()
    await ground.replay()
    runtime = Runtime("dispatch", ground.settings, ground.pool)
    serving = asyncio.create_task(dispatch_main.serve(runtime))
    await ground.end()
    query = "select count(*) from dispatch.delivery where content = 'withdrawn' and state = 'pending'"
    await until(ground.pool, query, 31)
    runtime.stop.set()
    await serving
    assert await ground.deliveries(revision=1, state="superseded") == await ground.deliveries(revision=1)


async def test_issue_after_the_stop_stays_dark(ground):
    """The release comes late, its campaign has ended in the store: recorded as superseded, never due."""
    await add_recipient(ground.pool)
    await ground.release()
    await ground.end()
    released, ended = await ground.messages()
    await ground.planner.apply([released])
    assert [row["state"] for row in await ground.deliveries()] == ["superseded"]
    assert await ground.pool.fetchval("select count(*) from dispatch.lane where due_at is not null") == 0
    assert await ground.pool.fetchval("select count(*) from dispatch.body") == 0
    await ground.planner.apply([ended])
    assert await ground.revisions() == [(1, "issued"), (2, "withdrawn")]


async def test_release_that_the_store_does_not_know_stays_dark(ground):
    """Kafka kept it, the store was restored from before: nobody could end it, so nobody is shown it."""
    await add_recipient(ground.pool)
    await ground.release()
    released = await ground.messages()
    await ground.pool.execute("alter table eventlog.events disable trigger user")
    await ground.pool.execute("delete from eventlog.events")
    await ground.planner.apply(released)
    assert [row["state"] for row in await ground.deliveries()] == ["superseded"]


async def test_update_after_the_withdrawal_is_nothing(ground):
    """The withdrawal is an alert's last revision: what comes after it by Kafka makes no other."""
    await add_recipient(ground.pool)
    await ground.release()
    await ground.replay()
    await ground.update()
    await ground.end()
    await darken(ground.publisher, AT_START)
    before = await ground.revisions()
    await ground.replay()
    assert await ground.revisions() == before == [(1, "issued"), (2, "withdrawn")]
    assert [r["content"] for r in await ground.deliveries(state="pending")] == ["withdrawn"]


async def test_expired_release_stays_dark(ground):
    """What has expired before it is planned is shown to nobody."""
    await add_recipient(ground.pool)
    await ground.release(expires_at=in_future(-1))
    await ground.replay()
    assert [row["state"] for row in await ground.deliveries()] == ["superseded"]


@pytest.mark.parametrize("kind", ["case", "child"])
async def test_erased_appeal_stays_dark(ground, kind):
    """When the key of its texts or of its only child is destroyed there is nothing to show, and nothing is shown."""
    await add_recipient(ground.pool)
    await ground.release()
    await ground.vault.destroy([f"{kind}:{getattr(ground, kind)}"])
    await ground.replay()
    assert [row["state"] for row in await ground.deliveries()] == ["superseded"]


async def test_release_taken_up_by_many_at_once_is_one_revision(ground):
    """During a rebalance two processes may hold the same message: one publishes, the others find nothing to do."""
    await add_recipient(ground.pool)
    await ground.release()
    await asyncio.gather(*(ground.replay() for _ in range(8)))
    assert await ground.revisions() == [(1, "issued")]
    assert await ground.pool.fetchval("select count(*) from dispatch.parked") == 0


async def test_gap_is_read_from_the_store(ground):
    """Only the last message arrives: what was missed of its stream is planned first, from the store."""
    await add_recipient(ground.pool)
    await ground.release()
    await ground.update()
    await ground.planner.apply([(await ground.messages())[-1]])
    assert await ground.revisions() == [(1, "issued"), (2, "updated")]


async def test_poison_parks_its_case_and_no_other(ground):
    """A broken event and the later ones of its case wait for a person; other cases and the withdrawal go on."""
    await add_recipient(ground.pool)
    await ground.release()
    await ground.replay()
    await ground.update()
    await ground.end()
    other = Ground(ground.pool, ground.vault, ground.settings)
    await other.release()
    messages = [m for m in await ground.messages() if dict(m.headers)["ce_type"].startswith(b"campaign.")][1:]
    good = messages[0]
    bad = Message(good.topic, good.partition, good.offset, good.key, b'{"no": 1}', good.headers)
    for _ in range(2):
        await ground.planner.apply([bad, *messages[1:]])
    assert await ground.pool.fetchval("select count(*) from dispatch.parked") == 2
    assert await ground.pool.fetchval("select count(*) from kernel.page") == 1
    alerts = await ground.pool.fetch("select campaign_id, head_revision, withdrawn from dispatch.alert")
    assert {tuple(row) for row in alerts} == {(ground.campaign, 1, False), (other.campaign, 1, False)}
    assert await darken(ground.publisher, timedelta(hours=1)) == 1
    await ground.pool.execute(
        "update dispatch.parked set value = $1 where record_offset = $2", good.value, good.offset
    )
    assert await ground.planner.resume(str(ground.case)) == 2
    assert await ground.pool.fetchval("select count(*) from dispatch.parked") == 0


async def test_no_table_holds_a_name(ground):
    """Names live sealed: no row of dispatch, nor any event it appends, holds one in clear."""
    await add_recipient(ground.pool)
    await ground.release()
    await ground.update()
    await ground.replay()
    tables = await ground.pool.fetch("select tablename from pg_tables where schemaname = 'dispatch'")
    text = ""
    for table in tables:
        text += str(await ground.pool.fetch(f"select t::text from dispatch.{table['tablename']} t"))
    text += str(await ground.pool.fetch("select data::text from eventlog.events where stream like 'alert-%'"))
    assert "Screens Ltd" in text
    assert "Voorbeeld" not in text
    assert "red coat" not in text


# ── cases that end ──────────────────────────────────────────────────────────────────────────────────────────


async def test_closing_a_case_darkens_all_of_it_but_not_what_came_after_a_reopening(ground):
    """Closed: appeal and standby are withdrawn, even if nobody ended the campaign; a later one stays lit."""
    await add_recipient(ground.pool)
    await add_recipient(ground.pool, audience="missing_persons_unit")
    await ground.release()
    await ground.assess(1, case_version=0)
    await ground.replay()
    await ground.put(case_stream(ground.case), CaseClosed(outcomes=()))
    await ground.replay()
    assert await ground.pool.fetchval("select bool_and(withdrawn) from dispatch.alert")
    ground.campaign = uuid4()
    await ground.release()
    await ground.replay()
    await ground.pool.execute("delete from dispatch.stream_seen where stream like 'case-%'")
    await ground.replay()
    assert await ground.pool.fetchval("select count(*) from dispatch.alert where not withdrawn") == 1


async def test_merging_a_case_withdraws_its_standby_alone(ground):
    """The campaigns of a merged case end by their own events."""
    await add_recipient(ground.pool, audience="missing_persons_unit")
    await ground.release()
    await ground.assess(1, case_version=0)
    await ground.replay()
    await ground.put(case_stream(ground.case), CaseMerged(case_id=uuid4()))
    await ground.replay()
    rows = await ground.pool.fetch("select kind, withdrawn from dispatch.alert order by kind")
    assert [tuple(row) for row in rows] == [("public", False), ("standby", True)]


# ── standby ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_standby_tells_the_unit_why_and_the_team_only_where(ground):
    """The Unit gets case number and criteria, the team of the area nothing but the area; no picture, no person."""
    unit = await add_recipient(ground.pool, audience="missing_persons_unit", areas=[GHENT])
    team = await add_recipient(ground.pool, audience="mobile_team")
    await add_recipient(ground.pool, audience="mobile_team", areas=[GHENT])
    await add_recipient(ground.pool)
    await ground.assess(1)
    await ground.replay()
    bodies = {r["recipient_id"]: (await ground.body(r))["data"] for r in await ground.deliveries()}
    assert set(bodies) == {unit, team}
    assert (bodies[unit]["case_number"], bodies[unit]["criteria"]) == ("2026-0001", ["under_13"])
    assert not {"case_number", "criteria", "expires_at"} & set(bodies[team])
    for body in bodies.values():
        assert (body["kind"], body["persons"], body["media"], body["areas"]) == ("standby", [], [], [LEUVEN])


async def test_standby_of_an_unknown_place_is_for_the_whole_country(ground):
    """Nobody knows where: every mobile team stands by."""
    await add_recipient(ground.pool, audience="mobile_team", areas=[GHENT])
    await ground.assess(1, municipality=None)
    await ground.replay()
    [row] = await ground.deliveries()
    assert (await ground.body(row))["data"]["areas"] == ["BE"]


async def test_changed_criteria_are_news_for_the_unit_alone(ground):
    """Another criterion is a revision for the Unit; an assessment that says the same is none."""
    unit = await add_recipient(ground.pool, audience="missing_persons_unit")
    team = await add_recipient(ground.pool, audience="mobile_team")
    await ground.assess(1)
    await ground.assess(1, case_version=2)
    await ground.assess(1, criteria=(Criterion.UNDER_13, Criterion.OUT_OF_CHARACTER), case_version=3)
    await ground.replay()
    assert [r["revision"] for r in await ground.deliveries(recipient_id=unit)] == [1, 2]
    assert [(r["revision"], r["state"]) for r in await ground.deliveries(recipient_id=team)] == [
        (1, "pending")
    ]
    body = await ground.body((await ground.deliveries(recipient_id=unit))[1])
    assert body["data"]["criteria"] == ["out_of_character", "under_13"]
    assert await ground.pool.fetchval("select case_version from dispatch.alert") == 3


async def _calm_since(ground, seconds):
    await ground.pool.execute(
        "update dispatch.standby set calm_since = clock_timestamp() - $1::interval",
        timedelta(seconds=seconds),
    )


async def test_standby_is_withdrawn_after_ten_calm_minutes(ground):
    """Not worrying: it stays for ten minutes, then it is withdrawn, once; a new episode is a new alert."""
    linger = timedelta(minutes=10)
    await add_recipient(ground.pool, audience="missing_persons_unit")
    await ground.assess(1)
    await ground.assess(1, worrying=False, case_version=2)
    await ground.replay()
    await _calm_since(ground, 590)
    await withdraw_calm(ground.publisher, linger)
    assert await ground.revisions() == [(1, "issued")]
    await _calm_since(ground, 601)
    await asyncio.gather(*(withdraw_calm(ground.publisher, linger) for _ in range(3)))
    assert await ground.revisions() == [(1, "issued"), (2, "withdrawn")]
    await ground.assess(2, case_version=3)
    await ground.replay()
    alerts = {
        r["alert_id"] for r in await ground.pool.fetch("select * from dispatch.alert where not withdrawn")
    }
    assert alerts == {standby_alert(ground.case, 2)}


async def test_short_dip_is_the_same_episode_for_recipients(ground):
    """Worrying again within ten minutes: the alert stays, nobody is told anything, the timer does nothing."""
    await add_recipient(ground.pool, audience="missing_persons_unit")
    await ground.assess(1)
    await ground.assess(1, worrying=False, case_version=2)
    await ground.assess(2, case_version=3)
    await ground.replay()
    await withdraw_calm(ground.publisher, timedelta(0))
    assert await ground.revisions() == [(1, "issued")]
    assert await ground.pool.fetchval("select calm_since is null and episode = 2 from dispatch.standby")


async def test_timer_that_comes_too_late_leaves_a_worrying_case_alone(ground):
    """Found calm, but worrying again before the lock was had: the alert stays."""
    await add_recipient(ground.pool, audience="missing_persons_unit")
    await ground.assess(1)
    await ground.assess(1, worrying=False, case_version=2)
    await ground.replay()
    late = standby._Over(ground.case, Cause("dispatch", "c-1"), None, "not_worrying", calm_for=timedelta(0))
    await ground.assess(2, case_version=3)
    await ground.replay()
    await standby._withdraw(ground.publisher, late)
    assert await ground.revisions() == [(1, "issued")]


async def test_standby_goes_at_once_when_the_case_closes(ground):
    """A closed case needs nobody on standby, not even for ten minutes."""
    await add_recipient(ground.pool, audience="missing_persons_unit")
    await ground.assess(1)
    await ground.assess(1, worrying=False, case_open=False, case_version=2)
    await ground.replay()
    assert await ground.revisions() == [(1, "issued"), (2, "withdrawn")]


async def test_stop_of_the_case_darkens_a_standby_that_rests_on_an_older_version(ground):
    """A stop at version 5 darkens the standby of version 4, not the one of a reopened case."""
    await add_recipient(ground.pool, audience="missing_persons_unit")
    await ground.assess(1, case_version=4)
    await ground.replay()
    await ground.pool.execute(
        "insert into eventlog.stop (kind, id, case_id, version, event_id, mode)"
        " values ('case', $1, $1, 5, $2, 'actual')",
        ground.case,
        uuid4(),
    )
    assert await darken(ground.publisher, AT_START) == 1
    await ground.assess(2, case_version=6)
    await ground.replay()
    assert await darken(ground.publisher, AT_START) == 0
    assert await ground.pool.fetchval("select count(*) from dispatch.alert where not withdrawn") == 1


# ── with the real Kafka ─────────────────────────────────────────────────────────────────────────────────────


async def test_from_the_store_over_kafka_to_the_lanes(pool, vault, settings_with_kafka):
    """Relay and stream processor with the real broker: a release becomes due lanes, its end a withdrawal."""
    settings = settings_with_kafka
    ground = Ground(pool, vault, settings)
    for _ in range(31):
        await add_recipient(pool)
    own = await create_pool(settings.database_url.get_secret_value(), size=3)
    runtime = Runtime("dispatch", settings, own)
    sender = producer(settings)
    await sender.start()
    async with own.acquire() as connection:
        relay = Relay(connection, sender, settings)
        await relay.become_active()
        await relay.begin(await topic_identity(settings, (CASE_EVENTS, "delivery-events", "ops-events")))
        planner = Planner(ground.publisher, settings)
        relaying = asyncio.create_task(relay.run(runtime.stop))
        running = asyncio.create_task(
            run_stream(
                stream_app(settings, "dispatch", CASE_EVENTS, as_it_came, planner.apply),
                runtime,
                partial(is_overdue, own, CONSUMER),
            )
        )
        await ground.release()
        await until(pool, "select count(*) from dispatch.delivery where state = 'pending'", 31)
        await ground.end()
        await until(pool, "select count(*) from dispatch.delivery where content = 'withdrawn'", 31)
        await until(
            pool, "select count(*) > 0 from kernel.consumer_progress where consumer = 'dispatch'", True
        )
        runtime.stop.set()
        await asyncio.gather(relaying, running)
        await connection.reset()
    await sender.stop()
    await own.close()
    assert await ground.revisions() == [(1, "issued"), (2, "withdrawn")]
