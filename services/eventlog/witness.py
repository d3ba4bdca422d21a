"""The log of events under the audit's chain: what was committed is counted up, so that a later change of it is found.

Every round writes one entry for the events that were committed since the last: up to which, how many, and a digest
over the digest before and every field of them. Erasing a child changes no event, so it breaks no digest.
"""

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from services.kernel.audit import Entry, note
from services.kernel.postgres import Connection, Pool, in_transaction, queries

ACTION = "events.witnessed"
WRITER, ROLE = "auditor", "service"
AT_ONCE = 5_000
"""Events of one entry at most, so that a long import is witnessed in pieces."""
BEGINNING = hashlib.sha256(b"").digest()

_SQL = queries("services.eventlog", "witness.sql")
_START = ("0", "0", "0")


def _written(row: Mapping[str, Any]) -> bytes:
    fields = ("-" if value is None else f"+{value}" for value in row.values())
    return b"".join(b"%d:%b" % (len(raw), raw) for raw in (one.encode() for one in fields))


class _Count:
    """Events counted up in the order of the log."""

    def __init__(self, digest: bytes) -> None:
        self._digest = hashlib.sha256(digest)
        self.events = 0
        self.at = _START

    def add(self, row: Mapping[str, Any]) -> None:
        self._digest.update(_written(row))
        self.at = (row["epoch"], row["transaction_id"], row["position"])
        self.events += 1

    @property
    def digest(self) -> bytes:
        return self._digest.digest()


def _subjects(count: _Count) -> list[str]:
    epoch, transaction, position = count.at
    return [
        f"digest:{count.digest.hex()}",
        f"epoch:{epoch}",
        f"events:{count.events}",
        f"position:{position}",
        f"transaction:{transaction}",
    ]


def _read(subjects: Iterable[str]) -> dict[str, str]:
    return dict(one.split(":", 1) for one in subjects)


async def witness(pool: Pool) -> int:
    """Writes the entry for what was committed since the last one; returns how many events that were, 0 for no entry."""

    async def work(connection: Connection) -> int:
        # Two auditors must not count the same events; the last statement of the transaction is the entry.
        await connection.execute("select pg_advisory_xact_lock(hashtextextended('events.witnessed', 116000))")
        last = await connection.fetchval(_SQL["last"], ACTION)
        before = _read(last) if last else None
        at = (before["epoch"], before["transaction"], before["position"]) if before else _START
        count = _Count(bytes.fromhex(before["digest"]) if before else BEGINNING)
        for row in await connection.fetch(_SQL["events_after"], *at, AT_ONCE):
            count.add(row)
        if count.events:
            await note(connection, WRITER, ROLE, ACTION, _subjects(count))
        return count.events

    return await in_transaction(pool, work)


class Witnessed:
    """The same count again, for `zoeklicht audit verify`: entries are added as they are read, in order."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, dict[str, str]]] = []

    def add(self, entry: Entry) -> None:
        """Any entry; others than this module's are passed over."""
        if entry.action == ACTION and entry.role == ROLE:
            self._entries.append((entry.audit_id, _read(entry.subjects)))

    @property
    def events(self) -> int:
        """How many events the entries witness."""
        return sum(int(said["events"]) for _, said in self._entries)

    async def findings(self, pool: Pool) -> AsyncIterator[str]:
        """Which entries do not fit the events that are there now. Reads the whole log once."""
        digest, counts = BEGINNING, iter(self._entries)
        async with pool.acquire() as connection, connection.transaction(readonly=True):
            cursor = await connection.cursor(_SQL["every_event"])
            for number, said in counts:
                count = _Count(digest)
                left = int(said["events"])
                while left and (rows := await cursor.fetch(min(left, 500))):
                    left -= len(rows)
                    for row in rows:
                        count.add(row)
                if left or sorted(_subjects(count)) != sorted(
                    f"{name}:{value}" for name, value in said.items()
                ):
                    yield (
                        f"events up to position {said['position']} are not what entry {number} of the audit"
                        " witnessed: something was changed, removed or slipped in since the entry before"
                    )
                    return
                digest = count.digest
