"""A case told event by event: for tests of the criteria. Every name and every fact is invented."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from schemas.base import Sealed
from schemas.events import (
    AbductionDetails,
    AssessmentChanged,
    CaseOpened,
    ChildRecord,
    Circumstance,
    Details,
    EventData,
    NoDetails,
    Place,
)
from schemas.vocabulary import AbductionStatus, Answer, CaseKind, Criterion, Finding, Origin
from services.criteria.domain import CaseFile, advance, reassess
from services.criteria.rulebook import load_rulebook
from services.eventlog.store import Cause, Recorded, case_stream

T0 = datetime(2021, 3, 4, 18, tzinfo=UTC)
BOX = Sealed(key="case:x", box="AA==")
RULEBOOK = load_rulebook()
RULES = RULEBOOK.versions[0]
PLAIN = NoDetails()
PREVENTIVE = AbductionDetails(status=AbductionStatus.PREVENTIVE)
EFFECTIVE = AbductionDetails(status=AbductionStatus.EFFECTIVE)
_NAMES = UUID("00000000-0000-5000-8000-000000000000")


def event_id(case: UUID, version: int) -> UUID:
    return uuid5(case, str(version))


def case_id(number: int) -> UUID:
    return uuid5(_NAMES, f"case {number}")


def opened(
    *ages: tuple[int | None, int | None] | int,
    kind: CaseKind = CaseKind.RUNAWAY,
    circumstances: Iterable[Circumstance] = (),
    details: Details = PLAIN,
) -> CaseOpened:
    """A case with one child per age, or one of 15."""
    ranges = [(age, age) if isinstance(age, int) else age for age in ages or (15,)]
    return CaseOpened(
        case_number="2021-0001",
        kind=kind,
        reported_by=BOX,
        disappeared_at=T0,
        last_seen=Place(postal_code="3000", municipality="24062"),
        children=tuple(
            ChildRecord(index=n, child_id=uuid5(_NAMES, f"child {n}"), identity=BOX, age_min=lo, age_max=hi)
            for n, (lo, hi) in enumerate(ranges)
        ),
        circumstances=tuple(circumstances),
        details=details,
    )


def recorded(
    case: UUID, version: int, data: EventData, *, at: datetime | None = None, origin: Origin = Origin.LIVE
) -> Recorded:
    time = at or T0 + timedelta(minutes=version)
    imported = datetime(2026, 1, 1, tzinfo=UTC) if origin is Origin.IMPORT else None
    return Recorded(
        stream=case_stream(case),
        version=version,
        event_id=event_id(case, version),
        type=data.TYPE,
        subject=str(case),
        time=time,
        recorded_time=time,
        imported_time=imported,
        cause=Cause(actor="operator-1", correlation_id=f"c-{version}", origin=origin),
        data=data,
    )


class Story:
    """Given these events, when one more comes, then this is the assessment."""

    def __init__(self, *events: EventData, now: datetime = T0) -> None:
        self.case = case_id(1)
        self.file = CaseFile()
        self.now = now
        self.log: list[AssessmentChanged] = []
        for event in events:
            self.when(event)

    def when(self, data: EventData, *, origin: Origin = Origin.LIVE) -> AssessmentChanged | None:
        event = recorded(self.case, self.file.state.version + 1, data, origin=origin)
        self.file, changed = advance(self.file, event, RULES, self.now)
        if changed:
            self.log.append(changed)
        return changed

    def at(self, now: datetime) -> AssessmentChanged | None:
        self.now = now
        self.file, changed = reassess(self.file, RULES, now)
        if changed:
            self.log.append(changed)
        return changed

    def id(self, version: int) -> UUID:
        return event_id(self.case, version)

    @property
    def stands(self) -> AssessmentChanged:
        assert self.file.latest is not None
        return self.file.latest

    @property
    def worrying(self) -> bool:
        return self.stands.worrying

    def finding(self, criterion: Criterion, child: int = 0) -> tuple[Finding, tuple[UUID, ...]]:
        found = [f for f in self.stands.criteria if (f.criterion, f.child) == (criterion, child)]
        assert len(found) == 1
        return found[0].value, found[0].evidence


def circumstance(
    criterion: Criterion, value: Answer = Answer.YES, child: int | None = 0, due: datetime | None = None
) -> Circumstance:
    return Circumstance(criterion=criterion, value=value, child=child, next_due=due)
