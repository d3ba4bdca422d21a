"""Two versions of the rules look at one history: what would have been otherwise, and why."""

from dataclasses import replace
from pathlib import Path

import pytest
from criteria_ground import BOX, EFFECTIVE, PREVENTIVE, RULES, case_id, circumstance, opened, recorded

from schemas.events import CaseClosed, NoteAdded, WorryingOverridden
from schemas.vocabulary import CaseKind, Criterion, Language, Mode
from services.criteria import wording
from services.criteria.review import review, summary
from services.criteria.rulebook import load_rulebook

OTHER = load_rulebook(Path(__file__).parents[1] / "data" / "rules").version("HYPOTHETICAL-2030")
CLOSED = CaseClosed(outcomes=())
ABDUCTION = CaseKind.INTERNATIONAL_PARENTAL_ABDUCTION


def history(*events):
    return [recorded(case_id(1), n, data) for n, data in enumerate(events, 1)]


@pytest.mark.parametrize(
    ("first", "before", "after", "why"),
    [
        (
            opened(13),
            False,
            True,
            "criterion:under_13 only to: child 0 (13) yes by HYPOTHETICAL-2030, no by MD-2002-02-20",
        ),
        (
            opened((13, 15)),
            False,
            True,
            "criterion:under_13 only to: child 0 (13 to 15) possible by HYPOTHETICAL-2030, no by MD-2002-02-20",
        ),
        (
            opened(circumstances=[circumstance(Criterion.OUT_OF_CHARACTER)]),
            True,
            False,
            "criterion:out_of_character only from: not a criterion of HYPOTHETICAL-2030",
        ),
        (
            opened(kind=CaseKind.UNDEFINED),
            True,
            False,
            "kind:undefined only from: by itself a reason only by MD-2002-02-20",
        ),
        (
            opened(12, kind=CaseKind.THIRD_PARTY_ABDUCTION),
            True,
            False,
            "criterion:under_13 only from: no reason for third_party_abduction by HYPOTHETICAL-2030",
        ),
        (
            opened(9, kind=ABDUCTION, details=EFFECTIVE),
            False,
            True,
            "criterion:under_13 only to: no reason for international_parental_abduction by MD-2002-02-20",
        ),
    ],
)
def test_a_case_that_would_change_says_why(first, before, after, why):
    """Given a case that was closed long ago, then it counts as worrying if it ever was, and the reason is explained."""
    found = review(history(first, CLOSED), RULES, OTHER).difference
    assert found is not None
    assert (found.before, found.after, found.why) == (before, after, (why,))
    mirrored = review(history(first, CLOSED), OTHER, RULES).difference
    assert mirrored is not None
    assert (mirrored.before, mirrored.after) == (after, before)


@pytest.mark.parametrize("first", [opened(15), opened(9), opened(9, kind=ABDUCTION, details=PREVENTIVE)])
def test_a_case_that_would_not_change_is_counted(first):
    """Given a case that both versions judge alike at every moment, then there is no difference."""
    found = review(history(first, NoteAdded(text=BOX), CLOSED), RULES, OTHER)
    assert (found.counted, found.difference) == (True, None)


def test_other_reasons_are_a_difference_too():
    """Given a child of 9 that is out of character, then both versions worry, but for different reasons."""
    found = review(
        history(opened(9, circumstances=[circumstance(Criterion.OUT_OF_CHARACTER)])), RULES, OTHER
    ).difference
    assert found is not None
    assert (found.before, found.after, found.criteria) == (True, True, ("criterion:out_of_character",))
    assert summary([found]) == (0, 0, 1)


def test_a_version_that_does_not_assess_is_named():
    """Given a feared abduction, then rules that assess it as well differ because the others do not."""
    kinds = RULES.kinds | {ABDUCTION: RULES.kinds[ABDUCTION].model_copy(update={"not_assessed": ()})}
    broader = RULES.model_copy(update={"version": "BROADER", "kinds": kinds})
    medication = circumstance(Criterion.MEDICATION_DEPENDENT)
    found = review(
        history(opened(9, kind=ABDUCTION, details=PREVENTIVE, circumstances=[medication])), RULES, broader
    ).difference
    assert found is not None
    assert found.why == ("criterion:medication_dependent only to: MD-2002-02-20 does not assess such a case",)


def test_a_persons_decision_is_the_same_by_all_rules():
    """Given an override from the start, then no rules differ about whether it was worrying."""
    found = review(history(opened(15), WorryingOverridden(worrying=True, reason=BOX)), RULES, OTHER)
    assert found.difference is None


def test_exercises_and_nothing_are_no_history():
    """An exercise is not counted, nor a stream whose opening is not there."""
    (event,) = history(opened(13))
    exercise = replace(event, cause=replace(event.cause, mode=Mode.EXERCISE))
    assert not review([exercise], RULES, OTHER).counted
    assert not review([], RULES, OTHER).counted


@pytest.mark.parametrize("criterion", list(Criterion))
def test_every_criterion_has_words_in_every_language(criterion):
    """Operators read what to ask, and what a criterion is, in their own language; no two texts are the same."""
    questions = wording.question(criterion)
    assert set(questions) == {language.value for language in Language}
    assert all(text.endswith("?") for text in questions.values())
    names = [wording.name(criterion, language, 13) for language in Language]
    assert len({*names, *questions.values()}) == 2 * len(Language)
    assert all(("13" in name) is (criterion is Criterion.UNDER_13) for name in names)
