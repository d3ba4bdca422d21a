"""What is published of quarters and years adds up, stays as it was, and survives whoever adds and subtracts."""

import csv
import io
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.vocabulary import CampaignKind, CaseKind, Criterion, Gender, Language, Outcome
from services.projections.figures import PROVINCES
from services.projections.statistics import dictionary
from services.projections.statistics.api import _csv
from services.projections.statistics.periods import Quarter, published
from services.projections.statistics.publication import Counts, lines
from services.projections.statistics.suppression import is_small
from services.projections.statistics.tables import ACTIVITY, TABLES, TOTALS

ZONE = ZoneInfo("Europe/Brussels")
YEAR = [Quarter(2021, number) for number in range(1, 5)]
PLACES = {table.name: table for table in TABLES}
ANY = (1 << 400) - 1
"""All numbers up to 399; there are fewer of anything here."""


def quarter(months, tables, extra=0):
    """Counts that fit together: the months make the quarter, and each table its total."""
    total = sum(months)
    parts = {}
    for name, table in PLACES.items():
        whole = {"new_cases": total, "children": total + extra, "outcomes": 30, "campaigns": 9}.get(
            table.total
        )
        parts[name] = _split(table.categories, whole, tables.get(name, ()))
    worrying = parts["new_cases_by_assessment"]["worrying"]
    parts["worrying_by_criterion"] = {
        name: min(number, worrying) for name, number in parts["worrying_by_criterion"].items()
    }
    totals = {"new_cases": total, "children": total + extra, "outcomes": 30, "campaigns": 9}
    return Counts(totals, months=dict(enumerate_months(months)), tables=parts, activity={"hotline_calls": 7})


def enumerate_months(numbers):
    return {}.items() if not numbers else zip(_MONTHS[: len(numbers)], numbers, strict=True)


_MONTHS = tuple(f"{month:02}" for month in range(1, 13))


def _split(categories, whole, wanted):
    """The wanted numbers, as far as there are so many; the last category has the rest."""
    found, rest = {}, sum(wanted) if whole is None else whole
    for name, number in zip(categories, (*wanted, *[0] * len(categories)), strict=False):
        found[name] = min(number, rest)
        rest -= found[name]
    if whole is not None:
        found[categories[-1]] += rest
    return found


def year_of(drawn):
    """Four quarters; the months have their own names in each."""
    counts = {}
    for one, (months, tables, extra) in zip(YEAR, drawn, strict=True):
        made = quarter(months, tables, extra)
        counts[one] = Counts(
            made.totals, dict(zip(one.months, months, strict=True)), made.tables, made.activity
        )
    return counts


NUMBER = st.integers(0, 7)
DRAWN = st.lists(
    st.tuples(
        st.lists(NUMBER, min_size=3, max_size=3),
        st.fixed_dictionaries({name: st.lists(st.integers(0, 4), max_size=6) for name in PLACES}),
        st.integers(0, 3),
    ),
    min_size=4,
    max_size=4,
)


def by_place(shown):
    return {(line.period, line.table, line.category): line.value for line in shown}


def truth(counts):
    """Every number that was counted, by its place: plain additions."""
    found = {}
    for one, made in counts.items():
        found[str(one), "new_cases", "total"] = made.totals["new_cases"]
        for month in one.months:
            found[f"{one.year}-{month}", "new_cases", "total"] = made.months[month]
    if len(counts) == 4:
        for name in TOTALS:
            found["2021", name, "total"] = sum(made.totals[name] for made in counts.values())
        for name, table in PLACES.items():
            for category in table.categories:
                found["2021", name, category] = sum(made.tables[name][category] for made in counts.values())
    return found


def _adds(parts):
    """What a sum can be, when each part can be what is in its set."""
    sums = 1
    for part in parts:
        few, many = sorted((sums, part), key=int.bit_count)
        sums = 0
        for number in _numbers(few):
            sums |= many << number
        sums &= ANY
    return sums


def _numbers(those):
    while those:
        yield (those & -those).bit_length() - 1
        those &= those - 1


def possible(real, shown, place, number):
    """Whether `place` could be `number`: the sums are tried from the leaves up, with sets of all values that fit.

    A set of numbers is an integer with those bits. Whoever tries knows of all withheld cells that are not 0 that they are not.
    """

    def at(*where):
        if where == place:
            return 1 << number
        value = shown[where]
        if value is not None:
            return 1 << value
        return ANY & ~1 if real[where] else ANY

    def table(name):
        return _adds([at("2021", name, category) for category in PLACES[name].categories])

    quarters = [
        at(str(one), "new_cases", "total")
        & _adds([at(f"2021-{month}", "new_cases", "total") for month in one.months])
        for one in YEAR
    ]
    cases = at("2021", "new_cases", "total") & _adds(quarters)
    for name in ("new_cases_by_kind", "new_cases_by_assessment", "new_cases_by_province"):
        cases &= table(name)
    children = at("2021", "children", "total") & table("children_by_gender") & table("children_by_age")
    outcomes = at("2021", "outcomes", "total") & table("outcomes_by_outcome")
    campaigns = at("2021", "campaigns", "total") & table("campaigns_by_kind")
    if place == ("siblings",):
        fits = bool((cases << number) & children)
    else:
        fits = bool(cases and children and children.bit_length() >= (cases & -cases).bit_length())
    worrying = at("2021", "new_cases_by_assessment", "worrying").bit_length()
    criteria = all(
        next(_numbers(at("2021", "worrying_by_criterion", one))) < worrying
        for one in PLACES["worrying_by_criterion"].categories
    )
    return fits and bool(outcomes and campaigns) and criteria


def _calm(months, extra=30):
    return months, {"new_cases_by_kind": [9] * 5, "new_cases_by_assessment": [20]}, extra


@settings(max_examples=8, deadline=None)
@given(DRAWN)
@example([_calm([3, 0, 0]), *[_calm([20, 20, 20])] * 3])  # a small quarter
@example([*[_calm([20, 20, 20], 0)] * 3, _calm([20, 20, 20], 2)])  # two brothers or sisters
@example([_calm([1, 0, 1]), *[_calm([2, 0, 0], 0)] * 3])  # hardly anything happened
def test_nobody_works_out_a_small_number_from_a_whole_year(drawn):
    """Every published number at once, and every sum: each small one can still be four different numbers."""
    attack(drawn)


@pytest.mark.long
@settings(max_examples=400, deadline=None)
@given(DRAWN)
def test_nobody_works_out_a_small_number_from_any_of_many_years(drawn):
    """The same attack for longer."""
    attack(drawn)


def attack(drawn):
    counts = year_of(drawn)
    real, shown = truth(counts), by_place(lines(counts))
    for place, number in real.items():
        assert shown[place] in (None, number), place
        assert not (is_small(number) and shown[place] is not None), place
        if is_small(number):
            fitting = [n for n in range(1, 9) if possible(real, shown, place, n)]
            assert len(fitting) >= 4, (place, number, {p: v for p, v in shown.items() if v is None})
            # Of a total one knows how many parts of it are not 0.
            is_total = place[2] == "total" and place[0].count("-") + ("Q" in place[0]) != 1
            assert is_total or fitting[:4] == [1, 2, 3, 4], place
    siblings = real["2021", "children", "total"] - real["2021", "new_cases", "total"]
    if is_small(siblings):
        assert sum(possible(real, shown, ("siblings",), n) for n in range(20)) >= 4


@settings(max_examples=40, deadline=None)
@given(DRAWN)
def test_what_is_published_never_changes(drawn):
    """A quarter's lines are the same when the next one comes, and when the year does: nobody compares two days."""
    counts = year_of(drawn)
    earlier = {}
    for one in YEAR:
        earlier[one] = counts[one]
        now = by_place(lines(earlier))
        before = by_place(lines({q: c for q, c in earlier.items() if q != one}))
        assert before.items() <= now.items()
    assert {line.period for line in lines({YEAR[0]: counts[YEAR[0]]})} == {
        "2021-Q1",
        "2021-01",
        "2021-02",
        "2021-03",
    }


def test_a_year_is_the_sum_of_its_quarters():
    """Nothing lies between the two that could be subtracted; every line is there, years before quarters before months."""
    counts = year_of([([40, 50, 60], {"new_cases_by_kind": [5, 6, 7, 8]}, 10)] * 4)
    shown = lines(counts)
    assert by_place(shown)["2021", "new_cases", "total"] == 600
    assert by_place(shown)["2021", "new_cases_by_kind", "undefined"] == 20
    assert by_place(shown)["2021", "activity", "hotline_calls"] == 28
    periods = [line.period for line in shown if line.table == "new_cases"]
    assert periods[:5] == ["2021", "2021-Q1", "2021-Q2", "2021-Q3", "2021-Q4"]
    assert len(periods) == 17
    assert not [line for line in shown if line.table == "siblings"]


def test_a_quarter_comes_three_months_after_its_end_and_a_day():
    """By the calendar of Brussels, not before: what is known then is what counts for good."""
    first = datetime(2020, 12, 31, 23, 30, tzinfo=UTC)  # 2021 in Brussels
    moment = Quarter(2021, 1).known_at(ZONE)
    assert moment == datetime(2021, 7, 1, tzinfo=ZONE)
    assert published(first, moment + timedelta(hours=23), ZONE) == []
    assert published(first, moment + timedelta(days=1), ZONE) == [Quarter(2021, 1)]
    assert published(first, datetime(2022, 4, 3, tzinfo=ZONE), ZONE) == YEAR
    assert str(Quarter(2021, 4).next) == "2022-Q1"


def test_every_kind_of_thing_has_its_place():
    """A category that the tables forgot would be missing from a sum, and could be worked out from it."""
    assert set(PLACES["new_cases_by_kind"].categories) == set(CaseKind)
    assert set(PLACES["new_cases_by_province"].categories) == {*PROVINCES, "unknown"}
    assert set(PLACES["children_by_gender"].categories) == set(Gender)
    assert set(PLACES["outcomes_by_outcome"].categories) == set(Outcome)
    assert set(PLACES["campaigns_by_kind"].categories) == set(CampaignKind)
    assert set(PLACES["worrying_by_criterion"].categories) == {*Criterion, "override"}
    together = [(one.total, table.name) for one in TABLES for table in TABLES if one.total == table.total]
    assert ("new_cases", "new_cases_by_kind") in together


def test_the_dictionary_says_what_every_line_is():
    """Each table and category of the figures, its unit and periods, in four languages; where from, and under what licence."""
    counts = year_of([([40, 50, 60], {}, 10)] * 4)
    told = {
        (table["table"], one["category"]): (one, table)
        for table in dictionary.tables()
        for one in table["categories"]
    }
    used = {(line.table, line.category) for line in lines(counts)}
    assert used - set(told) == set()
    assert set(told) - used == {("activity", name) for name in ACTIVITY} - used
    for one, table in told.values():
        assert one["name"].keys() == table["definition"].keys() == {language.value for language in Language}
        assert all(one["name"].values())
        assert one["unit"] in {"case", "child", "campaign", "call", "person", "interaction"}
    document = dictionary.document("116 000")
    assert document["columns"].keys() == set(dictionary.COLUMNS)
    assert (document["source"], document["licence"]["name"]) == ("116 000", "CC BY 4.0")
    written = list(csv.DictReader(io.StringIO(_csv(dictionary.ENTRY_COLUMNS, dictionary.entries()).decode())))
    assert {(row["table"], row["category"]) for row in written if row["category"]} == set(told)
    brussels = next(row for row in written if row["category"] == "04000")
    assert [brussels[language] for language in ("nl", "fr", "de", "en")] == [
        "Brussel",
        "Bruxelles",
        "Brüssel",
        "Brussels",
    ]
