"""What volunteers know of a case: whether it is an exercise, whether it is open, and where. Nothing of who is missing."""

from dataclasses import dataclass, replace
from uuid import UUID

from schemas.events import CaseClosed, CaseMerged, CaseOpened, CaseReopened, DetailsCorrected
from schemas.vocabulary import Mode
from services.eventlog.store import case_stream, read_streams
from services.kernel.postgres import Connection, Pool


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """A case as far as it matters to those who help. `version`: of its stream."""

    exercise: bool
    open: bool
    version: int
    municipality: str | None


async def facts_of(source: Connection | Pool, case_id: UUID) -> CaseFacts | None:
    """None when there is no such case."""
    stream = case_stream(case_id)
    events = (await read_streams(source, [stream])).get(stream)
    if not events:
        return None
    facts = CaseFacts(events[0].cause.mode is Mode.EXERCISE, open=True, version=0, municipality=None)
    for event in events:
        match event.data:
            case CaseOpened(last_seen=place) | DetailsCorrected(last_seen=place) if place:
                facts = replace(facts, municipality=place.municipality)
            case CaseClosed() | CaseMerged() | CaseReopened():
                facts = replace(facts, open=isinstance(event.data, CaseReopened))
            case _:
                pass
    return replace(facts, version=events[-1].version)
