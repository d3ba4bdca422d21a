"""The event store: append with an expected version, read by stream or by case. The table is the outbox."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from schemas.events import EventData
from schemas.upcasters import UnknownEventTypeError, read
from schemas.vocabulary import Mode, Origin
from services.kernel.errors import ZoeklichtError
from services.kernel.ids import new_id
from services.kernel.postgres import Connection, Pool, queries

MAX_EVENT_BYTES = 512 * 1024
CHANNEL = "eventlog"
"""Hints for the relay; each says the topic of what was appended."""
STOP_CHANNEL = "eventlog_stop"

UNKNOWN_TYPES: Counter[str] = Counter()
"""How many events of which unknown type this process has passed over."""

_SQL = queries("services.eventlog")


class EventStoreError(ZoeklichtError):
    """The log refuses."""


class VersionConflictError(EventStoreError):
    """Somebody else appended to the stream first; load it again and decide again."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(f"{stream} is at version {actual}, not {expected}: load it again and decide again")
        self.stream = stream
        self.expected = expected
        self.actual = actual


class EventTooLargeError(EventStoreError):
    """An event is over 512 KiB, and could not be relayed."""


class LockOrderError(EventStoreError):
    """A transaction wrote before it locked its streams: its events would come out of order."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why and by whom something is appended; derived events inherit it."""

    actor: str
    correlation_id: str
    causation_id: str | None = None
    traceparent: str | None = None
    origin: Origin = Origin.LIVE
    mode: Mode = Mode.ACTUAL


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be appended. `time` None: now; `recorded_time` and `imported_time` are for imports.

    `text`: its data as JSON, from whoever writes that elsewhere too.
    """

    data: EventData
    event_id: UUID = field(default_factory=new_id)
    time: datetime | None = None
    recorded_time: datetime | None = None
    imported_time: datetime | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Append:
    """Events for one stream. `expected` is its version before (0: it is new); None: whatever it is."""

    stream: str
    subject: str
    events: Sequence[NewEvent]
    cause: Cause
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Something that must go dark: a campaign, or a case's standby alerts below `version`."""

    kind: str
    id: UUID
    case_id: UUID
    version: int
    event_id: UUID
    mode: Mode


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event of the log."""

    stream: str
    version: int
    event_id: UUID
    type: str
    subject: str
    time: datetime
    recorded_time: datetime
    imported_time: datetime | None
    cause: Cause
    data: EventData
    position: int = 0


class UnknownEvent(EventData):
    """The data of an event of a type that this process does not know: only its place in its stream counts."""


def case_stream(case_id: UUID) -> str:
    """Owned by intake."""
    return f"case-{case_id}"


def campaign_stream(campaign_id: UUID) -> str:
    """Owned by intake."""
    return f"campaign-{campaign_id}"


def assessment_stream(case_id: UUID) -> str:
    """Owned by criteria."""
    return f"assessment-{case_id}"


def alert_stream(alert_id: UUID) -> str:
    """Owned by dispatch."""
    return f"alert-{alert_id}"


def delivery_stream(alert_id: UUID, recipient: UUID) -> str:
    """Owned by dispatch."""
    return f"delivery-{alert_id}.{recipient}"


async def lock_streams(connection: Connection, streams: Iterable[str]) -> None:
    """Must be the first statement of every appending transaction, before any write.

    A transaction takes its id, which decides its place in the log, at its first write; were it to wait for the stream
    only then, a later version could come out before an earlier one. Raises LockOrderError when it wrote already.
    """
    row = await connection.fetchrow(_SQL["lock"], sorted(set(streams)))
    if row["wrote"]:
        raise LockOrderError("lock the streams before the first write of the transaction")


async def append(
    connection: Connection, appends: Sequence[Append], stops: Sequence[Stop] = ()
) -> dict[str, int]:
    """Appends to one or more streams, all or nothing, in the caller's transaction; returns their new versions.

    The caller has called `lock_streams` first. Raises VersionConflictError, EventTooLargeError.
    """
    found = await connection.fetch(_SQL["versions"], list({a.stream for a in appends}))
    versions = {row["stream"]: row["version"] for row in found}
    columns: list[list[Any]] = [[] for _ in range(16)]
    for one in appends:
        actual = versions.get(one.stream, 0)
        if one.expected is not None and one.expected != actual:
            raise VersionConflictError(one.stream, one.expected, actual)
        for number, event in enumerate(one.events, actual + 1):
            for column, value in zip(columns, _row(one, number, event), strict=True):
                column.append(value)
        versions[one.stream] = actual + len(one.events)
    await connection.execute(_SQL["append"], *columns, CHANNEL)
    for stop in stops:
        await connection.execute(
            _SQL["stop"], stop.kind, stop.id, stop.case_id, stop.version, stop.event_id, stop.mode.value
        )
    if stops:
        await connection.execute(f"notify {STOP_CHANNEL}")
    return versions


def as_text(data: EventData) -> str:
    """The data of an event as it is written."""
    return data.model_dump_json(exclude_none=True)


def _row(one: Append, version: int, event: NewEvent) -> tuple[Any, ...]:
    text = event.text or as_text(event.data)
    if len(text.encode()) > MAX_EVENT_BYTES:
        raise EventTooLargeError(
            f"an event of type {event.data.TYPE} is over {MAX_EVENT_BYTES} bytes; send less at once"
        )
    cause = one.cause
    return (
        one.stream,
        version,
        event.event_id,
        event.data.TYPE,
        event.data.TOPIC,
        one.subject,
        event.time,
        event.recorded_time,
        event.imported_time,
        cause.correlation_id,
        cause.causation_id,
        cause.actor,
        cause.traceparent,
        cause.origin.value,
        cause.mode.value,
        text,
    )


async def read_stream(
    source: Pool | Connection, stream: str, after: int = 0, limit: int = 100_000
) -> list[Recorded]:
    """The events of a stream after a version, in order."""
    return [recorded(row) for row in await source.fetch(_SQL["read_stream"], stream, after, limit)]


async def read_streams(source: Pool | Connection, streams: Sequence[str]) -> dict[str, list[Recorded]]:
    """The events of each of these streams, in order; one of an unknown type says nothing."""
    found: dict[str, list[Recorded]] = {}
    for row in await source.fetch(_SQL["read_streams"], list(streams)):
        found.setdefault(row["stream"], []).append(tolerated(row))
    return found


async def read_case(source: Pool | Connection, case_id: UUID, at: datetime | None = None) -> list[Recorded]:
    """Every event about a case, of every stream, in order of appending; with `at`, those known at that moment.

    A stream is known once its beginning is: the times of an imported history may go back behind it.
    """
    rows = await source.fetch(_SQL["read_subject"], str(case_id), at)
    begun = {row["stream"] for row in rows if row["version"] == 1}
    return [tolerated(row) for row in rows if row["stream"] in begun]


async def read_case_page(source: Pool | Connection, case_id: UUID, after: int, limit: int) -> list[Recorded]:
    """At most `limit` events about a case after a position of the log, in order of appending."""
    rows = await source.fetch(_SQL["read_subject_page"], str(case_id), after, limit)
    return [tolerated(row) for row in rows]


async def stopped(source: Pool | Connection, ids: Iterable[UUID]) -> dict[tuple[str, UUID], int]:
    """Which of these campaigns and cases are stopped: (kind, id) → version."""
    rows = await source.fetch(_SQL["stopped"], list(ids))
    return {(row["kind"], row["id"]): row["version"] for row in rows}


async def recent_stops(source: Pool | Connection, within: timedelta) -> list[Stop]:
    """What was stopped lately, newest first."""
    rows = await source.fetch(_SQL["stops"], within)
    return [Stop(**{**dict(row), "mode": Mode(row["mode"])}) for row in rows]


def recorded(row: Mapping[str, Any]) -> Recorded:
    """A row of the log as an event. Raises UnknownEventTypeError, or pydantic's ValidationError."""
    return _recorded(row, read(row["type"], orjson.loads(row["data"])))


def tolerated(row: Mapping[str, Any]) -> Recorded:
    """A row of the log as an event; one of an unknown type, which a newer process wrote, is counted and says nothing."""
    try:
        return recorded(row)
    except UnknownEventTypeError:
        UNKNOWN_TYPES[row["type"]] += 1
        return _recorded(row, UnknownEvent())


def _recorded(row: Mapping[str, Any], data: EventData) -> Recorded:
    return Recorded(
        stream=row["stream"],
        version=row["version"],
        event_id=row["event_id"],
        type=row["type"],
        subject=row["subject"],
        time=row["time"],
        recorded_time=row["recorded_time"],
        imported_time=row["imported_time"],
        cause=Cause(
            actor=row["actor"],
            correlation_id=row["correlation_id"],
            causation_id=row["causation_id"],
            traceparent=row["traceparent"],
            origin=Origin(row["origin"]),
            mode=Mode(row["mode"]),
        ),
        data=data,
        position=row["position"],
    )
