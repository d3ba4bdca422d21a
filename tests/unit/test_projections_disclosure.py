"""What a viewer may learn from a part of the figures: no number that tells of one child, nor one that gives it away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.problems import ForbiddenError
from services.projections.disclosure import for_viewers
from services.projections.reports import quotient

NOTHING = {"value": None, "numerator": None, "denominator": None}


def report(**sections):
    return {"year": 2021, "province": "20001", "handled": {"runaway": 9, "total": 9}} | sections


def test_small_numbers_are_withheld():
    """1 to 4 are null; none, and five or more, are told."""
    kept = for_viewers(report(by_month={"01": 0, "02": 1, "03": 4, "04": 5}, worrying=2))
    assert kept["by_month"] == {"01": 0, "02": None, "03": None, "04": 5}
    assert kept["worrying"] is None
    assert kept["year"] == 2021


def test_a_total_does_not_give_the_withheld_one_away():
    """Where one number alone is withheld, the smallest of the others goes with it."""
    kept = for_viewers(
        report(new_cases={"runaway": 20, "undefined": 7, "third_party_abduction": 1, "total": 28})
    )
    assert kept["new_cases"] == {
        "runaway": 20,
        "undefined": None,
        "third_party_abduction": None,
        "total": 30,
    }


def test_shares_are_withheld_with_either_of_their_sides():
    """A part of 1, and a part of all but 1, tell of the same child."""
    shares = {
        "one": quotient(1, 20),
        "all_but_one": quotient(19, 20),
        "half": quotient(10, 20),
        "none": quotient(0, 9),
    }
    kept = for_viewers(report(details={"runaway": shares}))["details"]["runaway"]
    assert kept["one"] == kept["all_but_one"] == NOTHING
    assert (kept["half"]["numerator"], kept["none"]["numerator"]) == (10, 0)


def test_other_numbers_are_rounded():
    """To multiples of five, shares with both of their sides; what one child did is withheld however often it did it."""
    kept = for_viewers(
        report(
            new_cases={"runaway": 12, "total": 13},
            details={
                "reach_people": 1007,
                "runaway": {"girls_share": quotient(12, 23), "most_episodes_of_one_child": 14},
            },
        )
    )
    assert kept["rounded_to"] == 5
    assert kept["new_cases"] == {"runaway": 10, "total": 15}
    assert kept["details"]["reach_people"] == 1005
    assert kept["details"]["runaway"] == {
        "girls_share": quotient(10, 25),
        "most_episodes_of_one_child": None,
    }


@given(st.lists(st.integers(5, 60), min_size=10, max_size=10), st.integers(1, 4))
def test_the_country_minus_ten_provinces_is_not_the_eleventh(others, small):
    """The country's number is exact for everybody inside; each other province could be two more or less."""
    seen = [for_viewers(report(worrying=number))["worrying"] for number in others]
    country = sum(others) + small
    least, most = (country - sum(number + off for number in seen) for off in (2, -2))
    assert least <= 1
    assert most >= 4
    assert for_viewers(report(worrying=small))["worrying"] is None


def test_times_of_single_cases_are_withheld():
    """A median of a few cases is the time of one of them."""
    kept = for_viewers(report(median_hours_to_outcome={"runaway": 70.5}, time_to_dark={"displays": 62}))
    assert kept["median_hours_to_outcome"] == {"runaway": None}
    assert kept["time_to_dark"] == {"displays": None}


def test_the_years_beside_are_treated_alike():
    """What is withheld of one year is withheld of all."""
    kept = for_viewers(report(beside={"2020": {"worrying": 3, "handled": {"total": 3}}}))
    assert kept["beside"] == {"2020": {"worrying": None, "handled": {"total": None}}}


def test_a_part_is_not_told_as_of_a_moment():
    """What changed from one moment to the next is one case."""
    with pytest.raises(ForbiddenError) as refused:
        for_viewers(report(as_of="2021-06-01T00:00:00+02:00"))
    assert refused.value.rule == "singles-out"


def test_fewer_than_five_cases_are_refused():
    """Every number would tell of one child."""
    with pytest.raises(ForbiddenError) as refused:
        for_viewers(report() | {"handled": {"total": 4}})
    assert refused.value.rule == "singles-out"
    assert "ask" in refused.value.detail
