"""Readers are shown another version: all at one moment, and only when it holds what the one before does."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import asyncpg

from services.kernel.postgres import Connection, Pool
from services.projections import versions
from services.projections.comparison import SETTLED_AT_ONCE, Comparison, compare, held, settle
from services.projections.errors import BusyError, DifferentError, NoSuchVersionError, NotCaughtUpError
from services.projections.projection import Projection, label
from services.projections.store import SQL
from services.projections.versions import State

TRIES = 20
PAUSE_S = 0.25
LOCK_WITHIN = "300ms"
"""Less than `deadlock_timeout`: of a report and a swap that wait for each other, the swap gives way."""


async def two(pool: Pool, name: str, number: int | None) -> tuple[State, State]:
    """The live version of a projection and another; without a number the newest that is not live.

    Raises NoSuchVersionError.
    """
    states = await versions.every(pool, name)
    live = next((state for state in states if state.live), None)
    if live is None:
        raise NoSuchVersionError(f"there is no projection {name}: `zoeklicht projections list` shows all")
    others = [state for state in states if not state.live and number in {None, state.number}]
    if number == live.number:
        raise NoSuchVersionError(f"{live.label} is what readers see already")
    if not others:
        raise NoSuchVersionError(
            f"there is no version beside {live.label}: `zoeklicht projections rebuild {name}` makes one"
            if number is None
            else f"there is no {label(name, number)}: `zoeklicht projections list` shows all"
        )
    return live, others[-1]


async def swap(
    pool: Pool, name: str, number: int | None, projections: Iterable[Projection], *, force: bool = False
) -> Comparison:
    """Shows readers another version, the newest without a `number`; returns how it differs from the one before.

    With `force` also one that is behind or differs. Raises NoSuchVersionError, NotCaughtUpError, DifferentError,
    BusyError when reports kept the views in use for too long.
    """
    projections = tuple(projections)
    live, other = await two(pool, name, number)
    if not force:
        await _check_whole(pool, other)
    found = await compare(pool, live, other, projections)
    if found.apart and not force:
        raise NotCaughtUpError(_behind(live, other, found.apart))
    if not found.explained and not force:
        raise DifferentError(
            f"{other.label} differs from {live.label}: `zoeklicht projections compare {name}` shows where; with"
            " --force it is shown to readers all the same"
        )
    await _show(pool, live, other, projections, force=force)
    return found


async def _check_whole(pool: Pool, other: State) -> None:
    if other.built_at is None:
        share = f"{other.read:,} of {other.total:,} events" if other.total else "nothing yet"
        raise NotCaughtUpError(
            f"{other.label} is still being built ({share} read): wait until it is, or readers would miss events"
        )
    for row in await pool.fetch(SQL["all_stopped"]):
        if (row["projection"], row["version"]) == (other.name, other.number):
            raise NotCaughtUpError(
                f"{other.label} was stopped at {row['place']}: mend the cause, then"
                f" `zoeklicht projections resume {other.label}`"
            )


def _behind(live: State, other: State, apart: int) -> str:
    many = f"more than {apart - 1:,}" if apart > SETTLED_AT_ONCE else f"{apart:,}"
    return (
        f"{live.label} and {other.label} have not taken in the same of {many} streams: wait until both have caught up"
        " (`zoeklicht projections status`)"
    )


async def _show(
    pool: Pool, live: State, other: State, projections: tuple[Projection, ...], *, force: bool
) -> None:
    async with pool.acquire() as connection:
        for _ in range(TRIES):
            async with held(connection, live, other):
                apart = await settle(connection, live, other, projections)
                if apart and not force:
                    raise NotCaughtUpError(_behind(live, other, apart))
                with suppress(asyncpg.LockNotAvailableError):
                    await _change(connection, live, other)
                    return
            await asyncio.sleep(PAUSE_S)
    raise BusyError(
        f"reports kept the views of {live.name} in use: readers still see {live.label}; try again"
    )


async def _change(connection: Connection, live: State, other: State) -> None:
    async with connection.transaction():
        await connection.execute("select set_config('lock_timeout', $1, true)", LOCK_WITHIN)
        await connection.execute(versions.SQL["install_lock"])
        current = await versions.state_of(connection, other.name, other.number)
        before = await versions.state_of(connection, live.name, live.number)
        if current.live or not before.live:
            raise NoSuchVersionError(
                f"somebody else swapped {live.name} meanwhile: see `zoeklicht projections list`"
            )
        await versions.show(connection, other.name, other.number)
