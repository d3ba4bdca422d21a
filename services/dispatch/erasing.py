"""The part of dispatch in an erasure: frozen bodies that nobody opens any more, and partners who say that they deleted."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog

from services.dispatch import replay
from services.dispatch.feeds import OVER_FOR
from services.kernel.erasure.jobs import POLL_S, Job, do_parts
from services.kernel.erasure.jobs import SQL as JOBS
from services.kernel.postgres import AWAY, Connection, Pool, in_transaction, queries
from services.kernel.problems import Problem
from services.kernel.service import Runtime
from services.kernel.vault import Vault, key_name

PART = "dispatch"
TELL_AGAIN_AFTER = timedelta(hours=1)
"""Whoever took the withdrawal this long ago, and has not said that the alert is gone, is sent it once more."""

LATE = timedelta(minutes=15)
"""Longer than an attempt may take and its report be kept while the database is away."""

_SQL = queries("services.dispatch", "erasing.sql")
_PLANS = queries("services.dispatch")
log = structlog.get_logger()

Place = tuple[UUID, UUID]
"""A recipient and an alert."""


async def erase(pool: Pool, vault: Vault, job: Job) -> Mapping[str, int] | None:
    """Destroys the keys of every alert about these cases, and asks who had one. None while one is not withdrawn yet."""
    await in_transaction(pool, _after_plans)
    rows = await pool.fetch(_SQL["alerts"], list(job.cases))
    alerts = [row["alert_id"] for row in rows]
    # At once, also while the withdrawal is on its way: that one needs no key.
    await vault.destroy([key_name("alert", one) for one in alerts])
    if not all(row["withdrawn"] for row in rows):
        return None

    async def work(connection: Connection) -> tuple[Mapping[str, int], list[Place]]:
        had = await connection.fetch(_SQL["had"], alerts)
        told = [(row["recipient_id"], row["alert_id"]) for row in had]
        names = [row["name"] for row in had]
        await connection.execute(JOBS["partners_told"], job.erasure_id, *_columns(told), names)
        erased = {
            "alerts": len(alerts),
            "frozen_bodies": await connection.fetchval(_SQL["forget_bodies"], alerts, OVER_FOR),
            "answers_of_partners": await connection.fetchval(_SQL["forget_heads"], alerts),
        }
        return erased, told

    erased, told = await in_transaction(pool, work)
    await confirm(pool)
    await _tell_again(pool, told)
    return erased


async def _after_plans(connection: Connection) -> None:
    """Waits until what is being planned now is written; later plans see that the campaigns are stopped."""
    await connection.execute(_PLANS["recipients_change"])


async def forget_late_answers(pool: Pool) -> None:
    """Deletes what recipients answered to attempts that were under way while their alert was erased."""
    await pool.execute(_SQL["forget_late_heads"], LATE)


def _columns(places: Sequence[Place]) -> tuple[list[UUID], list[UUID]]:
    return [recipient for recipient, _ in places], [alert for _, alert in places]


async def confirm(pool: Pool) -> int:
    """Takes over which partners have said by now that an erased alert is gone; returns how many alerts of partners."""
    waiting = await pool.fetch(JOBS["unconfirmed_alerts"])
    if not waiting:
        return 0
    places = _columns([(row["recipient_id"], row["alert_id"]) for row in waiting])
    rows = await pool.fetch(_SQL["removed"], *places)
    if rows:
        at = [row["at"] for row in rows]
        removed = _columns([(row["recipient_id"], row["alert_id"]) for row in rows])
        await pool.execute(JOBS["confirmed"], *removed, at)
    return len(rows)


async def _tell_again(pool: Pool, told: Sequence[Place]) -> None:
    silent = {(row["recipient_id"], row["alert_id"]) for row in await pool.fetch(JOBS["unconfirmed_alerts"])}
    places = _columns([one for one in told if one in silent])
    for row in await pool.fetch(_SQL["to_tell_again"], *places, TELL_AGAIN_AFTER):
        with suppress(Problem):  # a newer one is on its way already
            await in_transaction(pool, partial(replay.of_delivery, delivery=row["delivery_id"]))


async def run_erasing(runtime: Runtime, vault: Vault) -> None:
    """Does the part, and listens to the partners, until the service is to stop."""
    while not runtime.stop.is_set():
        try:
            with runtime.works.doing("erasures"):
                await do_parts(runtime.pool, PART, partial(erase, runtime.pool, vault))
                await forget_late_answers(runtime.pool)
                await confirm(runtime.pool)
        except AWAY as error:
            log.warning("erasures wait", error_class=type(error).__name__)
        await runtime.pause(POLL_S)
