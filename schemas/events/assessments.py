"""The assessment of a case."""

from uuid import UUID

from schemas.base import PostalCode, Strict
from schemas.events.event import EventData
from schemas.vocabulary import CaseKind, Criterion, Finding


class CriterionFinding(Strict):
    """The conclusion about one criterion for one child, with the events that are its evidence."""

    criterion: Criterion
    child: int
    value: Finding
    evidence: tuple[UUID, ...] = ()


class OpenQuestion(Strict):
    """What is not settled (unknown, or only possible), though the answer may decide."""

    criterion: Criterion
    child: int


class Override(Strict):
    """A standing human decision."""

    worrying: bool
    by: str
    event_id: UUID


class AssessmentChanged(EventData):
    """The assessment as it now stands; appended only when it changes.

    `case_version` is the version of the case stream it rests on; `episode` counts the worrying episodes of the
    case (0: not worrying so far); `medication_overdue` lists the children whose dose was due and who are not back;
    `changes` says what changed; `because` is the event (none: the clock).
    """

    TYPE = "assessment.changed.v1"
    case_number: str
    kind: CaseKind
    postal_code: PostalCode | None = None
    municipality: str | None = None
    case_version: int
    case_open: bool
    rules: str
    worrying: bool
    episode: int
    criteria: tuple[CriterionFinding, ...]
    reasons: tuple[str, ...]
    open_questions: tuple[OpenQuestion, ...] = ()
    override: Override | None = None
    medication_overdue: tuple[int, ...] = ()
    changes: tuple[str, ...]
    because: UUID | None = None
