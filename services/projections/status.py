"""How far the projections are: for whoever waits until they have caught up, and for operators."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.kernel.postgres import Pool
from services.projections import store
from services.projections.registry import PROJECTIONS
from services.projections.store import SQL, Partition


@dataclass(frozen=True, slots=True)
class Status:
    """One projection. `lag` counts messages not yet taken in; `stopped` says at what, and why, a poison event is."""

    name: str
    version: int
    lag: int
    moved_at: datetime | None
    stopped: str | None = None
    unknown: dict[str, int] = field(default_factory=dict)


async def progress(pool: Pool) -> dict[Partition, int]:
    """(full topic name, partition) → the next offset that the slowest projection of that topic reads.

    A partition that is missing has not been begun: nothing of it is projected.
    """
    return await store.progress(pool, PROJECTIONS)


async def status(pool: Pool, ends: Mapping[Partition, int]) -> list[Status]:
    """Every projection, measured against the end of each partition."""
    checkpoints = await pool.fetch(SQL["all_checkpoints"])
    stops = {(r["projection"], r["version"]): r for r in await pool.fetch(SQL["all_stopped"])}
    unknown = await pool.fetch(SQL["all_unknown"])
    found = []
    for projection in PROJECTIONS:
        key = projection.name, projection.version
        mine = [row for row in checkpoints if (row["projection"], row["version"]) == key]
        at = {(row["topic"], row["partition"]): row["next_offset"] for row in mine}
        stop = stops.get(key)
        found.append(
            Status(
                *key,
                lag=sum(
                    _behind(at.get(p, 0), end) for p, end in ends.items() if p[0].endswith(projection.topics)
                ),
                moved_at=max((row["moved_at"] for row in mine), default=None),
                stopped=f"{stop['place']} ({stop['error']})" if stop else None,
                unknown={r["type"]: r["count"] for r in unknown if (r["projection"], r["version"]) == key},
            )
        )
    return found


def _behind(at: int, end: int) -> int:
    # A position beyond the end was made in an earlier topic: nothing of this one is in.
    return end - at if at <= end else end
