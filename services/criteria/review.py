"""Which cases of the history would have been judged otherwise by another version of the rules, and why. Never acts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.vocabulary import CaseKind, Criterion, Mode
from services.criteria.case_state import CaseState
from services.criteria.directive import Rules
from services.criteria.domain import Assessment, assess, evolve, initial
from services.eventlog.store import Recorded


@dataclass(frozen=True, slots=True)
class Difference:
    """A case that two versions of the rules judge differently at some moment of its history.

    `before` and `after`: whether it was worrying at least once by the one and by the other, as the annual report
    counts; where they agree, the reasons or the times differ. `why` says for each differing reason what makes it so.
    """

    case_number: str
    kind: CaseKind
    before: bool
    after: bool
    criteria: tuple[str, ...]
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Review:
    """One case looked at. `counted` False: no case of the history, but an exercise, or nothing at all."""

    counted: bool
    difference: Difference | None = None


def review(events: Iterable[Recorded], before: Rules, after: Rules) -> Review:
    """Judges every moment of a case's history by two versions of the rules."""
    state, worrying = initial, [False, False]
    why: dict[str, dict[str, None]] = {}
    for event in events:
        state = evolve(state, event)
        one, two = (assess(state, rules, event.time) for rules in (before, after))
        worrying = [worrying[0] or one.worrying, worrying[1] or two.worrying]
        for reason in [
            r for r in (*one.reasons, *two.reasons) if (r in one.reasons) is not (r in two.reasons)
        ]:
            side = "from" if reason in one.reasons else "to"
            text = _why(reason, state, (before, one), (after, two))
            why.setdefault(reason, {})[f"{reason} only {side}: {text}"] = None
    if state.kind is None or state.mode is Mode.EXERCISE:
        return Review(counted=False)
    if not why and worrying[0] is worrying[1]:
        return Review(counted=True)
    texts = tuple(text for found in why.values() for text in found)
    return Review(
        True, Difference(state.case_number, state.kind, worrying[0], worrying[1], tuple(why), texts)
    )


def _why(reason: str, state: CaseState, one: tuple[Rules, Assessment], two: tuple[Rules, Assessment]) -> str:
    """What of the rules makes a reason count by one version and not by the other."""
    (_, said), (other, other_said) = (one, two) if reason in one[1].reasons else (two, one)
    kind = state.kind
    assert kind is not None  # noqa: S101 - nothing is a reason before a case is opened
    if not other_said.assessed:
        return f"{other.version} does not assess such a case"
    if not reason.startswith("criterion:"):
        return f"by itself a reason only by {said.rules}"
    criterion = Criterion(reason.removeprefix("criterion:"))
    if criterion not in other.criteria:
        return f"not a criterion of {other.version}"
    if criterion not in other.deciding(kind):
        return f"no reason for {kind.value} by {other.version}"
    return _values(criterion, state, said, other_said)


def _values(criterion: Criterion, state: CaseState, one: Assessment, two: Assessment) -> str:
    ages = {child.index: _age(child.age_min, child.age_max) for child in state.missing}
    pairs = {f.child: f.value.value for f in two.criteria if f.criterion is criterion}
    found = [
        f"child {f.child}{ages[f.child]} {f.value.value} by {one.rules}, {pairs[f.child]} by {two.rules}"
        for f in one.criteria
        if f.criterion is criterion and f.child in ages and f.value.value != pairs[f.child]
    ]
    return "; ".join(found)


def _age(low: int | None, high: int | None) -> str:
    if low is None and high is None:
        return ""
    return (
        f" ({low})" if low == high else f" ({'?' if low is None else low} to {'?' if high is None else high})"
    )


def summary(differences: Sequence[Difference]) -> tuple[int, int, int]:
    """How many cases would become worrying, would no longer be, and would be so for other reasons or at other times."""
    becoming = sum(not d.before and d.after for d in differences)
    ceasing = sum(d.before and not d.after for d in differences)
    return becoming, ceasing, len(differences) - becoming - ceasing
