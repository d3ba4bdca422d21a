"""Two versions of a read model compared at one point of the log, while both go on.

Their gates close for a moment: no batch is committed. What one has taken in and the other not is read from the event
store, so that both hold exactly the same events; a snapshot is taken, the gates open, and the comparison takes its time.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from services.kernel.postgres import Connection, Pool
from services.projections import store, versions
from services.projections.engine import Engine
from services.projections.projection import Projection, Version
from services.projections.versions import SQL, State

SETTLED_AT_ONCE = 1000
"""Streams that may be brought level while the gates are closed: more would hold up readers of the log."""
EXAMPLES = 5
_LONG_S = 3600.0


@dataclass(frozen=True, slots=True)
class Difference:
    """A table that two versions do not agree on: rows that only one of them has, and keys of some of these rows."""

    table: str
    only_old: int
    only_new: int
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two versions do not have in common. `rows` were compared; of tables and columns that both have."""

    old: str
    new: str
    rows: int
    differences: tuple[Difference, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    redefined: bool
    apart: int

    @property
    def equal(self) -> bool:
        """Whether readers see no difference."""
        return not (self.differences or self.only_old or self.only_new or self.apart)

    @property
    def explained(self) -> bool:
        """Whether nothing differs, or the new version was made to differ by a change of its definition."""
        return self.equal or (self.redefined and not self.apart)


async def compare(pool: Pool, old: State, new: State, projections: Iterable[Projection]) -> Comparison:
    """Compares two versions; of two that are too far from each other it says how far."""
    async with pool.acquire() as connection:
        # A snapshot that only reads holds up nobody, however long it takes.
        await connection.execute("set transaction_timeout = 0")
        async with held(connection, old, new):
            apart = await settle(connection, old, new, projections)
            snapshot = connection.transaction(isolation="repeatable_read", readonly=True)
            await snapshot.start()
            await connection.fetchval("select 1")  # here the snapshot is taken
        try:
            return await _compare(connection, old, new, apart)
        finally:
            await snapshot.rollback()


@asynccontextmanager
async def held(connection: Connection, *states: State) -> AsyncIterator[None]:
    """Closes the gates of these versions: until the end, nobody but this session commits anything of them."""
    gates = sorted(versions.gate(state.label) for state in states)
    closed = []
    try:
        for gate in gates:
            await connection.execute(SQL["close_gate"], gate)
            closed.append(gate)
        yield
    finally:
        for gate in closed:
            await connection.execute(SQL["open_gate"], gate)


async def settle(connection: Connection, old: State, new: State, projections: Iterable[Projection]) -> int:
    """Brings two held versions level; how many streams they still do not agree on, counted to `SETTLED_AT_ONCE` + 1.

    Two that are too far from each other stay where they are, and so does one that was stopped by an event, or whose
    definition this software does not have.
    """
    rows = await _apart(connection, old, new)
    if len(rows) > SETTLED_AT_ONCE:
        return len(rows)
    able = {version.label: version for version in versions.running([old, new], projections)}
    for state, has, wants in ((old, "one", "other"), (new, "other", "one")):
        version = able.get(state.label)
        missing = [row for row in rows if row[has] < row[wants]]
        if version is not None and missing and not await store.is_stopped(connection, version):
            await _bring(connection, version, missing, has, wants)
    return len(await _apart(connection, old, new))


async def _apart(connection: Connection, old: State, new: State) -> list[Any]:
    query = SQL["apart"].format(old=old.schema, new=new.schema)
    return list(await connection.fetch(query, SETTLED_AT_ONCE + 1))


async def _bring(connection: Connection, version: Version, missing: list[Any], has: str, wants: str) -> None:
    rows = await connection.fetch(
        SQL["missing"],
        [row["stream"] for row in missing],
        [row[has] for row in missing],
        [row[wants] for row in missing],
    )
    if rows:
        await Engine(connection, version).take_from_store(rows)


Columns = Mapping[str, Mapping[str, tuple[str, bool]]]
"""Table → column → its type, and whether it belongs to the key."""


async def _compare(connection: Connection, old: State, new: State, apart: int) -> Comparison:
    before, after = await _columns(connection, old), await _columns(connection, new)
    rows, differences = 0, []
    for table in sorted(before.keys() & after.keys()):
        common = sorted(c for c in before[table] if before[table][c] == after[table].get(c))
        key = [column for column in common if after[table][column][1]] or common
        counted, difference = await _compare_table(connection, (old, new), table, common, key)
        rows += counted
        if difference:
            differences.append(difference)
    places = [{f"{t}.{c}" for t, cs in one.items() for c in cs} for one in (before, after)]
    return Comparison(
        old.label,
        new.label,
        rows,
        tuple(differences),
        tuple(sorted(places[0] - places[1])),
        tuple(sorted(places[1] - places[0])),
        old.definition != new.definition,
        apart,
    )


async def _columns(connection: Connection, state: State) -> Columns:
    found: dict[str, dict[str, tuple[str, bool]]] = defaultdict(dict)
    for row in await connection.fetch(SQL["columns"], state.schema):
        found[row["table_name"]][row["name"]] = row["type"], row["is_key"]
    return found


async def _compare_table(
    connection: Connection, pair: tuple[State, State], table: str, columns: list[str], key: list[str]
) -> tuple[int, Difference | None]:
    places = [f'"{state.schema}"."{table}"' for state in pair]
    listed = ", ".join(f'"{column}"' for column in columns)
    sums = [
        await connection.fetchrow(SQL["sum"].format(columns=listed, table=place), timeout=_LONG_S)
        for place in places
    ]
    counted = sums[1]["rows"]
    if sums[0] == sums[1]:
        return counted, None
    query = SQL["differences"].format(
        columns=listed, key=", ".join(f'"{column}"' for column in key), old=places[0], new=places[1]
    )
    row = await connection.fetchrow(query, EXAMPLES, timeout=_LONG_S)
    return counted, Difference(table, row["only_old"], row["only_new"], tuple(row["keys"] or ()))
