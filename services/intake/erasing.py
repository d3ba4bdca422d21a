"""The part of intake in an erasure, and its end: keys destroyed, copies gone, everybody's part done, everybody told."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial

import structlog

from schemas.events import ErasureCompleted, ErasureExecuted, EventData
from services.eventlog.store import Append, Cause, NewEvent, append, case_stream, lock_streams
from services.intake import store
from services.intake.domain.erasure import erasure_stream
from services.intake.handlers.erasures import load_erasure
from services.intake.handlers.steps import IntakeDeps
from services.intake.store import SQL
from services.kernel.erasure.jobs import PARTS, Job, do_parts, erased_by_all, jobs
from services.kernel.erasure.jobs import SQL as JOBS
from services.kernel.paging import all_clear, page
from services.kernel.postgres import Connection, in_transaction
from services.kernel.vault import key_name

ACTOR = "intake"
PART = "intake"

log = structlog.get_logger()


async def erase(deps: IntakeDeps, job: Job) -> Mapping[str, int]:
    """Destroys the keys of the children and of the texts of their cases, and deletes what only they could open."""
    names = [key_name("child", one) for one in job.children] + [key_name("case", one) for one in job.cases]
    await deps.vault.destroy(names)

    async def work(connection: Connection) -> Mapping[str, int]:
        # Whoever fetched a key before it was destroyed writes first; nobody gets one any more.
        await lock_streams(connection, [case_stream(one) for one in job.cases])
        rows = await connection.fetch(SQL["campaigns_of"], list(job.cases))
        shown = [row["campaign_id"] for row in rows]
        paths = [str(one) for one in (*job.cases, *shown)]
        await store.forget_children(connection, job.children)
        return {
            "children": len(job.children),
            "cases": len(job.cases),
            "keys": len(names),
            "photos": await connection.fetchval(SQL["forget_photos"], list(job.children)),
            "picture_addresses": await connection.fetchval(SQL["forget_links"], shown),
            "kept_answers": await connection.fetchval(SQL["forget_answers"], paths),
        }

    return await in_transaction(deps.pool, work)


async def run_erasures(deps: IntakeDeps) -> int:
    """Everything about erasures that can be done now; returns how much that was."""
    done = await do_parts(deps.pool, PART, partial(erase, deps))
    for job in await jobs(deps.pool, "executable", list(PARTS), len(PARTS)):
        await in_transaction(deps.pool, partial(_executed, deps, job))
        done += 1
    for job in await jobs(deps.pool, "completable"):
        await in_transaction(deps.pool, partial(_completed, job))
        done += 1
    return done


async def remind(deps: IntakeDeps) -> None:
    """Pages somebody for partners that are silent for too long."""
    await in_transaction(deps.pool, partial(_remind, deps))


async def _executed(deps: IntakeDeps, job: Job, connection: Connection) -> None:
    await lock_streams(connection, [erasure_stream(job.erasure_id)])
    if not (await load_erasure(connection, job.erasure_id)).executed_at:
        today = (await store.database_now(connection)).astimezone(deps.settings.zone).date()
        data = ErasureExecuted(
            erasure_id=job.erasure_id,
            erased=await erased_by_all(connection, job.erasure_id),
            keys_in_backups_until=today + timedelta(days=deps.settings.vault_backup_days),
        )
        await _append(connection, job, data)
    await connection.execute(JOBS["executed"], job.erasure_id)
    log.info("erasure executed", erasure_id=str(job.erasure_id))


async def _completed(job: Job, connection: Connection) -> None:
    await lock_streams(connection, [erasure_stream(job.erasure_id)])
    if not (await load_erasure(connection, job.erasure_id)).completed_at:
        partners = await connection.fetch(JOBS["partners"], job.erasure_id)
        given_up = sum(row["given_up_at"] is not None for row in partners)
        data = ErasureCompleted(
            erasure_id=job.erasure_id, confirmed=len(partners) - given_up, given_up=given_up
        )
        await _append(connection, job, data)
    await connection.execute(JOBS["completed"], job.erasure_id)
    await all_clear(connection, [_matter(job.erasure_id)])
    log.info("erasure completed", erasure_id=str(job.erasure_id))


async def _append(connection: Connection, job: Job, data: EventData) -> None:
    erasure = await load_erasure(connection, job.erasure_id)
    cause = Cause(ACTOR, f"erasure-{job.erasure_id}")
    one = Append(erasure.stream, erasure.subject, [NewEvent(data)], cause, erasure.version)
    await append(connection, [one])


def _matter(erasure_id: object) -> str:
    return f"erasure-unconfirmed:{erasure_id}"


async def _remind(deps: IntakeDeps, connection: Connection) -> None:
    after = timedelta(days=deps.settings.erasure_confirm_days)
    for row in await connection.fetch(JOBS["unconfirmed"], after):
        text = (
            f"{row['partners']} partners have not confirmed that they deleted what erasure {row['erasure_id']} is about:"
            " call them, they are in GET /v1/erasures/{id}; or give them up there"
        )
        await page(connection, _matter(row["erasure_id"]), text, lasting=True)
