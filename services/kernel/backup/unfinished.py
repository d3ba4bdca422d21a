"""A mark on a database that a restore has not finished: whoever would work with it is told to wait."""

from services.kernel.backup.errors import BackupError
from services.kernel.postgres import Connection, Pool

_MARK = "public.unfinished_restore"


async def begin(source: Pool | Connection, digest: str) -> None:
    """Marks the database; `digest` is that of the backup's content. Again and again is as good as once."""
    await source.execute(f"create table if not exists {_MARK} (digest text primary key)")
    await source.execute(f"insert into {_MARK} values ($1) on conflict do nothing", digest)


async def unfinished(source: Pool | Connection) -> str | None:
    """The digest of the backup of which a restore has not finished; None when there is no such thing."""
    if await source.fetchval("select to_regclass($1)", _MARK) is None:
        return None
    digest: str | None = await source.fetchval(f"select min(digest) from {_MARK}")
    return digest or ""


async def finish(source: Pool | Connection) -> None:
    """Takes the mark away."""
    await source.execute(f"drop table if exists {_MARK}")


async def check_finished(source: Pool | Connection) -> None:
    """Raises BackupError while a restore has not finished: keys may be missing, or alerts lit that are over."""
    # Only whether it is there: services may read no more of it.
    if await source.fetchval("select to_regclass($1)", _MARK) is not None:
        raise BackupError(
            "a restore into this database has not finished: run the same `zoeklicht restore` again, it goes on"
        )
