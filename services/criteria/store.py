"""The tables of criteria. Everything in them but the quarantine can be built again from the event store."""

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from pydantic import ValidationError

from schemas.events import AssessmentChanged
from services.criteria.case_state import CaseState
from services.criteria.directive import Rules
from services.criteria.domain import CaseFile
from services.criteria.errors import StaleCaseError
from services.criteria.rulebook import RulesError
from services.eventlog.store import as_text
from services.kernel.messages import Message
from services.kernel.postgres import Connection, Pool, queries

FORMAT = 2
"""Raise it whenever CaseState changes its shape: rows of another format are built again from the event store."""

_SQL = queries("services.criteria")


@dataclass(frozen=True, slots=True)
class Stored:
    """A case as it is stored. `readable`: in a format we know; `changed_at`: the last writing of its row, if any."""

    file: CaseFile
    readable: bool
    version: int
    assessment_version: int
    parked: bool
    changed_at: datetime | None

    @property
    def exists(self) -> bool:
        """Whether there is a row, at these two versions."""
        return self.changed_at is not None


@dataclass(frozen=True, slots=True)
class Parked:
    """A message to be set aside, and why. `case_id` None: it does not say."""

    message: Message
    case_id: UUID | None
    version: int | None
    error_class: str


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A case in quarantine."""

    case_id: UUID | None
    since: datetime
    messages: int
    error_class: str


async def load(
    connection: Connection, case_ids: Sequence[UUID], remembered: Mapping[UUID, Stored]
) -> dict[UUID, Stored]:
    """What is known of these cases; a row that did not change since it was remembered is not read again."""
    moments = [remembered[case_id].changed_at if case_id in remembered else None for case_id in case_ids]
    rows = await connection.fetch(_SQL["cases"], case_ids, moments)
    return {row["case_id"]: _stored(row, remembered) for row in rows}


def _stored(row: Mapping[str, Any], remembered: Mapping[UUID, Stored]) -> Stored:
    if row["unchanged"] and row["format"] == FORMAT:
        known = remembered[row["case_id"]]
        return known if known.parked == row["parked"] else replace(known, parked=row["parked"])
    file, readable = CaseFile(), row["format"] in (None, FORMAT)
    if row["format"] == FORMAT:
        try:
            file = _file(row)
        except ValidationError:  # a row that only looks like this format is one more that is built again
            readable = False
    return Stored(
        file, readable, row["version"] or 0, row["assessment_version"], row["parked"], row["changed_at"]
    )


def _file(row: Mapping[str, Any]) -> CaseFile:
    assessment = row["assessment"]
    state = CaseState.model_validate_json(row["state"])
    return CaseFile(
        state.model_copy(
            update={"version": row["version"]}
        ),  # the document may be older, when nothing else changed
        AssessmentChanged.model_validate_json(assessment) if assessment else None,
        row["rules"],
    )


class Change(NamedTuple):
    """A case to be written, and what was loaded of it. `said`: its new assessment as it is written, if it has one."""

    case_id: UUID
    before: Stored
    file: CaseFile
    assessment_version: int
    said: str | None = None

    def stored(self, changed_at: datetime) -> Stored:
        """The case as it was written at a moment."""
        return Stored(
            self.file, True, self.file.state.version, self.assessment_version, self.before.parked, changed_at
        )


async def save(connection: Connection, changes: Sequence[Change]) -> dict[UUID, Stored]:
    """Writes cases; returns them as they are stored once this is committed.

    Raises StaleCaseError when one is no longer as it was loaded; nothing may be committed then.
    """
    known = [c for c in changes if c.before.exists]
    new = [c for c in changes if not c.before.exists]
    written: list[Mapping[str, Any]] = []
    if known:
        written += await connection.fetch(
            _SQL["change_cases"],
            FORMAT,
            [c.case_id for c in known],
            [c.before.version for c in known],
            [c.before.assessment_version for c in known],
            *_columns(known),
        )
    if new:
        written += await connection.fetch(_SQL["add_cases"], FORMAT, [c.case_id for c in new], *_columns(new))
    if len(written) != len(changes):
        raise StaleCaseError("another worker changed a case meanwhile; load it again")
    moments = {row["case_id"]: row["changed_at"] for row in written}
    return {c.case_id: c.stored(moments[c.case_id]) for c in changes}


def _columns(changes: Sequence[Change]) -> tuple[list[Any], ...]:
    return (
        [c.file.state.version for c in changes],
        [c.assessment_version for c in changes],
        [_state(c) for c in changes],
        [_said(c) for c in changes],
        [c.file.rules for c in changes],
        [c.file.state.live and c.file.state.is_open for c in changes],
    )


def _state(change: Change) -> str | None:
    """The state; None when it is the one that is stored, but for its version."""
    state = change.file.state
    if change.before.exists and change.before.readable and state.says_the_same_as(change.before.file.state):
        return None
    return state.model_dump_json()


def _said(change: Change) -> str | None:
    """The assessment that stands; None when it is the one that is stored."""
    latest = change.file.latest
    if latest is None or (change.before.exists and latest is change.before.file.latest):
        return None
    return change.said or as_text(latest)


async def set_timers(connection: Connection, timers: Mapping[UUID, datetime | None]) -> None:
    """When to look at these cases again; None: never."""
    due = {case_id: at for case_id, at in sorted(timers.items()) if at is not None}
    idle = sorted(case_id for case_id, at in timers.items() if at is None)
    if due:
        await connection.execute(_SQL["set_timers"], list(due), list(due.values()))
    if idle:
        await connection.execute(_SQL["clear_timers"], idle)


async def due_cases(source: Pool | Connection, now: datetime, rules: str, limit: int) -> list[UUID]:
    """Cases at which the clock must look: their timer has run out, or they were assessed by other rules than act now."""
    due = await source.fetch(_SQL["due"], now, limit)
    if len(due) < limit:
        due += await source.fetch(_SQL["due_by_rules"], rules, limit - len(due))
    return list(dict.fromkeys(row["case_id"] for row in due))


async def act_by(source: Pool | Connection, rules: Rules) -> None:
    """Notes that these rules act from now on. Raises RulesError when they once acted with another content."""
    if await source.fetchval(_SQL["act_by"], rules.version, rules.digest) is None:
        raise RulesError(
            f"rules {rules.version}: they acted here with another content; restore the file, and give what changed a"
            " version of its own"
        )


async def claim_due(connection: Connection, case_ids: Collection[UUID], now: datetime) -> list[UUID]:
    """Those of these cases that are still due and that nobody else works on, until the transaction ends."""
    return [row["case_id"] for row in await connection.fetch(_SQL["claim_due"], list(case_ids), now)]


async def park(connection: Connection, parked: Sequence[Parked]) -> None:
    """Sets messages aside, whole."""
    await connection.executemany(
        _SQL["park"],
        [
            (
                one.case_id,
                one.version,
                one.error_class,
                one.message.topic,
                one.message.partition,
                one.message.offset,
                orjson.dumps(
                    [(name, base64.b64encode(value).decode()) for name, value in one.message.headers]
                ).decode(),
                one.message.value,
            )
            for one in parked
        ],
    )


async def unpark(connection: Connection, case_id: UUID) -> None:
    """Ends the quarantine of a case."""
    await connection.execute(_SQL["unpark"], case_id)


async def quarantined(source: Pool | Connection) -> list[Quarantine]:
    """Every case in quarantine, the oldest first."""
    return [Quarantine(**dict(row)) for row in await source.fetch(_SQL["parked"])]


async def known_cases(source: Pool | Connection, after: UUID | None, limit: int) -> list[UUID]:
    """The next cases by their ids."""
    return [row["case_id"] for row in await source.fetch(_SQL["known_cases"], after, limit)]


async def count_cases(source: Pool | Connection) -> int:
    """How many cases are known."""
    return int(await source.fetchval(_SQL["count_cases"]))


async def case_of_number(source: Pool | Connection, number: str) -> UUID | None:
    """The case with this number, once criteria has seen it."""
    found: UUID | None = await source.fetchval(_SQL["case_of_number"], number)
    return found
