"""The annual report counts a hand-made history right: events in the store, through Kafka, into the figures."""

from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from projections_ground import SEALED, History, brussels, child, project

from schemas import events as e
from services.projections.reports import annual

ZONE = brussels(2021, 1, 1).tzinfo


@pytest.fixture
def history(pool):
    return History(pool)


async def test_the_year_is_that_of_the_calendar(settings_with_kafka, pool, history):
    """Half past midnight on New Year's Day in Brussels is the new year, though UTC has the old one."""
    await history.case("a", brussels(2020, 12, 31, 23, 59, 59))
    await history.case("b", brussels(2021, 1, 1, 0, 0, 0))
    await history.case("c", brussels(2021, 12, 31, 23, 59, 59), "undefined")
    late = await history.case("d", brussels(2022, 1, 1, 0, 30))
    await history.release(late, "vignette", brussels(2022, 1, 1, 0, 45))
    await history.release(late, "public", brussels(2021, 12, 31, 23, 59))
    await project(settings_with_kafka)
    report = await annual(pool, ZONE, 2021)
    assert report["new_cases"] == {
        "runaway": 1,
        "international_parental_abduction": 0,
        "third_party_abduction": 0,
        "undefined": 1,
        "unaccompanied_minor": 0,
        "total": 2,
    }
    assert report["campaigns"] == {"public": 1, "vignette": 0, "total": 1}
    assert (await annual(pool, ZONE, 2022))["campaigns"] == {"public": 0, "vignette": 1, "total": 1}
    assert (await annual(pool, ZONE, 2020))["new_cases"]["total"] == 1


async def test_kind_and_worry_as_known_at_a_moment(settings_with_kafka, pool, history):
    """A case reclassified later counts under its old kind as of before; worrying once is worrying for good."""
    case = await history.case("a", brussels(2021, 3, 1))
    await history.assess(case, True, brussels(2021, 3, 2))
    await history.assess(case, False, brussels(2021, 3, 3))
    undefined = e.Reclassified(
        kind="undefined", details=e.UndefinedDetails(subject="young_adult"), reason=SEALED
    )
    await history.fact(case, undefined, brussels(2021, 3, 1), known=brussels(2021, 4, 1))
    calm = await history.case("b", brussels(2021, 5, 1))
    await history.assess(calm, False, brussels(2021, 5, 1))
    await project(settings_with_kafka)
    now = await annual(pool, ZONE, 2021)
    assert (now["new_cases"]["runaway"], now["new_cases"]["undefined"], now["worrying"]) == (1, 1, 1)
    assert now["details"]["undefined"]["young_adults"] == 1
    before = await annual(pool, ZONE, 2021, brussels(2021, 3, 31))
    assert (before["new_cases"]["runaway"], before["new_cases"]["undefined"], before["worrying"]) == (1, 0, 1)
    assert before["details"]["runaway"]["girls_share"]["denominator"] == 1
    first = await annual(pool, ZONE, 2021, brussels(2021, 3, 1, 12))
    assert (first["new_cases"]["total"], first["worrying"]) == (1, 0)
    assert (await annual(pool, ZONE, 2021, brussels(2021, 2, 28)))["new_cases"]["total"] == 0


async def test_handled_is_open_at_any_time_in_the_year(settings_with_kafka, pool, history):
    """Opened earlier and open then, reopened in it, but not closed before it; and a closing known later is not known."""
    open_since = await history.case("a", brussels(2019, 5, 1), "unaccompanied_minor")
    await history.close(open_since, brussels(2021, 1, 1, 0, 0, 1))
    closed = await history.case("b", brussels(2019, 5, 1), "unaccompanied_minor")
    await history.close(closed, brussels(2020, 12, 31, 23, 59, 59))
    again = await history.case("c", brussels(2019, 5, 1), "unaccompanied_minor")
    await history.close(again, brussels(2019, 6, 1))
    await history.fact(again, e.CaseReopened(reason=SEALED), brussels(2021, 7, 1))
    await project(settings_with_kafka)
    counts = {y: (await annual(pool, ZONE, y))["handled"]["unaccompanied_minor"] for y in range(2018, 2023)}
    assert counts == {2018: 0, 2019: 3, 2020: 2, 2021: 2, 2022: 1}
    shares = (await annual(pool, ZONE, 2021))["details"]["unaccompanied_minor"]["closed_share"]
    assert shares == {"value": 0.5, "numerator": 1, "denominator": 2}
    as_known = await annual(pool, ZONE, 2021, brussels(2020, 6, 1))
    assert as_known["handled"]["unaccompanied_minor"] == 2


async def test_children_count_once_as_children(settings_with_kafka, pool, history):
    """A case of several children is one case; a child of several cases is one child, and repeats."""
    lou, noa, sam = uuid4(), uuid4(), uuid4()
    pair = [child(0, lou, 12, "girl"), child(1, noa, 15, "boy")]
    await history.case("a", brussels(2021, 1, 5), children=pair)
    await history.case("b", brussels(2021, 6, 5), children=[child(0, lou, 13, "girl")])
    wrong = await history.case("c", brussels(2021, 7, 5), children=[child(0, sam, 12, "unknown")])
    correction = e.ChildCorrection(child=0, age_min=17, age_max=17, gender="girl")
    await history.fact(wrong, e.DetailsCorrected(children=(correction,)), brussels(2021, 8, 1))
    await history.case("d", brussels(2020, 7, 5), children=[child(0, sam)])
    await project(settings_with_kafka)
    report = await annual(pool, ZONE, 2021)
    runaway = report["details"]["runaway"]
    assert report["new_cases"]["runaway"] == 3
    assert (runaway["repeat_children"], runaway["most_episodes_of_one_child"]) == (1, 2)
    assert runaway["girls_share"] == {"value": 2 / 3, "numerator": 2, "denominator": 3}
    parts = ("under_13_share", "13_to_15_share", "16_to_17_share")
    assert [runaway[part]["numerator"] for part in parts] == [1, 1, 1]
    before = (await annual(pool, ZONE, 2021, brussels(2021, 7, 31)))["details"]["runaway"]
    assert [before[part]["numerator"] for part in parts] == [2, 1, 0]
    assert before["girls_share"]["numerator"] == 1


async def test_abductions_in_detail(settings_with_kafka, pool, history):
    """Status and parent follow corrections; earlier cases are handled, not new; siblings are children."""
    earlier = await history.case(
        "a",
        brussels(2020, 2, 1),
        "international_parental_abduction",
        details=e.AbductionDetails(status="preventive", abducting_parent="mother", country="MA"),
        children=[child(0, gender="girl"), child(1, gender="boy")],
    )
    effective = e.AbductionDetails(status="effective")
    await history.fact(earlier, e.DetailsCorrected(details=effective), brussels(2021, 2, 1))
    await history.close(earlier, brussels(2021, 9, 1), "brought_back")
    await history.case(
        "b",
        brussels(2021, 2, 1),
        "international_parental_abduction",
        details=e.AbductionDetails(status="preventive", abducting_parent="father"),
        children=[child(gender="unknown")],
    )
    await project(settings_with_kafka)
    found = (await annual(pool, ZONE, 2021))["details"]["international_parental_abduction"]
    shares = {name: figure for name, figure in found.items() if name.endswith("_share")}
    assert found["countries"] == {"MA": 1, "unknown": 1}
    regions = shares.pop("regions_share")
    assert regions["africa"] == regions["unknown"] == {"value": 0.5, "numerator": 1, "denominator": 2}
    assert regions["asia"]["numerator"] == 0
    assert {name: figure for name, figure in found.items() if isinstance(figure, int)} == {
        "handled_effective": 1,
        "handled_preventive": 1,
        "new_effective": 0,
        "new_preventive": 1,
        "opened_earlier": 1,
        "closed": 1,
        "children": 3,
        "girls": 1,
        "boys": 1,
        "gender_unknown": 1,
    }
    assert (
        shares["mother_share"] == shares["father_share"] == {"value": 0.5, "numerator": 1, "denominator": 2}
    )
    assert shares["closed_share"] == {"value": 1.0, "numerator": 1, "denominator": 1}


async def test_what_became_of_children(settings_with_kafka, pool, history):
    """A death counts for the child, once; a case that was reopened has no outcome yet."""
    details = e.UndefinedDetails(subject="young_adult")
    for again in (False, True):
        case = await history.case(str(again), brussels(2021, 2, 1), "undefined", details=details)
        at = brussels(2021, 3, 1)
        located = e.ChildLocated(child=0, outcome="found_deceased", at=at)
        await history.fact(case, located, at)
        await history.close(case, at + timedelta(hours=1), "found_deceased")
        if again:
            await history.fact(case, e.CaseReopened(reason=SEALED), brussels(2021, 4, 1))
    await project(settings_with_kafka)
    assert (await annual(pool, ZONE, 2021))["details"]["undefined"]["found_deceased"] == 1
    march = await annual(pool, ZONE, 2021, brussels(2021, 3, 31))
    assert march["details"]["undefined"]["found_deceased"] == 2


async def test_news_of_a_child_that_stays_located_stands(settings_with_kafka, pool, history):
    """Reopened for the others, a case keeps the news of whom was located; once all were, it is for all of them again."""
    case = await history.case("a", brussels(2021, 2, 1), children=[child(0), child(1)])

    async def located(index, *day):
        at = brussels(2021, *day)
        await history.fact(case, e.ChildLocated(child=index, outcome="found_safe", at=at), at)

    async def closed_and_reopened(day):
        outcomes = tuple(e.ChildOutcome(child=n, outcome="returned" if n else "found_safe") for n in (0, 1))
        await history.fact(case, e.CaseClosed(outcomes=outcomes), brussels(2021, 3, day))
        await history.fact(case, e.CaseReopened(reason=SEALED), brussels(2021, 3, day + 1))

    await located(0, 2, 4)
    await closed_and_reopened(4)
    await located(1, 3, 8)
    await closed_and_reopened(9)
    await project(settings_with_kafka)

    async def told(*day):
        report = await annual(pool, ZONE, 2021, brussels(2021, *day))
        return {name: n for name, n in report["outcomes"].items() if n}, report["median_hours_to_outcome"]

    assert await told(3, 4, 12) == ({"found_safe": 1, "returned": 1}, {"runaway": 408.0, "total": 408.0})
    assert await told(3, 6) == ({"found_safe": 1}, {"runaway": 72.0, "total": 72.0})
    assert (await told(3, 8, 12))[0] == {"found_safe": 2}
    assert await told(3, 11) == ({}, {})


async def test_a_merged_case_counts_as_the_one_it_was_merged_into(settings_with_kafka, pool, history):
    """One disappearance reported twice is one case, with worry, children and campaigns of both, from the merge on."""
    lou = uuid4()
    kept = await history.case("a", brussels(2021, 2, 1), children=[child(0, lou)])
    double = await history.case("b", brussels(2021, 2, 1), children=[child(0, lou), child(1)])
    third = await history.case("c", brussels(2021, 2, 2), children=[child(0, lou)])
    await history.assess(double, True, brussels(2021, 2, 2))
    await history.fact(third, e.CaseMerged(case_id=double), brussels(2021, 2, 3))
    await history.fact(double, e.CaseMerged(case_id=kept), brussels(2021, 2, 4))
    joined = e.ChildrenJoined(from_case=double, children=(child(1),))
    await history.fact(kept, joined, brussels(2021, 2, 4))
    shown_since = brussels(2021, 2, 3)
    campaign = await history.release(double, "public", shown_since)
    before = e.Continued(campaign_id=campaign, released_at=shown_since, extensions=0)
    await history.release(kept, "public", brussels(2021, 2, 4), before)
    await project(settings_with_kafka)
    report = await annual(pool, ZONE, 2021)
    assert (report["new_cases"]["total"], report["handled"]["total"], report["worrying"]) == (1, 1, 1)
    assert report["campaigns"]["public"] == 1, "what goes on in the other case was released once"
    runaway = report["details"]["runaway"]
    assert (runaway["girls_share"]["denominator"], runaway["repeat_children"]) == (2, 0)
    before = await annual(pool, ZONE, 2021, brussels(2021, 2, 2, 12))
    assert (before["new_cases"]["total"], before["details"]["runaway"]["most_episodes_of_one_child"]) == (
        3,
        3,
    )


async def test_counters_and_engagements(settings_with_kafka, pool, history):
    """Counts fall in the year of their time; an engagement is a campaign of a worrying case that a display got."""
    case = await history.case("a", brussels(2021, 2, 1))
    calm = await history.case("b", brussels(2021, 2, 1))
    await history.assess(case, True, brussels(2021, 2, 1))
    await history.count(e.PartnersEngaged(count=1), brussels(2021, 2, 2), case)
    await history.count(e.PartnersEngaged(count=1), brussels(2021, 2, 2), calm)
    await history.count(e.ReachReported(people=100, interactions=10), brussels(2021, 2, 3), case)
    await history.count(e.ReachReported(people=50, interactions=5), brussels(2021, 2, 4), case)
    await history.count(e.AppActivated(), brussels(2021, 2, 3), case)
    await history.count(e.VolunteersCalledOut(), brussels(2021, 2, 3), case)
    await history.count(e.CallsCounted(count=7), brussels(2021, 12, 31, 23, 59))
    await history.count(e.CallsCounted(count=9), brussels(2022, 1, 1))
    await history.count(e.PartnersCounted(count=30), brussels(2020, 12, 31))
    await history.count(e.PartnersCounted(count=31), brussels(2021, 12, 31))
    await _deliver(history, case, "display")
    await _deliver(history, case, "mobile_team")
    await _deliver(history, calm, "display")
    await project(settings_with_kafka)
    details = (await annual(pool, ZONE, 2021))["details"]
    assert details["partner_engagements"] == 2
    assert details["display_partners"] == 31
    assert (details["volunteer_callouts"], details["app_activations"], details["hotline_calls"]) == (1, 1, 7)
    assert (details["reach_people"], details["reach_interactions"]) == (150, 15)
    mean = {"value": 150.0, "numerator": 150, "denominator": 1}
    assert details["reach_people_per_disappearance"] == mean
    assert "display_partners" not in (await annual(pool, ZONE, 2019))["details"]


async def _deliver(history, case, audience):
    """A delivery that comes before its alert: they travel in different topics."""
    campaign, alert, recipient = uuid4(), uuid4(), uuid4()
    at = brussels(2021, 2, 5)
    fact = {"alert_id": alert, "revision": 1, "kind": "public"}
    delivered = e.DeliveryDelivered(
        **fact, content="issued", recipient=recipient, audience=audience, attempts=1, at=at
    )
    await history.put(f"delivery-{alert}.{recipient}", case, delivered, at)
    issued = e.AlertIssued(**fact, campaign_id=campaign, recipients=1, displays=1)
    await history.put(f"alert-{alert}", case, issued, at)


async def test_exercises_leave_no_trace_in_figures(settings_with_kafka, pool):
    """An exercise looks like a case to those who train, and is none to the report."""
    from schemas.vocabulary import Mode

    drill = History(pool, Mode.EXERCISE)
    case = await drill.case("x", brussels(2021, 2, 1))
    await drill.assess(case, True, brussels(2021, 2, 1))
    await drill.release(case, "public", brussels(2021, 2, 1))
    await project(settings_with_kafka)
    report = await annual(pool, ZONE, 2021)
    assert (report["new_cases"]["total"], report["worrying"], report["campaigns"]["total"]) == (0, 0, 0)


async def test_a_report_may_take_longer_than_any_other_question(settings):
    """Over a continent's history it takes a minute; whoever has the connection next is bound as before."""
    short = {"transaction_timeout": "1ms", "work_mem": "1MB"}
    pool = await asyncpg.create_pool(
        settings.database_url.get_secret_value(), min_size=1, max_size=1, server_settings=short
    )
    try:
        assert (await annual(pool, ZONE, 2021, beside=2))["new_cases"]["total"] == 0
        shown = await pool.fetchrow(
            "select current_setting('transaction_timeout') as transaction_timeout, current_setting('work_mem') as work_mem"
        )
        assert dict(shown) == short
        with pytest.raises(asyncpg.PostgresError):
            await pool.execute("begin; select pg_sleep(0.2); commit")
    finally:
        pool.terminate()
