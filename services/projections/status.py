"""How far the projections are: for whoever waits until they have caught up, and for operators."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.kernel.postgres import Pool
from services.projections import store, versions
from services.projections.projection import Projection, label
from services.projections.registry import PROJECTIONS
from services.projections.store import SQL, Partition
from services.projections.versions import State


@dataclass(frozen=True, slots=True)
class Status:
    """One version. `lag` counts events not yet taken in, None where this software does not have its definition.

    `stopped` says at what, and why, a poison event is. While it is built, `read` of `total` events are in.
    """

    name: str
    version: int
    live: bool
    state: str
    lag: int | None
    moved_at: datetime | None
    definition: int
    created_at: datetime
    read: int = 0
    total: int | None = None
    stopped: str | None = None
    unknown: dict[str, int] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How people call it."""
        return label(self.name, self.version)


async def progress(pool: Pool) -> dict[Partition, int]:
    """(full topic name, partition) → the next offset that the slowest projection of that topic reads.

    A partition that is missing has not been begun: nothing of it is projected.
    """
    return await store.progress(pool, PROJECTIONS)


async def status(
    pool: Pool, ends: Mapping[Partition, int], projections: Sequence[Projection] = PROJECTIONS
) -> list[Status]:
    """Every version of every projection, measured against the end of each partition."""
    checkpoints = await pool.fetch(SQL["all_checkpoints"])
    stops = {(r["projection"], r["version"]): r for r in await pool.fetch(SQL["all_stopped"])}
    unknown = await pool.fetch(SQL["all_unknown"])
    states = await versions.every(pool)
    topics = {(v.name, v.number): v.projection.topics for v in versions.running(states, projections)}
    found = []
    for state in states:
        key = state.name, state.number
        mine = [row for row in checkpoints if (row["projection"], row["version"]) == key]
        at = {(row["topic"], row["partition"]): row["next_offset"] for row in mine}
        stop = stops.get(key)
        found.append(
            Status(
                *key,
                live=state.live,
                state=_stage(state, known=key in topics, stopped=stop is not None),
                lag=_lag(at, ends, topics[key]) + _unread(state) if key in topics else None,
                moved_at=max((row["moved_at"] for row in mine), default=None),
                definition=state.definition,
                created_at=state.created_at,
                read=state.read,
                total=state.total,
                stopped=f"{stop['place']} ({stop['error']})" if stop else None,
                unknown={r["type"]: r["count"] for r in unknown if (r["projection"], r["version"]) == key},
            )
        )
    return found


def _stage(state: State, *, known: bool, stopped: bool) -> str:
    if stopped:
        return "stopped"
    if not known:
        return "outdated"  # made by another definition: it stands still until another version takes its place
    return "following" if state.built_at is not None else "building"


def _lag(at: Mapping[Partition, int], ends: Mapping[Partition, int], topics: tuple[str, ...]) -> int:
    return sum(_behind(at.get(p, 0), end) for p, end in ends.items() if p[0].endswith(topics))


def _unread(state: State) -> int:
    return 0 if state.built_at is not None else max(0, (state.total or 0) - state.read)


def _behind(at: int, end: int) -> int:
    # A position beyond the end was made in an earlier topic: nothing of this one is in.
    return end - at if at <= end else end
