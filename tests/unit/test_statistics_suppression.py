"""No small number can be worked out from public figures, whatever one knows about sums and about the rule itself."""

import itertools
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.projections.statistics.suppression import Bound, Design, Sum, is_small, what_follows, withheld


def parts(count: int) -> tuple[str, ...]:
    return tuple(f"part{number}" for number in range(count))


def seen(cells, hidden):
    """What somebody sees: every cell, and no number where it is withheld."""
    return tuple((name, None if name in hidden else number) for name, number in cells.items())


def test_small_numbers_go_and_one_more_for_their_sake():
    """Two of 20, 2 and 30 would give the third away; which one goes is said by the order, not by the size."""
    cells = {"a": 20, "b": 2, "c": 30, "total": 52}
    assert withheld(cells, Design([Sum("total", ("a", "b", "c"))])) == {"a", "b"}
    assert withheld(cells, Design([Sum("total", ("c", "a", "b"))])) == {"b", "c"}


def test_nothing_goes_where_nothing_is_small():
    """0 tells of nobody, and neither does 5."""
    assert withheld({"a": 0, "b": 5, "total": 5}, Design([Sum("total", ("a", "b"))])) == frozenset()


def test_zeros_are_shown_but_where_nothing_else_is_left():
    """6 in two cells of five, and a total that is out already: only with the empty ones they could be anything."""
    cells = {"a": 4, "b": 2, "c": 0, "d": 0, "total": 6}
    design = Design([Sum("total", ("a", "b", "c", "d"))])
    assert withheld(cells, design) == {"a", "b", "total"}
    assert withheld(cells, design, {"total": False}) == {"a", "b", "c"}


def test_small_ones_that_only_add_up_in_one_way_take_another_with_them():
    """Four withheld cells that make 4 are 1 each, however many they are."""
    cells = {**dict.fromkeys(parts(4), 1), "rest": 30, "total": 34}
    assert withheld(cells, Design([Sum("total", (*parts(4), "rest"))])) == {*parts(4), "rest"}


def test_a_second_table_of_the_same_total_gives_nothing_away():
    """Where the total must go, the other table that makes it loses a cell too."""
    cells = {"a": 2, "b": 1, "x": 3, "y": 0, "total": 3}
    hidden = withheld(cells, Design([Sum("total", ("a", "b")), Sum("total", ("x", "y"))]))
    assert hidden == set(cells), (
        "two cells that are not 0 make at least 2, so an empty one must hide that 3 is alone"
    )
    cells = {"a": 1, "b": 5, "x": 6, "y": 40, "total": 6, "z": 46}
    hidden = withheld(cells, Design([Sum("total", ("a", "b")), Sum("z", ("total", "y"))]))
    assert {"a", "b", "total", "y"} <= hidden


def test_what_was_published_stays_and_the_rest_gives_way():
    """A quarter that is out cannot be taken back: the year it would be worked out from is withheld."""
    cells = {"q1": 3, "q2": 20, "q3": 20, "q4": 20, "year": 63}
    out = {"q1": True, "q2": False, "q3": False, "q4": False}
    design = Design([Sum("year", ("q1", "q2", "q3", "q4"))])
    assert withheld(cells, design) == {"q1", "q2"}
    assert withheld(cells, design, out) == {"q1", "year"}


def test_a_part_that_is_told_apart_bounds_its_whole():
    """38 cases by one criterion mean at least 38 worrying ones: of 40, that would leave 2 at most."""
    cells = {"calm": 2, "worrying": 38, "total": 40, "criterion": 38}
    design = Design([Sum("total", ("calm", "worrying"))], [Bound("criterion", "worrying")])
    hidden = withheld(cells, design)
    low, high = what_follows(cells, design, hidden)["calm"]
    assert high - low >= 3
    assert "total" in hidden
    assert "total" not in withheld(cells, Design(design.sums))


def test_what_is_never_shown_but_follows_counts_too():
    """42 children in 40 cases are two brothers or sisters: one of both numbers goes, and not the one that is spared."""
    cells = {"siblings": 2, "cases": 40, "children": 42}
    design = Design([Sum("children", ("siblings", "cases"))], unpublished=["siblings"], spared=["cases"])
    assert withheld(cells, design) == {"siblings", "children"}
    assert withheld(cells | {"siblings": 20, "children": 60}, design) == {"siblings"}


@pytest.mark.parametrize(("count", "most", "left"), [(2, 24, 4), (3, 14, 4), (4, 9, 3)])
def test_who_knows_the_rule_itself_learns_no_small_number(count, most, left):
    """Every table there is, and what is seen of it: among all tables that look the same, a small cell differs widely.

    Nothing is assumed about what somebody can compute: whoever tries every table with the rule in hand does this.
    """
    alike = defaultdict(list)
    names = parts(count)
    design = Design([Sum("total", names)])
    for numbers in itertools.product(range(most + 1), repeat=count):
        cells = dict(zip(names, numbers, strict=True)) | {"total": sum(numbers)}
        alike[seen(cells, withheld(cells, design))].append(cells)
    attacked = 0
    for view, tables in alike.items():
        hidden = [name for name, number in view if number is None and name != "total"]
        if sum(tables[0][name] for name in hidden) > most:
            continue  # some tables that look like this are larger than those that were tried
        for name in hidden:
            possible = {table[name] for table in tables}
            if any(is_small(number) for number in possible):
                attacked += 1
                assert len(possible) >= left, (view, name, possible)
    assert attacked > 20


def _ways(names, rest, cells):
    """Every way in which these cells can make a sum; which of them are not 0 is known."""
    if not names:
        if rest == 0:
            yield {}
        return
    head, *tail = names
    for number in range(int(cells[head] > 0), rest + 1):
        for others in _ways(tail, rest - number, cells):
            yield {head: number} | others


TABLES = st.tuples(
    st.lists(st.integers(0, 9), min_size=2, max_size=4), st.lists(st.integers(0, 6), min_size=1, max_size=3)
)


@settings(max_examples=150, deadline=None)
@given(TABLES)
def test_who_tries_all_numbers_finds_at_least_four_for_each_small_one(drawn):
    """Two tables of one total, attacked by trying every number that fits: the same range as the rule computed, or wider."""
    first, second = drawn
    second = [*second, max(sum(first) - sum(second), 0)]
    first[0] += sum(second) - sum(first)
    one, two = parts(len(first)), tuple(f"other{n}" for n in range(len(second)))
    cells = dict(zip(one, first, strict=True)) | dict(zip(two, second, strict=True)) | {"total": sum(first)}
    design = Design([Sum("total", one), Sum("total", two)])
    hidden = withheld(cells, design)
    assert all(name in hidden for name, number in cells.items() if is_small(number))
    totals = [cells["total"]] if "total" not in hidden else range(cells["total"] + 8)
    possible = defaultdict(set)
    for total in totals:
        found = []
        for names in (one, two):
            gone = [name for name in names if name in hidden]
            rest = total - sum(cells[name] for name in names if name not in hidden)
            found.append(list(_ways(gone, rest, cells)))
        if all(found):
            possible["total"].add(total)
            for way in itertools.chain(*found):
                for name, number in way.items():
                    possible[name].add(number)
    for name, number in cells.items():
        if is_small(number) and name != "total":
            assert len(possible[name]) >= 4, (cells, sorted(hidden), name, possible[name])
