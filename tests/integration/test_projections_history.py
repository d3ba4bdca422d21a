"""Three years of invented history become the published figures, and fast enough for an import to wait for them."""

import json
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from history_events import BRUSSELS, appends, events_of
from projections_ground import brussels, ends, follow, relay_all

from services.cli.figures import REPORT_WITHIN_S
from services.eventlog.store import append, lock_streams
from services.kernel.postgres import create_pool
from services.projections.figures import BREAKDOWNS, COUNTS, QUOTIENTS
from services.projections.opening import cases_behind, opened
from services.projections.registry import PROJECTIONS
from services.projections.reports import annual, rows, strip
from services.projections.statistics.counting import counts_of
from services.projections.statistics.periods import Quarter
from services.projections.statistics.publication import lines

DATA = Path(__file__).parents[1] / "data"
sys.path.insert(0, str(DATA))  # a folder of data is no package

import history  # noqa: E402 - it is found only now
from annual_document import TARGET, document  # noqa: E402
from history_figures import figures  # noqa: E402
from test_projections_second_count import differences  # noqa: E402

PUBLISHED = json.loads((DATA / "annual_figures.json").read_text())
ABDUCTION = "international_parental_abduction"
pytestmark = pytest.mark.timeout(240)


async def _store(pool: Any, events: list[Any]) -> None:
    for start in range(0, len(events), 500):
        part = events[start : start + 500]
        async with pool.acquire() as connection, connection.transaction():
            await lock_streams(connection, [event.stream for event in part])
            await append(connection, appends(part))


@pytest.fixture(scope="module")
async def golden(shared_settings, record_testsuite_property):
    """The whole history in the store, relayed and projected for real, once for all tests here."""
    settings = shared_settings
    pool = await create_pool(settings.database_url.get_secret_value(), size=4, application="test")
    lines = list(history.history())
    await _store(pool, events_of(lines))
    await relay_all(settings)
    count = sum((await ends(settings)).values())
    took = []
    for projection in PROJECTIONS:
        begin = time.perf_counter()
        await follow(settings, projection)
        took.append(time.perf_counter() - begin)
    record_testsuite_property("events_per_second", [round(count / seconds) for seconds in took])
    report = await annual(pool, BRUSSELS, 2021, beside=2)
    yield SimpleNamespace(pool=pool, lines=lines, took=took, report=report)
    await pool.close()


def _agrees(figure: Any, published: Any) -> bool:
    """A share is right when it rounds to the published digits."""
    if isinstance(figure, dict):
        digits = len(str(published).split(".")[1])
        return round(figure["value"], digits) == published
    return figure == published


async def test_projecting_three_years_is_quick(golden):
    """All projections together are done before a report would give up waiting for them, also on a busy machine."""
    assert sum(golden.took) < REPORT_WITHIN_S


@pytest.mark.parametrize("year", ["2021", "2020", "2019"])
async def test_the_published_figures(golden, year):
    """Every published figure of every year, to its published digits, also of the years that stand beside."""
    report = golden.report if year == "2021" else golden.report["beside"][year]
    assert report["new_cases"] == PUBLISHED["new_cases"][year]
    assert report["worrying"] == PUBLISHED["worrying"][year]
    assert report["campaigns"] == PUBLISHED["campaigns"][year]
    for kind, published in PUBLISHED["handled"].get(year, {}).items():
        assert report["handled"][kind] == published
    for name, published in PUBLISHED["details"].get(year, {}).items():
        parts = published.items() if isinstance(published, dict) else [(None, published)]
        for part, value in parts:
            figure = report["details"][name][part] if part else report["details"][name]
            assert _agrees(figure, value), (year, name, part, figure, value)


async def test_what_the_report_says_in_words(golden):
    """Destinations, help, nationalities, worry of runaways, closings and means of the years before."""
    details = golden.report["details"]
    abductions, minors = details[ABDUCTION], details["unaccompanied_minor"]
    regions = {region: share["value"] for region, share in abductions["regions_share"].items()}
    assert [round(regions[name], 2) for name in ("european_union", "asia", "america")] == [0.65, 0.10, 0.05]
    assert 0.19 < regions["africa"] < 0.2
    assert sum(abductions["countries"].values()) == 370
    assert round(abductions["towards_belgium_share"]["value"], 2) == 0.08
    assert abductions["helped_share"] == {"value": 9 / 73, "numerator": 9, "denominator": 73}
    assert 0.29 < minors["nationalities_share"]["MA"]["value"] < 0.30
    assert round(minors["nationalities_share"]["AF"]["value"], 2) == 0.27
    assert 0.18 < details["runaway"]["worrying_share"]["value"] < 0.2
    assert details["undefined"]["closed_share"]["value"] > 0.8
    before = {year: one["details"] for year, one in golden.report["beside"].items()}
    assert [round(before[y][ABDUCTION]["closed_share"]["value"], 2) for y in ("2020", "2019")] == [0.39, 0.32]
    assert round(before["2020"]["runaway"]["girls_share"]["value"], 2) == 0.67
    assert before["2020"]["reach_people_per_disappearance"]["value"] == 501_301
    assert before["2020"]["reach_interactions_per_disappearance"]["value"] == 41_801


@pytest.mark.parametrize(("year", "as_of"), [(2021, None), (2020, None), (2021, brussels(2021, 7, 1))])
async def test_the_second_count_agrees(golden, year, as_of):
    """Plain Python over the lines finds every figure and breakdown the same, also as known half-way."""
    report = strip(await annual(golden.pool, BRUSSELS, year, as_of))
    assert differences(report, figures(golden.lines, year, as_of)) == []


async def test_breakdowns_add_up(golden):
    """Months and provinces make all new cases; every worrying case has a reason; regions make all abductions."""
    report = golden.report
    total = report["new_cases"]["total"]
    assert sum(report["by_month"].values()) == sum(report["by_province"].values()) == total
    assert report["by_province"]["unknown"] == 0
    assert sum(report["worrying_by_criterion"].values()) >= report["worrying"]
    regions = report["details"][ABDUCTION]["regions_share"].values()
    assert sum(region["numerator"] for region in regions) == report["handled"][ABDUCTION]


async def test_public_figures_are_those_of_the_report(golden):
    """Nothing was corrected after it was published, so each number that is shown is the report's; few are withheld."""
    quarters = [Quarter(2021, number) for number in range(1, 5)]
    async with golden.pool.acquire() as connection:
        counts = {one: await counts_of(connection, one, BRUSSELS) for one in quarters}
    shown = {(line.table, line.category): line.value for line in lines(counts) if line.period == "2021"}
    assert shown["new_cases", "total"] == golden.report["new_cases"]["total"]
    compared = 0
    for table, section in {
        "new_cases_by_kind": "new_cases",
        "new_cases_by_province": "by_province",
        "worrying_by_criterion": "worrying_by_criterion",
        "outcomes_by_outcome": "outcomes",
        "campaigns_by_kind": "campaigns",
    }.items():
        for category, value in ((c, v) for (t, c), v in shown.items() if t == table and v is not None):
            assert value == golden.report[section].get(category, 0), (table, category)
            compared += 1
    assert compared > 30
    assert shown["new_cases_by_assessment", "worrying"] == PUBLISHED["worrying"]["2021"]
    assert shown["activity", "hotline_calls"] == PUBLISHED["details"]["2021"]["hotline_calls"]
    assert [place for place, value in shown.items() if value is None] == [
        ("worrying_by_criterion", "override"),
        ("children_by_gender", "unknown"),
        ("children_by_gender", "boy"),
        ("children_by_age", "18_and_over"),
        ("children_by_age", "unknown"),
    ]


async def test_every_number_can_be_opened(golden):
    """The cases behind a figure are as many as it says: their amounts make it, or the one that stands out."""
    found = {name: (value, numerator) for name, value, numerator, _ in rows(golden.report)}
    names = [name for name in found if not name.startswith("beside.")]
    for name in _one_of_each(names):
        items = await _items(golden.pool, name)
        amounts = [item["amount"] for item in items]
        value = found[name][0] if found[name][1] is None else found[name][1]
        if name.endswith("most_episodes_of_one_child"):
            assert (len(items), set(amounts)) == (14, {14})
        elif "median" in name:
            assert min(amounts) < value < max(amounts)
        elif name.endswith("repeat_children"):
            assert len(items) > 2 * value
        else:
            assert sum(amounts) == value, name
        numbers = [item["case_number"] for item in items if item["case_id"]]
        assert len(set(numbers)) == len(numbers)


def _one_of_each(names: list[str]) -> list[str]:
    """Every count, share and mean, and two keys of each breakdown."""
    single = [name for name in names if name in COUNTS or name in QUOTIENTS]
    return single + [key for b in BREAKDOWNS for key in [n for n in names if n.startswith(f"{b}.")][:2]]


async def _items(pool: Any, name: str) -> list[Any]:
    items: list[Any] = []
    cursor = None
    while True:
        page = await cases_behind(pool, BRUSSELS, 2021, opened(name), after=cursor, limit=400)
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items


async def test_a_report_is_known_as_it_was(golden):
    """Half-way through the year there was half of it, and what was counted later had not been."""
    early = await annual(golden.pool, BRUSSELS, 2021, brussels(2021, 7, 1) - timedelta(seconds=1))
    assert 400 < early["new_cases"]["total"] < 800
    assert early["by_month"]["07"] == 0 < early["by_month"]["06"]
    assert early["details"]["hotline_calls"] < PUBLISHED["details"]["2021"]["hotline_calls"]


async def test_the_page_about_2021_is_current(golden):
    """docs/annual-report-2021.md is what `make annual-report` would write."""
    written = document(json.loads(json.dumps(golden.report)))
    assert TARGET.read_text(encoding="utf-8") == written, "run make annual-report and look at what changed"
