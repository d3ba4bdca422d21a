"""Given what is known of a case, when something is learned, then the assessment follows, in both directions."""

from datetime import timedelta

import pytest
from criteria_ground import (
    BOX,
    EFFECTIVE,
    PLAIN,
    PREVENTIVE,
    RULES,
    T0,
    Story,
    case_id,
    circumstance,
    event_id,
    opened,
    recorded,
)

from schemas.events import (
    CaseClosed,
    CaseMerged,
    CaseReopened,
    ChildCorrection,
    ChildLocated,
    ChildOutcome,
    ChildRecord,
    ChildrenJoined,
    CircumstanceReported,
    CircumstanceRetracted,
    DetailsCorrected,
    NoteAdded,
    OverrideWithdrawn,
    Place,
    Reclassified,
    WorryingOverridden,
)
from schemas.vocabulary import Answer, CaseKind, Criterion, Finding, Origin, Outcome
from services.criteria.case_state import REPORTS_KEPT
from services.criteria.domain import assess, decide, evolve, initial, next_evaluation

UNDER_13, MEDICATION = Criterion.UNDER_13, Criterion.MEDICATION_DEPENDENT
REPORTED = [criterion for criterion in Criterion if criterion is not UNDER_13]
CLOSED = CaseClosed(outcomes=(ChildOutcome(child=0, outcome=Outcome.RETURNED),))
REOPENED = CaseReopened(reason=BOX)
NOTE = NoteAdded(text=BOX)


def said(criterion, value=Answer.YES, child=0, due=None):
    return CircumstanceReported(criterion=criterion, value=value, child=child, next_due=due)


def overridden(worrying):
    return WorryingOverridden(worrying=worrying, reason=BOX)


def retracted(of):
    return CircumstanceRetracted(event_id=of, reason=BOX)


def located(child=0):
    return ChildLocated(child=child, outcome=Outcome.FOUND_SAFE, at=T0)


def corrected(child=0, **ages):
    return DetailsCorrected(children=(ChildCorrection(child=child, **ages),))


def reclassified(kind):
    return Reclassified(kind=kind, details=PLAIN, reason=BOX)


# ── each criterion ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("criterion", REPORTED)
def test_one_reported_criterion_is_enough(criterion):
    """Given a runaway of 15, when one criterion is reported, then the case is worrying for that reason alone."""
    story = Story(opened())
    assert not story.worrying
    story.when(said(criterion))
    assert story.worrying
    assert story.stands.reasons == (f"criterion:{criterion.value}",)
    assert story.finding(criterion) == (Finding.YES, (story.id(2),))


@pytest.mark.parametrize("criterion", REPORTED)
def test_one_criterion_at_the_opening_is_enough(criterion):
    """Given nothing, when a case is opened with one criterion, then it is worrying from the start."""
    story = Story(opened(circumstances=[circumstance(criterion)]))
    assert story.worrying
    assert story.finding(criterion) == (Finding.YES, (story.id(1),))


@pytest.mark.parametrize("criterion", REPORTED)
@pytest.mark.parametrize("answer", [Answer.NO, Answer.UNKNOWN])
def test_no_and_unknown_do_not_worry_and_differ(criterion, answer):
    """No and unknown do not make a case worrying; both keep their evidence, and only unknown is still asked."""
    story = Story(opened(), said(criterion, answer))
    assert not story.worrying
    assert story.finding(criterion) == (Finding(answer.value), (story.id(2),))
    asked = {q.criterion for q in story.stands.open_questions}
    assert (criterion in asked) is (answer is Answer.UNKNOWN)


@pytest.mark.parametrize(
    ("age", "value"),
    [
        (12, Finding.YES),
        (13, Finding.NO),
        (0, Finding.YES),
        (24, Finding.NO),
        ((10, 12), Finding.YES),
        ((12, 13), Finding.POSSIBLE),
        ((13, 16), Finding.NO),
        ((None, 12), Finding.YES),
        ((None, 14), Finding.POSSIBLE),
        ((12, None), Finding.POSSIBLE),
        ((13, None), Finding.NO),
        ((None, None), Finding.UNKNOWN),
    ],
)
def test_younger_than_13(age, value):
    """The age is compared with 13; a range that reaches below is possible, which counts as yes."""
    story = Story(opened(age))
    assert story.finding(UNDER_13)[0] is value
    assert story.worrying is (value in {Finding.YES, Finding.POSSIBLE})
    assert story.finding(UNDER_13)[1] == (() if value is Finding.UNKNOWN else (story.id(1),))


@pytest.mark.parametrize(
    ("age", "answer", "value"),
    [
        ((None, None), Answer.YES, Finding.YES),
        ((None, None), Answer.NO, Finding.NO),
        ((12, 14), Answer.YES, Finding.YES),
        ((12, 14), Answer.NO, Finding.POSSIBLE),
        (12, Answer.NO, Finding.YES),
        (15, Answer.YES, Finding.YES),
    ],
)
def test_a_report_about_the_age(age, answer, value):
    """A report decides where the age is unknown; where they disagree, the one that says young is believed."""
    assert Story(opened(age), said(UNDER_13, answer)).finding(UNDER_13)[0] is value


def test_all_six_per_child():
    """The assessment names all six criteria for each child, in the directive's order."""
    story = Story(opened(15, 9))
    assert [(f.child, f.criterion) for f in story.stands.criteria] == [
        (child, criterion) for child in (0, 1) for criterion in RULES.criteria
    ]


# ── facts change ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_corrected_age_works_both_ways():
    """Given a child of 14, when the age is corrected to 12 and back, then worrying follows, with new evidence."""
    story = Story(opened(14), corrected(age_min=12, age_max=12))
    assert story.worrying
    assert story.finding(UNDER_13) == (Finding.YES, (story.id(2),))
    story.when(corrected(age_min=13, age_max=13))
    assert not story.worrying
    assert story.finding(UNDER_13) == (Finding.NO, (story.id(3),))


def test_a_correction_without_age_leaves_the_age():
    """Given a child of 12, when something else is corrected, then age and evidence stay as they were."""
    story = Story(opened(12))
    assert story.when(corrected(nationality="BE")) is None
    assert story.finding(UNDER_13) == (Finding.YES, (story.id(1),))


def test_a_corrected_range_replaces_the_whole_range():
    """Given a child of 12, when only a lower bound of 14 is given, then the old upper bound is gone too."""
    assert not Story(opened(12), corrected(age_min=14)).worrying


def test_a_correction_names_its_child():
    """Given children of 9 and 15, when the older one's age is corrected, then the younger one's stays."""
    story = Story(opened(9, 15), corrected(1, age_min=16, age_max=16))
    assert [story.finding(UNDER_13, n)[0] for n in (0, 1)] == [Finding.YES, Finding.NO]


def test_a_later_report_replaces_the_earlier_one():
    """Given yes, when no is reported, then the answer is no."""
    story = Story(opened(), said(MEDICATION), said(MEDICATION, Answer.NO))
    assert not story.worrying
    assert story.finding(MEDICATION) == (Finding.NO, (story.id(3),))


def test_a_report_without_child_holds_for_every_child():
    """Given two children, when something is said of all, then it holds for each, until said otherwise of one."""
    story = Story(opened(15, 16), said(MEDICATION, child=None))
    assert [story.finding(MEDICATION, n)[0] for n in (0, 1)] == [Finding.YES, Finding.YES]
    story.when(said(MEDICATION, Answer.NO, child=1))
    assert [story.finding(MEDICATION, n)[0] for n in (0, 1)] == [Finding.YES, Finding.NO]
    story.when(said(MEDICATION, Answer.UNKNOWN, child=None))
    assert [story.finding(MEDICATION, n)[0] for n in (0, 1)] == [Finding.UNKNOWN, Finding.UNKNOWN]


def test_a_retracted_report_no_longer_counts():
    """Given a worrying case, when its only reason is retracted, then it is unknown again and not worrying."""
    story = Story(opened(), said(MEDICATION))
    story.when(retracted(story.id(2)))
    assert not story.worrying
    assert story.finding(MEDICATION) == (Finding.UNKNOWN, ())


def test_retracting_a_replaced_report_changes_nothing():
    """Given yes and then no, when the yes is retracted, then no stands."""
    story = Story(opened(), said(MEDICATION), said(MEDICATION, Answer.NO))
    assert story.when(retracted(story.id(2))) is None
    assert story.finding(MEDICATION)[0] is Finding.NO


def test_retracting_a_mistaken_replacement_brings_back_what_was_said_before():
    """Given yes and then a mistaken no, when the no is retracted, then yes counts again: caution wins."""
    story = Story(opened(), said(MEDICATION), said(MEDICATION, Answer.NO))
    story.when(retracted(story.id(3)))
    assert story.worrying
    assert story.finding(MEDICATION) == (Finding.YES, (story.id(2),))


def test_a_retracted_opening_takes_its_circumstances_not_its_ages():
    """Given a child of 12 on medication, when the opening's circumstances are retracted, then the age still counts."""
    story = Story(opened(12, circumstances=[circumstance(MEDICATION)]))
    story.when(retracted(story.id(1)))
    assert story.stands.reasons == ("criterion:under_13",)


def test_a_long_history_has_a_small_state():
    """However often something is said, only the latest reports of each criterion and child are kept."""
    story = Story(opened(15, 16))
    for _ in range(40):
        for child in (0, 1, None):
            story.when(said(MEDICATION, child=child))
    assert len(story.file.state.reports) == 3 * REPORTS_KEPT
    assert len(story.file.state.model_dump_json()) < 8000


# ── kinds ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_undefined_is_worrying_from_the_start():
    """Given nothing, when a case of undefined nature is opened, then it is worrying because of its kind."""
    story = Story(opened(20, kind=CaseKind.UNDEFINED))
    assert story.worrying
    assert story.stands.reasons == ("kind:undefined",)
    assert story.stands.episode == 1


def test_undefined_turns_out_to_be_a_runaway():
    """Given an undefined case without criteria, when reclassified, then it is not worrying; and back again it is."""
    story = Story(opened(kind=CaseKind.UNDEFINED), reclassified(CaseKind.RUNAWAY))
    assert not story.worrying
    assert story.stands.kind is CaseKind.RUNAWAY
    story.when(reclassified(CaseKind.UNDEFINED))
    assert story.worrying
    assert story.stands.episode == 2


def test_preventive_abductions_are_never_assessed():
    """Given a feared abduction, whatever is known, then there is no assessment at all."""
    story = Story(
        opened(
            6,
            kind=CaseKind.INTERNATIONAL_PARENTAL_ABDUCTION,
            details=PREVENTIVE,
            circumstances=[circumstance(MEDICATION, due=T0)],
        ),
        said(Criterion.LIFE_THREATENING_SITUATION),
        CLOSED,
    )
    assert story.log == []


def test_a_feared_abduction_that_comes_true_is_assessed():
    """Given a preventive case, when it becomes effective, then what was known counts; and back, nothing does."""
    story = Story(
        opened(6, kind=CaseKind.INTERNATIONAL_PARENTAL_ABDUCTION, details=PREVENTIVE), said(MEDICATION)
    )
    story.when(DetailsCorrected(details=EFFECTIVE))
    assert story.stands.reasons == ("criterion:medication_dependent",)
    story.when(DetailsCorrected(details=PREVENTIVE))
    assert (story.worrying, story.stands.criteria, story.stands.reasons) == (False, (), ())


def test_parental_abductions_are_assessed_without_the_age():
    """Given an abducted child of 6, then its age is noted but not a reason, nor asked; another criterion is."""
    story = Story(opened(6, kind=CaseKind.INTERNATIONAL_PARENTAL_ABDUCTION, details=EFFECTIVE))
    assert not story.worrying
    assert story.finding(UNDER_13)[0] is Finding.YES
    story = Story(opened((None, None), kind=CaseKind.INTERNATIONAL_PARENTAL_ABDUCTION, details=EFFECTIVE))
    assert UNDER_13 not in {q.criterion for q in story.stands.open_questions}
    story.when(said(Criterion.DANGEROUS_COMPANY_OR_CRIME))
    assert story.stands.reasons == ("criterion:dangerous_company_or_crime",)


@pytest.mark.parametrize(
    "kind", [CaseKind.RUNAWAY, CaseKind.THIRD_PARTY_ABDUCTION, CaseKind.UNACCOMPANIED_MINOR]
)
def test_other_kinds_are_assessed_with_the_age(kind):
    """A child of 12 is worrying in every other kind, one of 15 without criteria in none of them."""
    assert Story(opened(12, kind=kind)).worrying
    assert not Story(opened(15, kind=kind)).worrying


# ── override ────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_override_to_worrying_lasts_until_withdrawn():
    """Given no criterion, when a person decides it is worrying, then it is, until that is withdrawn."""
    story = Story(opened(), overridden(worrying=True), said(MEDICATION, Answer.NO))
    assert story.worrying
    assert story.stands.reasons == ("override",)
    assert story.stands.override is not None
    assert (story.stands.override.by, story.stands.override.event_id) == ("operator-1", story.id(2))
    story.when(OverrideWithdrawn())
    assert (story.worrying, story.stands.override, story.stands.reasons) == (False, None, ())


def test_an_override_to_not_worrying_beats_every_criterion():
    """Given a child of 12, when a person decides it is not worrying, then no later criterion changes that."""
    story = Story(opened(12), overridden(worrying=False), said(MEDICATION))
    assert (story.worrying, story.stands.reasons) == (False, ("override",))
    story.when(OverrideWithdrawn())
    assert story.worrying
    assert story.stands.reasons == ("criterion:under_13", "criterion:medication_dependent")
    assert story.stands.episode == 2


def test_a_renewed_override_is_a_change():
    """Given an override, when another person decides the same, then the assessment names the new decision."""
    story = Story(opened(), overridden(worrying=True))
    changed = story.when(overridden(worrying=True))
    assert changed is not None
    assert changed.changes == ("override: renewed",)


def test_an_override_beside_criteria_names_both():
    """Given a criterion, when a person also decides it is worrying, then both are reasons."""
    assert Story(opened(12), overridden(worrying=True)).stands.reasons == ("criterion:under_13", "override")


# ── children found, cases closed ────────────────────────────────────────────────────────────────────────────


def test_a_located_child_no_longer_makes_the_case_worrying():
    """Given children of 9 and 15, when the younger one is found, then its findings stay but do not worry."""
    story = Story(opened(9, 15), located(0))
    assert (story.worrying, story.stands.case_open) == (False, True)
    assert story.finding(UNDER_13, 0)[0] is Finding.YES
    assert {q.child for q in story.stands.open_questions} == {1}


def test_finding_the_other_child_does_not_help():
    """Given children of 9 and 15, when the older one is found, then the case stays worrying."""
    assert Story(opened(9, 15), located(1)).worrying


@pytest.mark.parametrize("kind", [CaseKind.UNDEFINED, CaseKind.RUNAWAY])
def test_when_nobody_is_missing_nothing_is_worrying(kind):
    """Given an undefined or an overridden case, when its last child is found, then it is not worrying."""
    assert not Story(opened(kind=kind), overridden(worrying=True), located()).worrying
    assert not Story(opened(kind=kind), located()).worrying


@pytest.mark.parametrize("end", [CLOSED, CaseMerged(case_id=case_id(2))])
def test_a_closed_or_merged_case_is_not_worrying(end):
    """Given a worrying case, when it is closed or merged, then it is not worrying, and nothing is asked any more."""
    story = Story(opened(9), end)
    assert (story.worrying, story.stands.case_open) == (False, False)
    assert (story.stands.reasons, story.stands.open_questions) == ((), ())


def test_a_reopened_case_is_assessed_again():
    """Given a closed case whose child was found, when it is reopened, then the child is missing: a new episode."""
    story = Story(opened(9), located(), CLOSED, REOPENED)
    assert (story.worrying, story.stands.case_open, story.stands.episode) == (True, True, 2)


def test_a_reopened_case_is_about_those_who_were_not_located():
    """Given children of 9 and 15 and the younger one found, when reopened, then the search is for the older one."""
    story = Story(opened(9, 15), located(0), CLOSED, REOPENED)
    assert (story.worrying, story.stands.case_open) == (False, True)
    assert {q.child for q in story.stands.open_questions} == {1}


def test_an_override_outlives_closing():
    """Given an override and a closed case, when it is reopened, then the override still counts."""
    story = Story(opened(), overridden(worrying=True), CLOSED)
    assert not story.worrying
    story.when(REOPENED)
    assert story.stands.reasons == ("override",)


def test_children_of_a_merged_duplicate_count():
    """Given a case with one child of 15, when a child of 8 joins it, then it is worrying, with that as evidence."""
    story = Story(opened(), said(MEDICATION, Answer.NO, child=None))
    child = ChildRecord(index=1, child_id=case_id(9), identity=BOX, age_min=8, age_max=8)
    story.when(ChildrenJoined(from_case=case_id(2), children=(child,)))
    assert story.finding(UNDER_13, 1) == (Finding.YES, (story.id(3),))
    assert story.worrying
    assert story.finding(MEDICATION, 1)[0] is Finding.NO


# ── medication has a time ───────────────────────────────────────────────────────────────────────────────────

DUE = T0 + timedelta(hours=4)


def test_medication_becomes_overdue_by_the_clock_alone():
    """Given a dose at 22:00, when it is 22:00 and the child is not back, then that is a change without an event."""
    story = Story(opened(), said(MEDICATION, due=DUE))
    assert next_evaluation(story.file.state, T0) == DUE
    assert story.at(DUE - timedelta(microseconds=1)) is None
    changed = story.at(DUE)
    assert changed is not None
    assert changed.changes == ("medication_overdue[0]: false → true",)
    assert (changed.medication_overdue, changed.because, changed.episode) == ((0,), None, 1)
    assert next_evaluation(story.file.state, DUE) is None
    assert story.at(DUE + timedelta(hours=1)) is None


@pytest.mark.parametrize(
    "relief",
    [located(), CLOSED, said(MEDICATION, Answer.NO), said(MEDICATION, due=DUE + timedelta(days=1))],
)
def test_medication_is_no_longer_overdue(relief):
    """Given an overdue dose, when the child is found, the case closed, or the report replaced, then it is over."""
    story = Story(opened(), said(MEDICATION, due=DUE))
    story.at(DUE)
    story.when(relief)
    assert story.stands.medication_overdue == ()
    assert "medication_overdue[0]: true → false" in story.stands.changes


def test_each_dose_has_its_timer():
    """Given two children with doses at 22:00 and 23:00, then the clock is needed at each of them."""
    later = DUE + timedelta(hours=1)
    story = Story(opened(14, 15), said(MEDICATION, due=later), said(MEDICATION, child=1, due=DUE))
    assert next_evaluation(story.file.state, T0) == DUE
    assert next_evaluation(story.file.state, DUE) == later
    story.at(later)
    assert story.stands.medication_overdue == (0, 1)


@pytest.mark.parametrize("value", [Answer.NO, Answer.UNKNOWN])
def test_no_dose_without_dependence(value):
    """A time beside no or unknown means nothing, as does one beside another criterion."""
    assert next_evaluation(Story(opened(), said(MEDICATION, value, due=DUE)).file.state, T0) is None
    assert next_evaluation(Story(opened(), said(Criterion.OUT_OF_CHARACTER, due=DUE)).file.state, T0) is None


def test_imported_history_has_no_timers_but_a_live_fact_has():
    """Given an imported case with a dose, then the clock is not watched, until something live happens to it."""
    story = Story()
    story.when(opened(circumstances=[circumstance(MEDICATION, due=DUE)]), origin=Origin.IMPORT)
    assert next_evaluation(story.file.state, T0) is None
    story.when(NOTE)
    assert next_evaluation(story.file.state, T0) == DUE


# ── what is said about it ───────────────────────────────────────────────────────────────────────────────────


def test_the_first_assessment_of_a_calm_case():
    """Every assessed case has an assessment from its opening on, worrying or not."""
    story = Story(opened())
    assert len(story.log) == 1
    assert story.stands.model_dump(include={"worrying", "episode", "case_version", "case_open", "rules"}) == {
        "worrying": False,
        "episode": 0,
        "case_version": 1,
        "case_open": True,
        "rules": "MD-2002-02-20",
    }
    assert story.stands.because == story.id(1)


def test_nothing_is_said_when_nothing_changed():
    """Given any case, when something without bearing happens, then no assessment is appended."""
    story = Story(opened(9))
    assert story.when(NOTE) is None
    assert story.file.state.version == 2


def test_changes_say_what_changed():
    """The assessment says what changed, in words a machine can read."""
    story = Story(opened(), said(MEDICATION))
    assert story.stands.changes == (
        "worrying: false → true",
        "medication_dependent[0]: unknown → yes",
        "reason: + criterion:medication_dependent",
        "open_questions: 5 → 4",
    )
    story.when(CLOSED)
    assert story.stands.changes == (
        "worrying: true → false",
        "case_open: true → false",
        "reason: - criterion:medication_dependent",
        "open_questions: 4 → 0",
    )


def test_other_evidence_is_a_change():
    """Given yes, when yes is reported again, then the assessment names the new evidence."""
    changed = Story(opened(), said(MEDICATION)).when(said(MEDICATION))
    assert changed is not None
    assert changed.changes == ("medication_dependent[0]: other evidence",)


def test_a_corrected_place_is_a_change():
    """Whoever stands by for the case must know the right area."""
    changed = Story(opened()).when(
        DetailsCorrected(last_seen=Place(postal_code="9000", municipality="44021"))
    )
    assert changed is not None
    assert (changed.changes, changed.municipality) == (("place: corrected",), "44021")


def test_other_rules_are_a_change():
    """Given an assessment by one version of the rules, when another one is in force, then it is named."""
    story = Story(opened(12))
    other = RULES.model_copy(update={"version": "MD-2", "age_limit": 12})
    changed = decide(story.stands, assess(story.file.state, other, T0), story.file.state, None)
    assert changed is not None
    assert changed.changes[:2] == ("worrying: true → false", "rules: MD-2002-02-20 → MD-2")


def test_episodes_are_counted():
    """Each time a case becomes worrying is one more episode; staying so, or ceasing, is none."""
    story = Story(opened())
    for value in (Answer.YES, Answer.YES, Answer.NO, Answer.YES):
        story.when(said(MEDICATION, value))
    assert [changed.episode for changed in story.log] == [0, 1, 1, 1, 2]


def test_questions_start_with_what_may_decide():
    """Given one answered child, then what holds for nobody is asked first, in the order of the rules."""
    story = Story(opened(15, 15), said(Criterion.LIFE_THREATENING_SITUATION, child=0))
    asked = [(q.criterion, q.child) for q in story.stands.open_questions]
    assert asked[:2] == [(MEDICATION, 0), (MEDICATION, 1)]
    assert asked[-1] == (Criterion.LIFE_THREATENING_SITUATION, 1)
    assert len(asked) == 9


def test_a_possible_age_is_asked_first_when_it_alone_decides():
    """Given a child of 12 to 14 and nothing else, then the age is the question that decides; it is asked before all."""
    story = Story(opened((12, 14)))
    assert story.stands.open_questions[0].criterion is UNDER_13
    assert assess(story.file.state, RULES, T0).decisive == 1
    story.when(said(MEDICATION))
    assert story.stands.open_questions[-1].criterion is UNDER_13
    assert assess(story.file.state, RULES, T0).decisive == 0


def test_every_answer_may_decide_about_a_calm_case():
    """Given a runaway of whom nothing is known, then each question decides; given a person's decision, none does."""
    story = Story(opened((None, None)))
    assert assess(story.file.state, RULES, T0).decisive == 6
    story.when(overridden(worrying=False))
    assert assess(story.file.state, RULES, T0).decisive == 0


def test_an_answer_decides_nothing_about_an_undefined_case():
    """Given an undefined case, then it is worrying whatever is answered."""
    assert assess(Story(opened(kind=CaseKind.UNDEFINED)).file.state, RULES, T0).decisive == 0


def test_what_was_assessed_before_is_not_assessed_again():
    """Given a lost file and a standing assessment, when history is read again, then nothing is said twice."""
    story = Story(opened(12), said(MEDICATION), NOTE)
    again = Story()
    again.file = type(story.file)(initial, story.stands)
    for event in (opened(12), said(MEDICATION), NOTE):
        assert again.when(event) is None
    assert again.file == story.file


def test_before_the_opening_there_is_nothing_to_assess():
    """A case of which the opening could not be read is left alone."""
    state = evolve(initial, recorded(case_id(1), 2, said(MEDICATION)))
    assert not assess(state, RULES, T0).worrying
    assert decide(None, assess(state, RULES, T0), state, event_id(case_id(1), 2)) is None
