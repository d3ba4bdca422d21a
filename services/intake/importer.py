"""Imports history from elsewhere: NDJSON lines become events that alert nobody; a second run changes nothing."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg

from schemas.commands import MergeCase
from services.eventlog.store import VersionConflictError, append, case_stream, lock_streams
from services.intake import store
from services.intake.domain.identity import identity_of
from services.intake.handlers.steps import ATTEMPTS, IntakeDeps
from services.intake.import_batch import Batch
from services.intake.import_file import Places
from services.intake.import_lines import BadLineError, ImportCase, Line, parsed
from services.intake.store import File
from services.kernel.errors import ZoeklichtError
from services.kernel.ids import new_id
from services.kernel.postgres import Connection, in_transaction
from services.kernel.vault import KeyDestroyedError, key_name

MAX_EVENTS = 500
"""Per transaction: an open writing transaction holds up every reader of the log."""
_LINES = 400
_ROOM = 100
"""Events that one line may need at most: a case's closing ends its campaigns."""
_CACHED_CASES = 20_000


class ImportBusyError(ZoeklichtError):
    """Others keep writing to the same cases; run the import again, it goes on where it stopped."""


@dataclass(slots=True)
class ImportResult:
    """How many lines were appended, how many were known already, and which are bad: (line number, reason)."""

    appended: int = 0
    skipped: int = 0
    bad: list[tuple[int, str]] = field(default_factory=list)


async def import_lines(
    deps: IntakeDeps, lines: Iterable[str], progress: Callable[[int, int], None] = lambda _done, _all: None
) -> ImportResult:
    """Imports the lines of a file, which are read twice; `progress` is told how many are done, and of how many.

    Bad lines are reported and the rest goes in. Raises ImportBusyError.
    """
    with closing(Places(lines)) as places:
        run = _Run(deps, places, str(new_id()), await store.database_now(deps.pool))
        await _whole(run, lines, lambda done: progress(done, places.lines))
    run.result.bad.sort()
    return run.result


async def _whole(run: "_Run", lines: Iterable[str], progress: Callable[[int], None]) -> None:
    number = 0
    waiting: list[Line] = []
    for number, raw in enumerate(lines, 1):
        text = raw.strip()
        if not text:
            continue
        try:
            waiting.append(parsed(number, text))
        except BadLineError as error:
            run.result.bad.append((number, str(error)))
        if len(waiting) == _LINES:
            waiting = await run.batch(waiting)
            progress(number - len(waiting))
    while waiting:
        waiting = await run.batch(waiting)
    progress(number)


@dataclass(slots=True)
class _Done:
    """What one transaction did."""

    batch: Batch
    appended: int
    skipped: int
    bad: list[tuple[int, str]]
    left: list[Line]


@dataclass(slots=True)
class _Run:
    deps: IntakeDeps
    places: Places
    correlation_id: str
    imported_at: datetime
    result: ImportResult = field(default_factory=ImportResult)
    files: dict[UUID, File] = field(default_factory=dict)

    async def batch(self, lines: Sequence[Line]) -> list[Line]:
        """Imports lines in one transaction; returns those for which there was no room."""
        locks = _streams(lines) | {f"child-{mark.hex()}" for mark in self._marks(lines)}
        for _ in range(ATTEMPTS):
            try:
                done = await in_transaction(self.deps.pool, lambda c: self._once(c, lines, locks))
            except (VersionConflictError, asyncpg.UniqueViolationError):
                # Somebody else wrote to a case since we read it: read again.
                self.files.clear()
                continue
            self.files |= done.batch.files
            if len(self.files) > _CACHED_CASES:
                self.files.clear()
            self.result.appended += done.appended
            self.result.skipped += done.skipped
            self.result.bad += done.bad
            return done.left
        raise ImportBusyError(str(ImportBusyError.__doc__))

    def _marks(self, lines: Iterable[Line]) -> set[bytes]:
        secret = self.deps.secret
        marks = {
            store.fingerprint(secret, identity_of(child), line.body.mode)
            for line in lines
            if isinstance(line.body, ImportCase)
            for child in line.body.children
        }
        return {mark for mark in marks if mark}

    async def _once(self, connection: Connection, lines: Sequence[Line], locks: set[str]) -> _Done:
        await lock_streams(connection, locks)
        rows = await connection.fetch(store.SQL["known_events"], [line.event_id for line in lines])
        seen = {row["event_id"] for row in rows}
        batch = await self._prepared(connection, [line for line in lines if line.event_id not in seen])
        done = _Done(batch, 0, 0, [], [])
        for place, line in enumerate(lines):
            if line.event_id in seen:
                done.skipped += 1
                continue
            if len(batch.appends) > MAX_EVENTS - _ROOM:
                done.left = list(lines[place:])
                break
            try:
                batch.take(line)
            except BadLineError as error:
                done.bad.append((line.number, str(error)))
                continue
            seen.add(line.event_id)
            done.appended += 1
        await _write(connection, batch)
        return done

    async def _prepared(self, connection: Connection, fresh: Sequence[Line]) -> Batch:
        wanted = {case_id for line in fresh for case_id in _cases(line)}
        unread = [case_id for case_id in wanted if case_id not in self.files]
        files = {case_id: self.files[case_id] for case_id in wanted if case_id in self.files}
        files |= await store.load_files(connection, unread)
        zone = self.deps.settings.zone
        marks = await store.known_children(connection, self._marks(fresh))
        batch = Batch(
            files=files,
            places=self.places.of(_lineage(files.values())),
            keys={},
            marks=marks,
            numbers=await _numbers(connection, [_year(line, zone) for line in fresh if _opens(line)]),
            secret=self.deps.secret,
            policy=self.deps.policy,
            zone=zone,
            correlation_id=self.correlation_id,
            imported_at=self.imported_at,
        )
        batch.keys = await self._keys(batch, fresh)
        return batch

    async def _keys(self, batch: Batch, fresh: Sequence[Line]) -> dict[str, bytes]:
        """Every key the batch may need, made or found at once; those destroyed are missing."""
        names = {key_name("case", case_id) for line in fresh for case_id in _cases(line)}
        for file in batch.files.values():
            names |= {key_name("child", child.child_id) for child in file.case.children}
        for line in fresh:
            if isinstance(line.body, ImportCase):
                names |= {key_name("child", child) for child in batch.children_of(line)}
        try:
            return await self.deps.vault.ensure(names) if names else {}
        except KeyDestroyedError:
            return await self.deps.vault.find(sorted(names))


def _lineage(files: Iterable[File]) -> set[UUID]:
    """The events of these cases, and the lines that those follow from."""
    events = [event for file in files for event in file.events]
    return {e.event_id for e in events} | {UUID(e.cause.causation_id) for e in events if e.cause.causation_id}


def _opens(line: Line) -> bool:
    return isinstance(line.body, ImportCase)


def _year(line: Line, zone: ZoneInfo) -> int:
    return line.at.astimezone(zone).year


def _cases(line: Line) -> list[UUID]:
    other = line.body.case_id if isinstance(line.body, MergeCase) else None
    return [case_id for case_id in (line.case_id, other) if case_id]


def _streams(lines: Iterable[Line]) -> set[str]:
    streams = set()
    for line in lines:
        streams |= {case_stream(case_id) for case_id in _cases(line)}
        streams.add(f"ops-{line.counter or line.case_id}")
    return streams


async def _numbers(connection: Connection, years: Sequence[int]) -> dict[int, list[str]]:
    return {year: await store.next_number(connection, year, years.count(year)) for year in sorted(set(years))}


async def _write(connection: Connection, batch: Batch) -> None:
    if not batch.appends:
        return
    await append(connection, batch.appends)
    await store.index_children(connection, batch.indexed)
    await store.note_cases(connection, batch.facts)
