"""An assessment as its readers see it: by any version of the rules, from the history alone, without any effect."""

from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from typing import Any
from uuid import UUID

from services.criteria import wording
from services.criteria.directive import Rules
from services.criteria.domain import assess, evolve, initial
from services.eventlog.store import Recorded

Json = dict[str, Any]


def assessment_view(
    case_id: UUID, events: Sequence[Recorded], rules: Rules, now: datetime, *, acting: str
) -> Json | None:
    """What `rules` say of a case at a moment, from the events of its stream; None when there is no case.

    `acting` is the version of the rules that acts at that moment: what any other says is for comparison only.
    """
    state = reduce(evolve, events, initial)
    if state.kind is None:
        return None
    found = assess(state, rules, now)
    return {
        "case_id": str(case_id),
        "case_number": state.case_number,
        "kind": state.kind.value,
        "state": "open" if state.is_open else "closed",
        "version": state.version,
        "at": now.isoformat(),
        "rules": rules.version,
        "acting_rules": acting,
        "assessed": found.assessed,
        "worrying": found.worrying,
        "criteria": [finding.model_dump(mode="json") for finding in found.criteria],
        "reasons": list(found.reasons),
        "open_questions": [
            {
                **question.model_dump(mode="json"),
                "decisive": number < found.decisive,
                "text": wording.question(question.criterion),
            }
            for number, question in enumerate(found.open_questions)
        ],
        "override": state.override.model_dump(mode="json") if state.override else None,
        "medication_overdue": list(found.medication_overdue),
    }
