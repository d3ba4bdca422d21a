"""The list of cases: what an operator sees at a glance, without anybody's identity."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from schemas import events as e
from services.eventlog.store import Recorded, case_stream
from services.kernel.ids import read_id
from services.kernel.postgres import Connection, Pool, queries
from services.kernel.problems import InvalidError

_SQL = queries("services.projections.models", "case_list.sql")
_CASE = tuple(model for model in e.EVENTS.values() if model.TYPE.startswith("case."))


@dataclass(slots=True)
class _Change:
    """What a batch changes about a case; None: nothing."""

    case_id: UUID
    case_number: str | None = None
    kind: str | None = None
    is_open: bool | None = None
    worrying: bool | None = None
    version: int | None = None
    opened_at: datetime | None = None
    postal_code: str | None = None
    municipality: str | None = None
    mode: str | None = None


_COLUMNS = tuple(field.name for field in fields(_Change))


class CaseList:
    """Projection `case_list`."""

    name = "case_list"
    definition = 1
    tables = _SQL["tables"]
    topics = (e.CASE_EVENTS,)
    types = frozenset({*(model.TYPE for model in _CASE), e.AssessmentChanged.TYPE})

    async def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Folds the events of a batch, and writes each case once."""
        changes: dict[UUID, _Change] = {}
        for event in events:
            case_id = read_id(event.subject)
            _fold(changes.setdefault(case_id, _Change(case_id)), event)
        rows = [changes[case_id] for case_id in sorted(changes)]
        columns = [[getattr(row, name) for row in rows] for name in _COLUMNS]
        await connection.execute(
            _SQL["upsert"],
            *columns,
            [row.case_id for row in rows if row.is_open is not None],
            [row.case_id for row in rows if row.worrying is not None],
        )


def _fold(change: _Change, event: Recorded) -> None:
    if event.stream == case_stream(change.case_id):
        change.version = event.version
    match event.data:
        case e.CaseOpened() as opened:
            change.case_number, change.kind = opened.case_number, opened.kind.value
            change.is_open, change.opened_at = True, event.time
            change.mode = event.cause.mode.value
            _place(change, opened.last_seen)
        case e.DetailsCorrected(last_seen=e.Place() as place):
            _place(change, place)
        case e.Reclassified(kind=kind):
            change.kind = kind.value
        case e.CaseClosed() | e.CaseMerged():
            change.is_open = False
        case e.CaseReopened():
            change.is_open = True
        case e.AssessmentChanged(worrying=worrying):
            change.worrying = worrying
        case _:
            pass


def _place(change: _Change, place: e.Place) -> None:
    change.postal_code = place.postal_code or change.postal_code
    change.municipality = place.municipality or change.municipality


@dataclass(frozen=True, slots=True)
class Filter:
    """Which cases: None asks nothing. `q` is part of a case number, or the beginning of a postcode."""

    worrying: bool | None = None
    open: bool | None = None
    q: str | None = None


async def page_of(pool: Pool, wanted: Filter, cursor: str | None, limit: int) -> dict[str, Any]:
    """A page of cases, the last opened first, and the cursor of the next page (None: this is the last).

    Raises InvalidError when the cursor is not one of ours.
    """
    after_time, after_id = _read_cursor(cursor) if cursor else (None, None)
    rows = await pool.fetch(
        _SQL["page"], wanted.worrying, wanted.open, wanted.q, after_time, after_id, limit + 1
    )
    more, rows = len(rows) > limit, rows[:limit]
    return {"items": [_item(row) for row in rows], "next_cursor": _cursor(rows[-1]) if more else None}


def _item(row: Any) -> dict[str, Any]:
    item = dict(row)
    item["state"] = "open" if item.pop("is_open") else "closed"
    return item


def _cursor(row: Any) -> str:
    place = f"{row['opened_at'].astimezone(UTC).replace(tzinfo=None).isoformat()}|{row['case_id']}"
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[datetime, UUID]:
    try:
        place = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        time, _, case_id = place.partition("|")
        return datetime.fromisoformat(f"{time}+00:00"), UUID(case_id)
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise InvalidError("cursor", "send the next_cursor of an earlier answer, or none") from error


PROJECTION = CaseList()
