"""When a disappearance is worrying: a pure function of the case's events, the version of the rules, and the clock.

Ministerial Directive of 20 February 2002: any one criterion is enough. Unknown is not no.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, lru_cache
from uuid import UUID

from schemas.events import AssessmentChanged, CriterionFinding, OpenQuestion, Override
from schemas.vocabulary import Answer, Criterion, Finding
from services.criteria.case_state import CaseState, Child, evolve, initial
from services.criteria.directive import Rules
from services.eventlog.store import Recorded

__all__ = [
    "Assessment",
    "CaseFile",
    "CaseState",
    "advance",
    "assess",
    "decide",
    "evolve",
    "has_times",
    "initial",
    "next_evaluation",
    "reassess",
]

_HOLDS = (Finding.YES, Finding.POSSIBLE)
_UNSETTLED = (Finding.UNKNOWN, Finding.POSSIBLE)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the rules conclude. `assessed` False: nobody is missing, so there is nothing to conclude.

    The answer to each of the first `decisive` open questions can, alone, change whether the case is worrying.
    """

    rules: str
    assessed: bool
    worrying: bool
    criteria: tuple[CriterionFinding, ...]
    reasons: tuple[str, ...]
    open_questions: tuple[OpenQuestion, ...]
    medication_overdue: tuple[int, ...]
    decisive: int = 0


def assess(state: CaseState, rules: Rules, now: datetime) -> Assessment:
    """Applies the rules to a case at a moment."""
    kind = rules.kinds[state.kind] if state.kind else None
    assessed = kind is not None and state.abduction not in kind.not_assessed
    missing = {child.index for child in state.missing}
    criteria = _findings(state, rules) if assessed else ()
    reasons = _reasons(state, rules, missing, criteria) if assessed else ()
    questions, decisive = _questions(state, rules, missing, criteria, reasons) if assessed else ((), 0)
    worrying = bool(reasons)
    if state.override is not None and missing:
        worrying = state.override.worrying
        reasons = (*reasons, "override") if worrying else ("override",)
    return Assessment(
        rules=rules.version,
        assessed=assessed,
        worrying=worrying,
        criteria=criteria,
        reasons=reasons,
        open_questions=questions,
        medication_overdue=tuple(c for c, due in _doses(state) if due <= now) if assessed else (),
        decisive=decisive,
    )


def _findings(state: CaseState, rules: Rules) -> tuple[CriterionFinding, ...]:
    children = sorted(state.children, key=lambda child: child.index)
    return tuple(
        _finding(state, rules, child, criterion) for child in children for criterion in rules.criteria
    )


def _finding(state: CaseState, rules: Rules, child: Child, criterion: Criterion) -> CriterionFinding:
    report = state.report(criterion, child.index)
    value = _SAID[report.value] if report else Finding.UNKNOWN
    evidence = (report.event_id,) if report else ()
    if criterion is Criterion.UNDER_13:
        by_age = _by_age(child, rules.age_limit)
        # A report decides where the age is not known; where they disagree, the one that says young is believed.
        if by_age is not Finding.UNKNOWN and not (value is Finding.YES and by_age is not Finding.YES):
            value, evidence = by_age, (child.age_event,)
    return _found(criterion, child.index, value, evidence)


_SAID = {answer: Finding(answer.value) for answer in Answer}


@lru_cache(4096)
def _found(criterion: Criterion, child: int, value: Finding, evidence: tuple[UUID, ...]) -> CriterionFinding:
    """A finding is found again with every event of its case, and is the same one."""
    return CriterionFinding(criterion=criterion, child=child, value=value, evidence=evidence)


@cache
def _question(criterion: Criterion, child: int) -> OpenQuestion:
    return OpenQuestion(criterion=criterion, child=child)


def _by_age(child: Child, limit: int) -> Finding:
    if child.age_min is None and child.age_max is None:
        return Finding.UNKNOWN
    if child.age_max is not None and child.age_max < limit:
        return Finding.YES
    if child.age_min is not None and child.age_min >= limit:
        return Finding.NO
    return Finding.POSSIBLE


def _holding(missing: AbstractSet[int], criteria: tuple[CriterionFinding, ...]) -> list[CriterionFinding]:
    """What holds for a child who is still missing."""
    return [f for f in criteria if f.value in _HOLDS and f.child in missing]


def _reasons(
    state: CaseState, rules: Rules, missing: AbstractSet[int], criteria: tuple[CriterionFinding, ...]
) -> tuple[str, ...]:
    if state.kind is None or not missing:
        return ()
    holding = {f.criterion for f in _holding(missing, criteria)}
    by_criteria = tuple(f"criterion:{c.value}" for c in rules.deciding(state.kind) if c in holding)
    by_kind = (f"kind:{state.kind.value}",) if rules.kinds[state.kind].worrying_by_itself else ()
    return by_criteria + by_kind


def _questions(
    state: CaseState,
    rules: Rules,
    missing: AbstractSet[int],
    criteria: tuple[CriterionFinding, ...],
    reasons: tuple[str, ...],
) -> tuple[tuple[OpenQuestion, ...], int]:
    """What is not settled, and how many of these questions decide, each alone, whether the case is worrying.

    Those come first: of a case that is not worrying, each one; of one that is worrying for a single possible finding,
    that one. Then the criteria that hold for nobody yet, then the rest; among equals, as the rules ask.
    """
    if state.kind is None:
        return (), 0
    deciding = rules.deciding(state.kind)
    holding = [(f.criterion, f.child) for f in _holding(missing, criteria) if f.criterion in deciding]
    held = {criterion for criterion, _ in holding}
    unsettled = [
        (f.criterion, f.child)
        for f in criteria
        if f.value in _UNSETTLED and f.child in missing and f.criterion in deciding
    ]
    decisive: set[tuple[Criterion, int]] = set()
    if state.override is None and not rules.kinds[state.kind].worrying_by_itself:
        decisive = {one for one in unsettled if not reasons or holding == [one]}
    ranks = {criterion: n for n, criterion in enumerate(rules.questions)}
    unsettled.sort(key=lambda one: (one not in decisive, one[0] in held, ranks[one[0]], one[1]))
    return tuple(_question(*one) for one in unsettled), len(decisive)


def _doses(state: CaseState) -> list[tuple[int, datetime]]:
    """When each missing child that depends on medication needs it next."""
    if not has_times(state):
        return []
    found = []
    for child in sorted(state.missing, key=lambda child: child.index):
        report = state.report(Criterion.MEDICATION_DEPENDENT, child.index)
        if report and report.value is Answer.YES and report.next_due:
            found.append((child.index, report.next_due))
    return found


def has_times(state: CaseState) -> bool:
    """Whether any report says a time. Most cases have none, and the clock has nothing to say about them."""
    return any(report.next_due for report in state.reports)


def next_evaluation(state: CaseState, now: datetime) -> datetime | None:
    """When the clock alone will change the assessment; None: never, or nothing about the case is live."""
    return min((due for _, due in _doses(state) if due > now), default=None) if state.live else None


# ── decide ──────────────────────────────────────────────────────────────────────────────────────────────────


def decide(
    previous: AssessmentChanged | None, assessment: Assessment, state: CaseState, because: UUID | None
) -> AssessmentChanged | None:
    """The event to append, or None when nothing changed. `because` is the event that led to it; None: the clock."""
    if state.kind is None or (previous is None and not assessment.assessed and not assessment.worrying):
        return None
    changes = _changes(previous, assessment, state)
    if not changes:
        return None
    episode = previous.episode if previous else 0
    if assessment.worrying and not (previous and previous.worrying):
        episode += 1
    return AssessmentChanged(
        case_number=state.case_number,
        kind=state.kind,
        postal_code=state.postal_code,
        municipality=state.municipality,
        case_version=state.version,
        case_open=state.is_open,
        rules=assessment.rules,
        worrying=assessment.worrying,
        episode=episode,
        criteria=assessment.criteria,
        reasons=assessment.reasons,
        open_questions=assessment.open_questions,
        override=state.override,
        medication_overdue=assessment.medication_overdue,
        changes=changes,
        because=because,
    )


def _changes(previous: AssessmentChanged | None, new: Assessment, state: CaseState) -> tuple[str, ...]:
    """What changed, in words for machines. The first assessment is compared with knowing nothing."""
    old = previous
    pairs: list[tuple[str, object, object]] = [
        ("worrying", old.worrying if old else False, new.worrying),
        ("case_open", old.case_open if old else None, state.is_open),
        ("kind", old.kind if old else None, state.kind),
        ("rules", old.rules if old else None, new.rules),
        ("override", _stands(old.override if old else None), _stands(state.override)),
    ]
    found = [f"{name}: {_word(before)} → {_word(after)}" for name, before, after in pairs if before != after]
    if old and old.override and state.override and old.override.event_id != state.override.event_id:
        found.append("override: renewed")
    if old and (old.postal_code, old.municipality) != (state.postal_code, state.municipality):
        found.append("place: corrected")
    found += _finding_changes(old.criteria if old else (), new.criteria)
    before = set(old.medication_overdue) if old else set()
    for child in sorted(before ^ set(new.medication_overdue)):
        found.append(f"medication_overdue[{child}]: {_word(child in before)} → {_word(child not in before)}")
    found += _list_changes("reason", old.reasons if old else (), new.reasons)
    if (old.open_questions if old else ()) != new.open_questions:
        found.append(f"open_questions: {len(old.open_questions) if old else 0} → {len(new.open_questions)}")
    return tuple(found)


def _finding_changes(old: tuple[CriterionFinding, ...], new: tuple[CriterionFinding, ...]) -> list[str]:
    if old == new:
        return []
    before = {(f.child, f.criterion): f for f in old}
    after = {(f.child, f.criterion): f for f in new}
    found = []
    for key in [*after, *(key for key in before if key not in after)]:
        was, now = before.get(key), after.get(key)
        if was is now:
            continue
        if was and now and was.value is now.value and was.evidence == now.evidence:
            continue
        name = f"{key[1].value}[{key[0]}]"
        then, next_value = (f.value if f else Finding.UNKNOWN for f in (was, now))
        if then is not next_value:
            found.append(f"{name}: {then.value} → {next_value.value}")
        elif (was.evidence if was else ()) != (now.evidence if now else ()):
            found.append(f"{name}: other evidence")
    return found


def _list_changes(name: str, old: tuple[str, ...], new: tuple[str, ...]) -> list[str]:
    gone = [f"{name}: - {item}" for item in old if item not in new]
    return gone + [f"{name}: + {item}" for item in new if item not in old]


def _stands(override: Override | None) -> object:
    return override.worrying if override else None


def _word(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


# ── one case, event by event ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A case and the assessment that stands. `rules`: the version by which it was looked at last."""

    state: CaseState = initial
    latest: AssessmentChanged | None = None
    rules: str = ""


def advance(
    file: CaseFile, event: Recorded, rules: Rules, now: datetime
) -> tuple[CaseFile, AssessmentChanged | None]:
    """The file after the next event of the stream, and what to append.

    What was assessed at this version before, by a process whose file is lost, is not assessed again.
    """
    before, file = file, replace(file, state=evolve(file.state, event))
    if file.latest and file.latest.case_version >= event.version:
        return file, None
    if _says_nothing_new(before, file.state, rules):
        return file, None
    return reassess(file, rules, now, event.event_id)


_CONTENT = tuple(name for name in CaseState.model_fields if name not in {"version", "live", "mode"})


def _says_nothing_new(before: CaseFile, state: CaseState, rules: Rules) -> bool:
    """Whether an event said nothing of what the rules look at, nor time can have: most facts of a case do not.

    What stands then goes on standing, provided that it was concluded by these rules.
    """
    concluded = before.rules == rules.version and (
        before.latest is None or before.latest.rules == rules.version
    )
    return (
        concluded
        and all(getattr(before.state, name) is getattr(state, name) for name in _CONTENT)
        and not _doses(state)
    )


def reassess(
    file: CaseFile, rules: Rules, now: datetime, because: UUID | None = None
) -> tuple[CaseFile, AssessmentChanged | None]:
    """The file as the clock finds it, and what to append."""
    changed = decide(file.latest, assess(file.state, rules, now), file.state, because)
    if changed:
        return replace(file, latest=changed, rules=rules.version), changed
    return (file if file.rules == rules.version else replace(file, rules=rules.version)), None
