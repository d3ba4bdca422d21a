"""What holds for every history: the same facts give the same bytes, however they come."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from criteria_ground import BOX, EFFECTIVE, PLAIN, PREVENTIVE, RULES, T0, case_id, event_id, opened, recorded
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import (
    AssessmentChanged,
    CaseClosed,
    CaseReopened,
    ChildCorrection,
    ChildLocated,
    CircumstanceReported,
    CircumstanceRetracted,
    DetailsCorrected,
    EventData,
    NoteAdded,
    OverrideWithdrawn,
    Reclassified,
    WorryingOverridden,
)
from schemas.vocabulary import Answer, CaseKind, Criterion, Finding, Outcome
from services.criteria.case_state import REPORTS_KEPT, CaseState
from services.criteria.domain import CaseFile, advance, assess, next_evaluation, reassess

CASE = case_id(1)
UNSETTLED = (Finding.UNKNOWN, Finding.POSSIBLE)
ages = st.none() | st.integers(9, 17)
children = st.integers(0, 2)
moments = st.integers(0, 60).map(lambda hours: T0 + timedelta(hours=hours))
ABDUCTION = CaseKind.INTERNATIONAL_PARENTAL_ABDUCTION
kinds = st.one_of(
    st.sampled_from([kind for kind in CaseKind if kind is not ABDUCTION]).map(lambda kind: (kind, PLAIN)),
    st.sampled_from([PREVENTIVE, EFFECTIVE]).map(lambda details: (ABDUCTION, details)),
)
openings = st.builds(
    lambda kind, ranges: opened(*ranges, kind=kind[0], details=kind[1]),
    kinds,
    st.lists(st.tuples(ages, ages), min_size=1, max_size=3),
)
facts = st.one_of(
    st.builds(
        CircumstanceReported,
        criterion=st.sampled_from(Criterion),
        value=st.sampled_from(Answer),
        child=st.none() | children,
        note=st.none(),
        next_due=st.none() | moments,
    ),
    st.integers(1, 20).map(lambda n: CircumstanceRetracted(event_id=event_id(CASE, n), reason=BOX)),
    st.builds(lambda n, lo, hi: ChildCorrection(child=n, age_min=lo, age_max=hi), children, ages, ages).map(
        lambda change: DetailsCorrected(children=(change,))
    ),
    kinds.map(lambda kind: Reclassified(kind=kind[0], details=kind[1], reason=BOX)),
    st.booleans().map(lambda worrying: WorryingOverridden(worrying=worrying, reason=BOX)),
    children.map(lambda n: ChildLocated(child=n, outcome=Outcome.RETURNED, at=T0)),
    st.sampled_from(
        [OverrideWithdrawn(), CaseClosed(outcomes=()), CaseReopened(reason=BOX), NoteAdded(text=BOX)]
    ),
)
histories = st.builds(lambda first, rest: [first, *rest], openings, st.lists(facts, max_size=25))


def step(file: CaseFile, data: EventData) -> tuple[CaseFile, AssessmentChanged | None]:
    event = recorded(CASE, file.state.version + 1, data)
    return advance(file, event, RULES, event.time)


def tell(history: list[EventData]) -> tuple[CaseFile, list[AssessmentChanged]]:
    file, log = CaseFile(), []
    for data in history:
        file, changed = step(file, data)
        if changed:
            log.append(changed)
    return file, log


def stored(file: CaseFile) -> CaseFile:
    """The file after a way through the database."""
    latest = file.latest.model_dump_json() if file.latest else None
    return CaseFile(
        CaseState.model_validate_json(file.state.model_dump_json()),
        AssessmentChanged.model_validate_json(latest) if latest else None,
    )


@given(histories, st.sets(st.integers(0, 25)))
def test_stored_between_any_two_events_the_bytes_are_the_same(history, stops):
    """A file that is stored and loaded between batches gives the bytes of one that never was."""
    file, log = CaseFile(), []
    for n, data in enumerate(history):
        file, changed = step(stored(file) if n in stops else file, data)
        if changed:
            log.append(changed)
    whole, expected = tell(history)
    assert [a.model_dump_json() for a in log] == [a.model_dump_json() for a in expected]
    assert file.state.model_dump_json() == whole.state.model_dump_json()


@given(histories)
def test_nothing_is_said_twice(history):
    """Looked at again at the same moment, by its file or by history read anew, an assessment does not change."""
    file, _ = tell(history)
    moment = T0 + timedelta(minutes=len(history))
    assert reassess(file, RULES, moment) == (file, None)
    again = CaseFile(latest=file.latest)
    for data in history:
        before = again
        again, changed = step(again, data)
        if file.latest and again.state.version <= file.latest.case_version:
            assert changed is None
            assert again.latest is before.latest
    assert again.state == file.state


@given(histories)
def test_reasons_and_worrying_agree(history):
    """A case is worrying for a reason, or not worrying without one but a person's; closed cases never are."""
    for one in tell(history)[1]:
        assert one.worrying is (one.reasons not in ((), ("override",)) or _overridden_to(one, worrying=True))
        assert not (one.worrying and not one.case_open)
        assert one.changes


def _overridden_to(one: AssessmentChanged, *, worrying: bool) -> bool:
    return "override" in one.reasons and one.override is not None and one.override.worrying is worrying


@given(histories)
def test_episodes_count_the_beginnings(history):
    """The episode is the number of times the case became worrying so far."""
    worrying, count = False, 0
    for one in tell(history)[1]:
        count += one.worrying and not worrying
        worrying = one.worrying
        assert one.episode == count


@given(histories)
def test_evidence_and_questions_rest_on_the_findings(history):
    """Evidence is an event of the case, a known value has one, and questions are unsettled findings, each once."""
    for one in tell(history)[1]:
        seen = {event_id(CASE, version) for version in range(1, one.case_version + 1)}
        assert all(set(f.evidence) <= seen for f in one.criteria)
        assert all(f.evidence for f in one.criteria if f.value is not Finding.UNKNOWN)
        unsettled = {(f.criterion, f.child) for f in one.criteria if f.value in UNSETTLED}
        asked = [(q.criterion, q.child) for q in one.open_questions]
        assert len(set(asked)) == len(asked)
        assert set(asked) <= unsettled


@given(histories)
def test_the_first_questions_are_those_that_decide(history):
    """Of the ranked questions exactly the first ones change, each by its answer alone, whether the case is worrying."""
    file, _ = tell(history)
    now = assess(file.state, RULES, T0)
    changes = []
    for question in now.open_questions:
        answered = [step(file, fact)[0].state for fact in answers(question.criterion, question.child)]
        changes.append(any(assess(state, RULES, T0).worrying is not now.worrying for state in answered))
    assert changes == [True] * now.decisive + [False] * (len(changes) - now.decisive)


def answers(criterion: Criterion, child: int) -> list[EventData]:
    """Both answers to a question: the age is answered by a birth date, anything else by a report."""
    if criterion is Criterion.UNDER_13:
        known = (ChildCorrection(child=child, age_min=age, age_max=age) for age in (12, 13))
        return [DetailsCorrected(children=(change,)) for change in known]
    both = (Answer.YES, Answer.NO)
    return [CircumstanceReported(criterion=criterion, value=value, child=child) for value in both]


@given(histories, st.sampled_from([("Europe/Brussels", 2), ("Pacific/Auckland", 1), ("UTC", 0)]))
def test_the_calendar_of_a_time_does_not_matter(history, zone):
    """The same moments, written in another zone or on the other side of a change to summer time, give the same."""
    there = ZoneInfo(zone[0])

    def moved(data: EventData) -> EventData:
        if isinstance(data, CircumstanceReported) and data.next_due:
            return data.model_copy(update={"next_due": data.next_due.astimezone(there)})
        return data

    file, log = tell(history)
    other, again = tell([moved(data) for data in history])
    assert again == log
    moment = T0 + timedelta(hours=30)
    assert assess(other.state, RULES, moment.astimezone(there)) == assess(file.state, RULES, moment)


@given(histories)
def test_the_timer_is_the_next_moment_at_which_the_clock_matters(history):
    """Until the timer nothing changes by itself; after the last timer nothing ever does."""
    file, _ = tell(history)
    now = T0 + timedelta(minutes=len(history))
    due = next_evaluation(file.state, now)
    until = (due or now + timedelta(days=365)) - timedelta(microseconds=1)
    assert reassess(file, RULES, until)[1] is None


@given(st.lists(facts, max_size=60))
def test_the_state_is_bounded(rest):
    """No history makes the state grow beyond so many reports per criterion and child."""
    file, _ = tell([opened(15), *rest])
    assert len(file.state.reports) <= REPORTS_KEPT * len(Criterion) * 4
