"""The work that follows an approved erasure. Each service does its part in its own process, in any order.

A part is repeated until it is recorded as done, so it must be safe to do twice: a process that is killed half-way
leaves nothing behind that the next one would not erase.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import orjson
import structlog

from services.kernel.paging import all_clear, page
from services.kernel.postgres import AWAY, Connection, Pool, in_transaction, queries
from services.kernel.service import Runtime

PARTS = ("intake", "dispatch", "volunteers")
"""Who erases: whoever keeps anything of a child beside the log."""
POLL_S = 1.0

SQL = queries("services.kernel.erasure")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Job:
    """An approved erasure: these children are forgotten, and every text of these cases."""

    erasure_id: UUID
    children: Sequence[UUID]
    cases: Sequence[UUID]
    approved_at: datetime


Part = Callable[[Job], Awaitable[Mapping[str, int] | None]]
"""Erases a service's part and counts what is gone. None: not yet possible, to be tried again."""


async def jobs(source: Pool | Connection, query: str, *arguments: object) -> list[Job]:
    """The erasures that one of the queries finds."""
    return [Job(**row) for row in await source.fetch(SQL[query], *arguments)]


async def do_parts(pool: Pool, part: str, work: Part) -> int:
    """Does what a service has not done yet; returns how many erasures that were."""
    done = 0
    for job in await jobs(pool, "waiting", part):
        try:
            erased = await work(job)
        except AWAY:
            raise
        except Exception as error:  # the others must not wait for it
            log.exception("an erasure fails", erasure_id=str(job.erasure_id), part=part, exc_info=error)
            await _page(pool, job, part)
            continue
        if erased is None:
            continue
        await pool.execute(SQL["part_done"], job.erasure_id, part, orjson.dumps(dict(erased)).decode())
        await in_transaction(pool, partial(all_clear, matters=[_matter(job, part)]))
        log.info("erased", erasure_id=str(job.erasure_id), part=part, **erased)
        done += 1
    return done


def _matter(job: Job, part: str) -> str:
    return f"erasure-stuck:{job.erasure_id}:{part}"


async def _page(pool: Pool, job: Job, part: str) -> None:
    text = (
        f"erasure {job.erasure_id} does not get on in {part}: it is tried every second, and nothing of it was taken"
        " back; see the log of that process"
    )
    await in_transaction(pool, partial(page, matter=_matter(job, part), text=text, lasting=True))


async def run_part(runtime: Runtime, part: str, work: Part) -> None:
    """Does a service's part every second until it is to stop; a database that is away for a while ends nothing."""
    while not runtime.stop.is_set():
        try:
            with runtime.works.doing("erasures"):
                await do_parts(runtime.pool, part, work)
        except AWAY as error:
            log.warning("erasures wait", error_class=type(error).__name__)
        await runtime.pause(POLL_S)


async def erased_by_all(source: Pool | Connection, erasure_id: UUID) -> dict[str, int]:
    """What all parts erased, counted together."""
    counted: dict[str, int] = {}
    for row in await source.fetch(SQL["erased"], erasure_id):
        for name, count in orjson.loads(row["erased"]).items():
            counted[name] = counted.get(name, 0) + count
    return counted
