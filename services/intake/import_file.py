"""A file to import, of any length in little memory: its lines, as often as they are asked for, and their places."""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from uuid import UUID

from services.intake.import_lines import MAX_LINE, BadLineError, identified
from services.kernel.errors import ZoeklichtError

_MOST_BYTES = 4 * MAX_LINE
"""No line of so many bytes can hold as few characters as are allowed."""
_AT_ONCE = 1000


class ImportFileError(ZoeklichtError):
    """The file cannot be read; the message says what to do."""


class FileLines:
    """The lines of a file. A pipe is copied to a temporary file without a name first, since lines are read twice."""

    def __init__(self, file: Path) -> None:
        self._name = str(file)
        self._source: BinaryIO = file.open("rb")
        if not self._source.seekable():
            spool = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object
            with self._source as pipe:
                shutil.copyfileobj(pipe, spool)
            self._source = spool

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.close()

    def __iter__(self) -> Iterator[str]:
        """From the beginning. Raises ImportFileError when the file is not UTF-8."""
        self._source.seek(0)
        number = 0
        while line := self._source.readline(_MOST_BYTES):
            number += 1
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = self._source.readline(_MOST_BYTES)
            try:
                # What is cut off may end within a character; such a line is too long anyway.
                yield line.decode(errors="strict" if len(line) < _MOST_BYTES else "replace")
            except UnicodeDecodeError as error:
                raise ImportFileError(
                    f"line {number} of {self._name} is not UTF-8: convert the file first"
                ) from error


class Places:
    """Which line made which event, kept in a temporary database on disk that vanishes when closed."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._rows = sqlite3.connect("")
        self._rows.execute("create table place (event blob primary key, line integer) without rowid")
        self.lines = 0
        """How many lines there are."""
        found = self._identified(lines)
        while chunk := list(islice(found, _AT_ONCE)):
            with self._rows:
                self._rows.executemany("insert or ignore into place values (?, ?)", chunk)

    def _identified(self, lines: Iterable[str]) -> Iterator[tuple[bytes, int]]:
        for number, raw in enumerate(lines, 1):
            self.lines = number
            try:
                if text := raw.strip():
                    yield identified(text)[0].bytes, number
            except BadLineError:
                continue

    def close(self) -> None:
        """Drops them."""
        self._rows.close()

    def of(self, events: Iterable[UUID]) -> dict[UUID, int]:
        """The lines of those events that are of this file."""
        ask = "select line from place where event = ?"
        rows = {event: self._rows.execute(ask, (event.bytes,)).fetchone() for event in events}
        return {event: row[0] for event, row in rows.items() if row}
