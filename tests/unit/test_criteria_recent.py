"""What a worker remembers of the cases it worked on lately."""

from datetime import UTC, datetime

from criteria_ground import case_id, opened, recorded

from services.criteria.case_state import evolve, initial
from services.criteria.domain import CaseFile
from services.criteria.recent import RecentCases
from services.criteria.store import Stored

A, B, C = case_id(1), case_id(2), case_id(3)


def row(case, *ages):
    state = evolve(initial, recorded(case, 1, opened(*(ages or (15,)))))
    return Stored(CaseFile(state), True, 1, 0, False, datetime(2026, 1, 1, tzinfo=UTC))


def test_the_cases_unused_longest_go_first():
    """Memory is bounded: of more cases than it has room for, those written last stay."""
    recent, rows = RecentCases(children=2), {case: row(case) for case in (A, B, C)}
    recent.keep({A: rows[A], B: rows[B]})
    recent.keep({A: rows[A]})
    recent.keep({C: rows[C]})
    assert recent.known([A, B, C]) == {A: rows[A], C: rows[C]}


def test_a_case_with_many_children_takes_the_room_of_many():
    """Room is counted in children, since what is known of a case grows with them; a case too large is not kept."""
    recent, rows = RecentCases(children=3), {A: row(A, 15, 16), B: row(B), C: row(C, 11, 12, 13, 14)}
    recent.keep({A: rows[A], B: rows[B]})
    assert recent.known([A, B]) == {A: rows[A], B: rows[B]}
    recent.keep({C: row(C, 12, 13)})
    assert set(recent.known([A, B, C])) == {B, C}
    recent.keep({C: rows[C]})
    assert recent.known([A, B, C]) == {}
