"""`zoeklicht projections`: looking at versions of read models, building, comparing, swapping and dropping them."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Column, Table

from schemas.events import TOPICS
from services.cli.building import Wait, until_built
from services.cli.caught_up import topics_reader
from services.cli.insight import pool_of
from services.cli.local import System, system, with_services
from services.cli.place import Place
from services.cli.terminal import err
from services.kernel.kafka import end_offsets
from services.kernel.postgres import Pool
from services.projections import store, versions
from services.projections.comparison import Comparison, compare
from services.projections.errors import BeingBuiltError, NoSuchVersionError
from services.projections.projection import Projection, label
from services.projections.registry import PROJECTIONS
from services.projections.status import Status, status
from services.projections.swapping import swap, two

NEEDED = ("relay", "projections")
"""The services that build a version and bring it up to the newest event."""

out = Console(highlight=False, soft_wrap=True)


@asynccontextmanager
async def _database(data: Path) -> AsyncIterator[Pool]:
    async with system(Place(data), with_kafka=False) as found, pool_of(found) as pool:
        yield pool


async def show_list(data: Path, form: str) -> None:
    """Every version of every read model, and what it is made from."""
    async with _database(data) as pool:
        states = await versions.every(pool)
    topics = {projection.name: projection.topics for projection in PROJECTIONS}
    if form == "json":
        _json(
            [
                {
                    "projection": state.name,
                    "version": state.number,
                    "live": state.live,
                    "definition": state.definition,
                    "topics": topics.get(state.name, ()),
                    "created_at": state.created_at,
                    "built_at": state.built_at,
                    "swapped_at": state.swapped_at,
                }
                for state in states
            ]
        )
        return
    table = Table(Column("version", no_wrap=True), "readers see it", "definition", "made", "topics")
    for state in states:
        table.add_row(
            state.label,
            "yes" if state.live else "no",
            str(state.definition),
            f"{state.created_at:%Y-%m-%d %H:%M:%S}",
            ", ".join(topics.get(state.name, ("this software does not know it",))),
        )
    out.print(table)


async def show_status(data: Path, form: str) -> int:
    """How far each version is; 1 when one was stopped by an event."""
    async with system(Place(data)) as found, pool_of(found) as pool:
        states = await _states(found, pool)
    if form == "json":
        _json([asdict(state) for state in states])
    else:
        out.print(_table(states))
    return 1 if any(state.stopped for state in states) else 0


async def _states(found: System, pool: Pool) -> list[Status]:
    async with topics_reader(found.settings) as client:
        ends = await end_offsets(client, [found.settings.topic(name) for name in TOPICS])
        return await status(pool, ends)


def _table(states: list[Status]) -> Table:
    table = Table(
        Column("version", no_wrap=True),
        "readers see it",
        "state",
        "behind",
        "moved",
        "stopped at",
        "unknown types skipped",
    )
    for one in states:
        table.add_row(
            one.label,
            "yes" if one.live else "no",
            _stage(one),
            "-" if one.lag is None else f"{one.lag:,}",
            f"{one.moved_at:%Y-%m-%d %H:%M:%S}" if one.moved_at else "never",
            one.stopped or "none",
            ", ".join(f"{name} x{count}" for name, count in one.unknown.items()) or "none",
        )
    return table


def _stage(one: Status) -> str:
    if one.state == "building" and one.total:
        return f"building: {one.read:,} of {one.total:,}"
    return one.state


async def rebuild(data: Path, name: str, *, swap_then: bool, wait: bool) -> int:
    """Builds a version beside the live one, waits for it, and says how it differs; 1 when that is unexplained.

    Raises NoSuchVersionError, BeingBuiltError, ProjectionStoppedError; with `swap_then` what `swap` raises.
    """
    projection = _projection(name)
    async with system(Place(data)) as found, pool_of(found) as pool:
        for state in await versions.every(pool, name):
            if state.built_at is None:
                raise BeingBuiltError(
                    f"{state.label} is being built already: wait for it, or `zoeklicht projections drop {state.label}`"
                )
        version = await versions.add(pool, projection)
        out.print(f"{version.label} is made; readers still see the version before")
        if not wait:
            return 0
        async with with_services(found, NEEDED), topics_reader(found.settings) as client:
            await until_built(Wait(found.settings, pool, client, version))
            if swap_then:
                return _told(await swap(pool, name, version.number, PROJECTIONS), swapped=True)
            old, new = await two(pool, name, version.number)
            return _told(await compare(pool, old, new, PROJECTIONS))


async def show_comparison(data: Path, name: str, to: int | None) -> int:
    """What another version holds differently; 1 when it does."""
    async with _database(data) as pool:
        old, new = await two(pool, name, to)
        found = await compare(pool, old, new, PROJECTIONS)
    _told(found)
    return 0 if found.equal else 1


async def swap_to(data: Path, name: str, to: int | None, *, force: bool) -> None:
    """Shows readers another version. Raises what `swap` raises."""
    async with _database(data) as pool:
        _told(await swap(pool, name, to, PROJECTIONS, force=force), swapped=True)


def _told(found: Comparison, *, swapped: bool = False) -> int:
    if found.apart:
        out.print(
            f"{found.old} and {found.new} have not taken in the same: {found.apart:,} streams are apart"
        )
    for one in found.differences:
        out.print(
            f"{one.table}: {one.only_old:,} rows only in {found.old}, {one.only_new:,} only in {found.new}"
            f" (keys {', '.join(one.keys)})"
        )
    for version, columns in ((found.old, found.only_old), (found.new, found.only_new)):
        if columns:
            out.print(f"only in {version}: {', '.join(columns)}")
    if found.equal:
        out.print(f"{found.new} holds what {found.old} does: {found.rows:,} rows")
    elif found.explained:
        out.print(f"the definition changed: {found.new} is meant to differ")
    name = found.new.partition(".")[0]
    if swapped:
        out.print(f"readers see {found.new}; when {found.old} is not needed any more: drop it")
    elif found.explained:
        out.print(f"`zoeklicht projections swap {name}` shows it to readers")
    else:
        err.print(f"{found.new} differs from {found.old}, and no change of the definition says why")
    return 0 if swapped or found.explained else 1


async def resume(data: Path, version: str) -> None:
    """Lets a stopped version go on. Raises NoSuchVersionError."""
    async with _database(data) as pool:
        state = await versions.state_of(pool, *_parsed(version))
        async with pool.acquire() as connection, connection.transaction():
            had = await store.unstop(connection, state.name, state.number)
    out.print(f"{state.label} goes on" if had else f"{state.label} was not stopped")


async def drop_version(data: Path, version: str) -> None:
    """Drops a version. Raises NoSuchVersionError, VersionIsLiveError."""
    async with _database(data) as pool:
        name, number = _parsed(version)
        await versions.drop(pool, name, number)
    out.print(f"{label(name, number)} is dropped")


def _parsed(version: str) -> tuple[str, int]:
    found = re.fullmatch(r"([a-z0-9_]+)\.v([0-9]{1,9})", version)
    if not found:
        raise NoSuchVersionError("name a version as `zoeklicht projections list` does: annual.v2")
    return found[1], int(found[2])


def _projection(name: str) -> Projection:
    for projection in PROJECTIONS:
        if projection.name == name:
            return projection
    raise NoSuchVersionError(
        f"there is no projection {name}: take one of {', '.join(one.name for one in PROJECTIONS)}"
    )


def _json(content: object) -> None:
    out.file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())
    out.file.flush()
