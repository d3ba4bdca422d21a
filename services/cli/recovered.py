"""A database that PostgreSQL itself recovered to a moment, from a base backup and its archive of WAL.

What PostgreSQL cannot know is what a restore is for: what was lit then may be over, and who was erased since stays erased.
"""

from datetime import datetime
from typing import NamedTuple

from services.cli.database import steps_of
from services.kernel.backup import UnfitBackupError, check_steps
from services.kernel.backup.unfinished import begin, unfinished
from services.kernel.migrations import PACKAGES
from services.kernel.postgres import create_pool, queries
from services.kernel.settings import Settings

_SQL = queries("services.cli", "restore.sql")


class Moment(NamedTuple):
    """What the log is after it came back. `mark`: of this restore alone."""

    mark: str
    events: int
    at: datetime


async def take_over(settings: Settings) -> Moment:
    """Marks the database as one whose restore has not finished, and says what is in it.

    Raises UnfitBackupError, and changes nothing, unless PostgreSQL recovered it and nobody works with it.
    """
    url = settings.database_url.get_secret_value()
    pool = await create_pool(url, size=1, application="zoeklicht-restore")
    try:
        if await pool.fetchval("select pg_is_in_recovery()"):
            raise UnfitBackupError(
                "PostgreSQL is still recovering: wait, and let it end there with recovery_target_action = 'promote'"
            )
        if not await pool.fetchval(_SQL["loaded"]):
            raise UnfitBackupError("no installation lies in this database: see what DATABASE_URL names")
        found = await pool.fetchrow(_SQL["line"])
        if found["line"] == 1:
            raise UnfitBackupError(
                "PostgreSQL never recovered this database to another moment: name a backup, or recover it first"
            )
        if busy := [row["name"] for row in await pool.fetch(_SQL["others"])]:
            raise UnfitBackupError(f"{', '.join(busy)} work with this database: stop them first")
        mark = f"recovered-{found['server']}-{found['line']}"
        before = await unfinished(pool)
        if before not in {None, "", mark}:
            raise UnfitBackupError(
                "a restore of a backup has not finished in this database: give that command again"
            )
        steps = [(row["owner"], row["name"], row["digest"]) for row in await pool.fetch(_SQL["steps"])]
        check_steps(steps, steps_of(PACKAGES), "the version that ran on it")
        await begin(pool, mark)
        return Moment(mark, *await pool.fetchrow(_SQL["last"], timeout=3600))
    finally:
        await pool.close()
