"""A long history of invented cases, put into the store by COPY: for the bench and the tests of the projections."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import orjson

from schemas import events as e
from schemas.base import Sealed
from schemas.vocabulary import Audience, CaseKind
from services.eventlog.store import (
    alert_stream,
    assessment_stream,
    campaign_stream,
    case_stream,
    delivery_stream,
)
from services.kernel.postgres import Pool

_NAMES = UUID("00000000-0000-5000-8000-00000000be4c")
_BOX = Sealed(key="case:x", box="A" * 120)
_FIRST = datetime(2019, 1, 1, 8, tzinfo=UTC)
DISPLAYS = tuple(uuid5(_NAMES, f"display {n}") for n in range(6))
COLUMNS = (
    "epoch", "stream", "version", "event_id", "type", "topic", "subject", "time", "recorded_time",
    "correlation_id", "actor", "origin", "mode", "data",
)  # fmt: skip
Row = dict[str, Any]
Step = tuple[str, e.EventData]
"""A stream and the next event of it."""


def case_of(number: int) -> Iterator[Step]:
    """A case as they come: told, corrected, assessed, one in ten searched for in public, closed. Nine events or 25."""
    case = uuid5(_NAMES, f"case {number}")
    stream = case_stream(case)
    child = e.ChildRecord(
        index=0, child_id=uuid5(case, "child"), identity=_BOX, age_min=14, age_max=14, gender="girl"
    )
    yield (
        stream,
        e.CaseOpened(
            case_number=f"B-{number:07}",
            kind=CaseKind.RUNAWAY,
            reported_by=_BOX,
            last_seen=e.Place(postal_code="3000", municipality="24062"),
            children=(child,),
            details=e.NoDetails(),
        ),
    )
    yield stream, e.NoteAdded(text=_BOX)
    for worrying in (False, True):
        yield assessment_stream(case), _assessed(worrying)
    yield stream, e.DetailsCorrected(last_seen=e.Place(postal_code="1000", municipality="21004"))
    yield stream, e.NoteAdded(text=_BOX)
    if number % 10 == 0:
        yield from _searched_for(case)
    yield (
        stream,
        e.ChildLocated(child=0, outcome="found_safe", at=_FIRST + timedelta(minutes=number, hours=20)),
    )
    yield stream, e.CaseClosed(outcomes=(e.ChildOutcome(child=0, outcome="found_safe"),))
    yield f"ops-{case}", e.CallsCounted(count=3)


def _assessed(worrying: bool) -> e.AssessmentChanged:
    return e.AssessmentChanged(
        case_number="x", kind=CaseKind.RUNAWAY, case_version=1, case_open=True, rules="MD-2002-02-20",
        worrying=worrying, episode=int(worrying), criteria=(), changes=(),
        reasons=("criterion:medication_dependent",) if worrying else (),
    )  # fmt: skip


def _searched_for(case: UUID) -> Iterator[Step]:
    campaign, alert = uuid5(case, "campaign"), uuid5(case, "alert")
    appeal = e.Appeal(kind="public", areas=("BE",))
    yield campaign_stream(campaign), e.CampaignReleased(campaign_id=campaign, appeal=appeal)
    yield (
        alert_stream(alert),
        e.AlertIssued(
            alert_id=alert,
            revision=1,
            kind="public",
            campaign_id=campaign,
            recipients=6,
            displays=6,
            to=DISPLAYS,
        ),
    )
    for content, revision in (("issued", 1), ("withdrawn", 2)):
        if content == "withdrawn":
            yield campaign_stream(campaign), e.CampaignEnded(campaign_id=campaign, reason="child_found")
        for display in DISPLAYS:
            yield delivery_stream(alert, display), e.DeliveryDelivered(
                alert_id=alert, revision=revision, content=content, kind="public", recipient=display,
                audience=Audience.DISPLAY, attempts=1, at=_FIRST,
            )  # fmt: skip


def rows(events: int, together: int = 50) -> Iterator[Row]:
    """Rows of the store: so many events, `together` cases at the same time, as an installation sees them."""
    given = 0
    for start in range(0, events, together):
        versions: dict[str, int] = {}
        going = [(number, case_of(number)) for number in range(start, start + together)]
        while going:
            for number, steps in list(going):
                step = next(steps, None)
                if step is None:
                    going.remove((number, steps))
                    continue
                stream, data = step
                versions[stream] = versions.get(stream, 0) + 1
                yield _row(number, stream, versions[stream], data)
                given += 1
                if given == events:
                    return


def _row(number: int, stream: str, version: int, data: e.EventData) -> Row:
    time = _FIRST + timedelta(minutes=number)
    return {
        "epoch": 1,
        "stream": stream,
        "version": version,
        "event_id": uuid5(_NAMES, f"{stream} {version}"),
        "type": data.TYPE,
        "topic": data.TOPIC,
        "subject": str(uuid5(_NAMES, f"case {number}")),
        "time": time,
        "recorded_time": time,
        "correlation_id": "bench",
        "actor": "bench",
        "origin": "live",
        "mode": "actual",
        "data": orjson.dumps(data.model_dump(mode="json", exclude_none=True)).decode(),
    }


async def fill(pool: Pool, events: int, part: int = 20_000) -> None:
    """Puts a history into the store."""
    found: list[tuple[Any, ...]] = []

    async def write() -> None:
        async with pool.acquire() as connection:
            await connection.copy_records_to_table(
                "events", schema_name="eventlog", columns=COLUMNS, records=found, timeout=600
            )
        found.clear()

    for row in rows(events):
        found.append(tuple(row[column] for column in COLUMNS))
        if len(found) == part:
            await write()
    await write()
    await pool.execute("vacuum analyze eventlog.events", timeout=600)
