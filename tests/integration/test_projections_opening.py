"""Figures opened over HTTP, parts of the country, and what a viewer is told of them."""

from uuid import uuid4

import pytest
from projections_ground import History, assessed, brussels, child, project
from test_projections_api import REPORT, client  # noqa: F401 - the fixture is used by name

from schemas import events as e
from services.eventlog.store import assessment_stream
from services.kernel.principals import Role, issue_token

CASES = f"{REPORT}/cases"


@pytest.fixture
async def cases(settings_with_kafka, pool):
    """Six runaways near Leuven, two of them of one child under 13 and one worrying; one undefined case in Brussels."""
    history = History(pool)
    lou = uuid4()
    for number, who in enumerate((lou, lou, None, None, None, None), 1):
        about = [child(0, who, 12 if who else 15, "girl")]
        case = await history.case(f"2021-000{number}", brussels(2021, number, 1), children=about)
        if number == 3:
            await history.assess(case, True, brussels(2021, 3, 2))
            await history.count(e.ReachReported(people=70, interactions=7), brussels(2021, 3, 4), case)
    alone = await history.case("2021-0007", brussels(2021, 7, 1), "undefined")
    place = e.Place(postal_code="1000", municipality="21004")
    await history.fact(alone, e.DetailsCorrected(last_seen=place), brussels(2021, 7, 1))
    await history.close(alone, brussels(2021, 7, 3), "found_deceased")
    await history.count(e.CallsCounted(count=9), brussels(2021, 1, 31))
    await project(settings_with_kafka)
    return history


@pytest.fixture
async def coordinator(pool):
    return await issue_token(pool, "cora", Role.COORDINATOR)


async def opened(client, token, figure, **more):  # noqa: F811
    answer = await client.get(CASES, token, figure=figure, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def numbers(page):
    return [item["case_number"] for item in page["items"]]


async def test_a_figure_shows_the_cases_that_make_it(client, cases, coordinator):  # noqa: F811
    """By the name in the report, `_share` or not: the case numbers, and what each adds; a share's whole on request."""
    assert numbers(await opened(client, coordinator, "worrying")) == ["2021-0003"]
    young = await opened(client, coordinator, "details.runaway.under_13")
    assert young == await opened(client, coordinator, "details.runaway.under_13_share") | {
        "figure": "details.runaway.under_13"
    }
    assert numbers(young) == ["2021-0001"], "a child counts by its first case of the year"
    whole = await opened(client, coordinator, "details.runaway.under_13", part="denominator")
    assert numbers(whole) == ["2021-0001", "2021-0003", "2021-0004", "2021-0005", "2021-0006"]
    repeated = await opened(client, coordinator, "details.runaway.repeat_children")
    assert numbers(repeated) == ["2021-0001", "2021-0002"]
    assert numbers(await opened(client, coordinator, "by_month.07")) == ["2021-0007"]
    assert numbers(await opened(client, coordinator, "by_province.04000")) == ["2021-0007"]
    assert numbers(await opened(client, coordinator, "outcomes.found_deceased")) == ["2021-0007"]
    (reach,) = (await opened(client, coordinator, "details.reach_people"))["items"]
    assert (reach["case_number"], reach["amount"]) == ("2021-0003", 70)
    (calls,) = (await opened(client, coordinator, "details.hotline_calls"))["items"]
    assert calls == {"case_id": None, "case_number": None, "amount": 9, "at": "2021-01-30T23:00:00Z"}
    then = await opened(client, coordinator, "new_cases.total", as_of="2021-02-15T00:00:00+01:00")
    assert numbers(then) == ["2021-0001", "2021-0002"]


async def test_a_long_list_comes_in_pages(client, cases, coordinator):  # noqa: F811
    """Each case once, in the order of their numbers."""
    found, cursor = [], {}
    while True:
        page = await opened(client, coordinator, "new_cases.total", limit="3", **cursor)
        found += numbers(page)
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == [f"2021-000{n}" for n in range(1, 8)]


async def test_a_viewer_opens_nothing(client, cases, pool):  # noqa: F811
    """A viewer 403, a partner 403, nobody 401, the staff 200; the problem says who may."""
    for role, status in {Role.VIEWER: 403, Role.PARTNER: 403, Role.OPERATOR: 200, Role.ADMIN: 200}.items():
        answer = await client.get(CASES, await issue_token(pool, "x", role), figure="worrying")
        assert answer.status_code == status, role
        if status == 403:
            assert answer.headers["content-type"] == "application/problem+json"
            assert "coordinator" in answer.json()["detail"] or role is Role.PARTNER
            assert "2021-0003" not in answer.text
    assert (await client.get(CASES, "", figure="worrying")).status_code == 401


REFUSED = (
    ("figure=new_cases.dragons", "figure"),
    ("figure=new_cases", "figure"),
    ("figure=by_month", "figure"),
    ("figure=by_month.13", "figure"),
    ("figure=runaways", "figure"),
    ("figure=worrying&part=denominator", "figure"),
    ("figure=worrying%00", "content"),
    ("figure=worrying&part=half", "content"),
    ("figure=worrying&province=21004", "content"),
    ("figure=worrying&as_of=2030-01-01T00:00:00Z", "as_of"),
    ("figure=worrying&limit=0", "content"),
    ("", "content"),
)


async def test_what_cannot_be_opened_says_why(client, coordinator):  # noqa: F811
    """A figure that does not exist, a breakdown without its key, a helper that is no figure, a future moment: 422."""
    for query, rule in REFUSED:
        answer = await client.get(f"{CASES}?{query}", coordinator)
        assert answer.status_code == 422, query
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["rule"] == rule, query
        assert "dragons" not in answer.text
    assert (await client.get("/v1/reports/annual/2031/cases?figure=worrying", coordinator)).status_code == 422


async def test_part_of_the_country(client, cases, coordinator):  # noqa: F811
    """Only the cases there: not the others, nor what belongs to no case."""
    report = (await client.get(f"{REPORT}?province=20001&beside=0", coordinator)).json()
    assert report["province"] == "20001"
    assert (report["new_cases"]["runaway"], report["new_cases"]["undefined"]) == (6, 0)
    assert (report["worrying"], report["details"]["reach_people"]) == (1, 70)
    assert report["details"]["hotline_calls"] == 0
    assert report["by_province"]["20001"] == 6
    there = await opened(client, coordinator, "new_cases.total", province="04000")
    assert numbers(there) == ["2021-0007"]
    assert (await client.get(f"{REPORT}?province=20001", coordinator)).json()["details"]["runaway"][
        "girls_share"
    ]["value"] == 1.0


async def test_a_filter_never_tells_a_viewer_of_one_child(client, cases):  # noqa: F811
    """Refused where it leaves fewer than five cases; else small numbers are null, and what is made of them."""
    refused = await client.get(f"{REPORT}?province=04000")
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["rule"] == "singles-out"
    report = (await client.get(f"{REPORT}?province=20001")).json()
    assert report["new_cases"]["runaway"] == 5, "six, rounded"
    assert report["worrying"] is None
    assert report["details"]["runaway"]["under_13_share"] == dict.fromkeys(
        ("value", "numerator", "denominator")
    )
    assert set(report["by_month"].values()) == {0, None}
    csv = await client.get(f"{REPORT}?province=20001&format=csv")
    assert "\nworrying,,,\r" in csv.text
    assert (await client.get(REPORT)).json()["worrying"] == 1, "the country's own figures are published"


async def test_years_stand_beside(client, cases, settings_with_kafka):  # noqa: F811
    """Two earlier years by default, as many as asked for, in every format under the same names."""
    report = (await client.get(REPORT)).json()
    assert list(report["beside"]) == ["2020", "2019"]
    assert report["beside"]["2020"]["new_cases"]["total"] == 0
    assert "year" not in report["beside"]["2020"]
    assert "beside" not in (await client.get(f"{REPORT}?beside=0")).json()
    assert list((await client.get(f"{REPORT}?beside=1")).json()["beside"]) == ["2020"]
    assert "beside.2020.new_cases.total,0,,\r" in (await client.get(f"{REPORT}?format=csv")).text
    assert (await client.get(f"{REPORT}?beside=11")).status_code == 422


async def test_every_reason_to_worry_counts_once(settings_with_kafka, pool):
    """A criterion that came, went and came again is one; a case may count under several."""
    from services.projections.reports import annual

    history = History(pool)
    case = await history.case("a", brussels(2021, 2, 1))
    for day, reasons in enumerate(
        (("criterion:under_13",), (), ("criterion:under_13", "criterion:out_of_character", "override")), 2
    ):
        changed = assessed(bool(reasons), day).model_copy(update={"reasons": reasons})
        await history.put(assessment_stream(case), case, changed, brussels(2021, 2, day))
    calm = assessed(False).model_copy(update={"reasons": ("override",)})
    other = await history.case("b", brussels(2021, 2, 1))
    await history.put(assessment_stream(other), other, calm, brussels(2021, 2, 2))
    await project(settings_with_kafka)
    zone = brussels(2021, 1, 1).tzinfo
    found = (await annual(pool, zone, 2021))["worrying_by_criterion"]
    assert {name: n for name, n in found.items() if n} == {
        "under_13": 1,
        "out_of_character": 1,
        "override": 1,
    }
    before = (await annual(pool, zone, 2021, brussels(2021, 2, 3)))["worrying_by_criterion"]
    assert {name: n for name, n in before.items() if n} == {"under_13": 1}


async def test_time_to_public_and_time_to_dark(settings_with_kafka, pool):
    """From release to each planned display, from end to each withdrawal; who joins later is not slow."""
    from services.projections.reports import annual

    history = History(pool)
    case = await history.case("a", brussels(2021, 2, 1))
    released, ended = brussels(2021, 2, 1, 12), brussels(2021, 2, 2)
    campaign = await history.release(case, "public", released)
    await history.put(
        f"campaign-{campaign}", case, e.CampaignEnded(campaign_id=campaign, reason="child_found"), ended
    )
    alert, one, two, late = uuid4(), uuid4(), uuid4(), uuid4()
    fact = {"alert_id": alert, "revision": 1, "kind": "public"}
    issued = e.AlertIssued(**fact, campaign_id=campaign, recipients=3, displays=2, to=(one, two))
    await history.put(f"alert-{alert}", case, issued, released)
    times = {
        one: (released.replace(second=1), "issued", ended.replace(second=3)),
        two: (released.replace(second=2), "issued", ended.replace(second=5)),
        late: (released.replace(minute=30), "issued", ended.replace(second=40)),
    }
    for recipient, (on, content, off) in times.items():
        for at, what in ((on, content), (on.replace(minute=50), "updated"), (off, "withdrawn")):
            told = {**fact, "content": what, "recipient": recipient, "audience": "display", "attempts": 1}
            stream = f"delivery-{alert}.{recipient}"
            await history.put(stream, case, e.DeliveryDelivered(**told, at=at), at)
    await project(settings_with_kafka)
    report = await annual(pool, brussels(2021, 1, 1).tzinfo, 2021)
    assert report["time_to_public"] == {"displays": 2, "median_s": 1.5, "slowest_s": 2.0}
    assert report["time_to_dark"] == {"displays": 3, "median_s": 5.0, "slowest_s": 40.0}
    assert (await annual(pool, brussels(2021, 1, 1).tzinfo, 2020))["time_to_dark"] == {"displays": 0}
