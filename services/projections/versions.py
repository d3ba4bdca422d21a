"""Versions of read models: made, shown to readers, dropped. Each has tables of its own in a schema of its own."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.eventlog.relay import Point
from services.kernel.paging import all_clear
from services.kernel.postgres import Connection, Pool, queries
from services.projections.errors import InstallError, NoSuchVersionError, VersionIsLiveError
from services.projections.projection import Projection, Version, label, schema
from services.projections.registry import PROJECTIONS

SQL = queries("services.projections", "versions.sql")
_PATH = "select set_config('search_path', $1, true)"


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a version. `total` counts the events to read before it is built; None: not begun."""

    name: str
    number: int
    definition: int
    live: bool
    created_at: datetime
    at: Point
    read: int
    total: int | None
    built_at: datetime | None
    swapped_at: datetime | None
    digest: str | None = None

    @property
    def label(self) -> str:
        """How people call it."""
        return label(self.name, self.number)

    @property
    def schema(self) -> str:
        """Where its tables are."""
        return schema(self.name, self.number)


async def every(source: Pool | Connection, name: str | None = None) -> list[State]:
    """Every version of every projection, or of one, the oldest first."""
    return [_state(row) for row in await source.fetch(SQL["every"], name)]


async def state_of(source: Pool | Connection, name: str, number: int) -> State:
    """A version. Raises NoSuchVersionError."""
    for state in await every(source, name):
        if state.number == number:
            return state
    raise NoSuchVersionError(f"there is no {label(name, number)}: `zoeklicht projections list` shows all")


def running(states: Iterable[State], projections: Iterable[Projection] = PROJECTIONS) -> list[Version]:
    """The versions that this software can go on with: those made by the definitions that it has."""
    definitions = {(p.name, p.definition): p for p in projections}
    return [
        Version(definitions[state.name, state.definition], state.number)
        for state in states
        if (state.name, state.definition) in definitions
    ]


async def install(pool: Pool, projections: Iterable[Projection] = PROJECTIONS) -> list[str]:
    """Makes the first version of a projection that is new, and a version beside the live one of a changed definition.

    One that has not begun gives way at once: there is nothing to read in it. Returns the names of what it made.
    Raises InstallError.
    """
    made = []
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(SQL["install_lock"])
        for projection in projections:
            states = await every(connection, projection.name)
            same = [state for state in states if state.definition == projection.definition]
            for state in same:
                await _check_tables(connection, projection, state)
            if not same:
                version = await _add(connection, projection)
                made.append(version.label)
                if not await connection.fetchval(SQL["begun"], projection.name):
                    await show(connection, version.name, version.number)
                    for state in states:
                        await _forget(connection, state)
    return made


async def _check_tables(connection: Connection, projection: Projection, state: State) -> None:
    digest = _digest(projection)
    if state.digest is None:
        await connection.execute(SQL["adopt"], state.name, state.number, digest)
    elif state.digest != digest:
        raise InstallError(
            f"the tables of projection {projection.name} were changed after {state.label} was made: raise its definition"
        )


async def add(pool: Pool, projection: Projection) -> Version:
    """Makes a version beside those there are, empty; the process projections builds it. Raises InstallError."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(SQL["install_lock"])
        return await _add(connection, projection)


async def _add(connection: Connection, projection: Projection) -> Version:
    number = await connection.fetchval(
        SQL["add"], projection.name, projection.definition, _digest(projection)
    )
    version = Version(projection, number)
    await connection.execute(f'create schema "{version.schema}"')
    before = await connection.fetchval("select current_setting('search_path')")
    await connection.execute(_PATH, version.schema)
    await connection.execute(SQL["create_seen"])
    await connection.execute(projection.tables)
    await connection.execute(_PATH, before)
    tables = await tables_of(connection, version.schema)
    if not tables or any(not re.fullmatch(f"{projection.name}(_.+)?", table) for table in tables):
        raise InstallError(
            f"projection {projection.name}: its tables must be named {projection.name} or {projection.name}_…, without a schema"
        )
    return version


def _digest(projection: Projection) -> str:
    """Of the tables' SQL; comments and spaces say nothing."""
    words = re.sub(r"--.*", "", projection.tables).split()
    return hashlib.sha256(" ".join(words).encode()).hexdigest()


async def tables_of(connection: Connection, schema: str) -> list[str]:
    """A version's tables."""
    return list(dict.fromkeys(row["table_name"] for row in await connection.fetch(SQL["columns"], schema)))


async def show(connection: Connection, name: str, number: int) -> None:
    """Lets readers see this version and no other, in the caller's transaction: one moment for all of its tables."""
    for state in await every(connection, name):
        if state.live:
            for table in await tables_of(connection, state.schema):
                await connection.execute(f'drop view if exists projections."{table}"')
    new = schema(name, number)
    for table in await tables_of(connection, new):
        await connection.execute(f'create view projections."{table}" as select * from "{new}"."{table}"')
    await connection.execute(SQL["no_longer_live"], name)
    await connection.execute(SQL["make_live"], name, number)


async def enter(connection: Connection, version: Version) -> None:
    """Begins a transaction of a version: names without a schema are its tables. Waits while somebody holds its gate."""
    await connection.execute(SQL["enter"], version.schema, gate(version.label))


def gate(version: str) -> str:
    """What the lock is called that lets a version's transactions through."""
    return f"projection gate:{version}"


async def drop(pool: Pool, name: str, number: int) -> None:
    """Drops a version that readers do not see, with all that was noted of it.

    Raises NoSuchVersionError, VersionIsLiveError.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(SQL["install_lock"])
        await connection.execute(SQL["lock_gate"], gate(label(name, number)))
        state = await state_of(connection, name, number)
        if state.live:
            raise VersionIsLiveError(f"readers see {state.label}: swap to another version first")
        await _forget(connection, state)


async def _forget(connection: Connection, state: State) -> None:
    for query in ("version", "checkpoint", "unknown", "stop"):
        await connection.execute(SQL[f"forget_{query}"], state.name, state.number)
    await all_clear(connection, [matter(state.label)])
    await connection.execute(f'drop schema "{state.schema}" cascade')


def matter(version: str) -> str:
    """What a stopped version is paged as."""
    return f"projection:{version}"


def _state(row: Any) -> State:
    return State(
        name=row["projection"],
        number=row["version"],
        definition=row["definition"],
        live=row["live"],
        created_at=row["created_at"],
        at=Point.of(row),
        read=row["events_read"],
        total=row["events_total"],
        built_at=row["built_at"],
        swapped_at=row["swapped_at"],
        digest=row["tables_digest"],
    )
