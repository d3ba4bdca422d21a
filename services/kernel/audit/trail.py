"""The entries of the audit: append-only rows that name what was looked at or called for, never a value of it."""

from collections.abc import AsyncIterator, Iterable, Mapping
from uuid import UUID

from services.kernel.audit.chain import Entry
from services.kernel.logging import correlation_id
from services.kernel.postgres import Connection, Pool, queries

_SQL = queries("services.kernel.audit")
_AT_ONCE = 500


def _entry(row: Mapping[str, object]) -> Entry:
    return Entry(**{**row, "subjects": tuple(row["subjects"])})  # type: ignore[arg-type]


async def note(
    source: Pool | Connection, principal: str, role: str, action: str, subjects: Iterable[str]
) -> None:
    """Writes down that `principal` looks or decides, before anything is shown or done.

    A subject is a kind and an id: `case:<uuid>`. Within a transaction it is the last statement: entries form one line,
    so whoever has written one keeps all others waiting until the transaction ends.
    """
    await source.execute(_SQL["note"], principal, role, action, sorted(set(subjects)), correlation_id())


async def note_call(
    source: Pool | Connection, principal: str, role: str, call: str, path: Mapping[str, object]
) -> None:
    """Writes down a call that changes something, before it is worked on; `call` is its method and its route."""
    await note(source, principal, role, f"called {call}", _subjects(path))


async def note_refusal(
    source: Pool | Connection, principal: str, role: str, call: str, path: Mapping[str, object]
) -> None:
    """Writes down that a known caller was refused: once a minute for the same call, so that none can flood the audit."""
    await source.execute(
        _SQL["note_refusal"], principal, role, f"refused {call}", sorted(_subjects(path)), correlation_id()
    )


def _subjects(path: Mapping[str, object]) -> list[str]:
    """The ids of a path. Anything else in it may be what somebody typed, and stays out."""
    found = []
    for name, value in path.items():
        try:
            found.append(f"{name.removesuffix('_id')}:{UUID(str(value))}")
        except ValueError:
            continue
    return found


async def entries(
    source: Pool | Connection, subject: str | None, principal: str | None, before: int | None, limit: int
) -> list[Entry]:
    """The last first, below a number: about one subject or all, by one caller or anybody."""
    return [_entry(row) for row in await source.fetch(_SQL["entries"], subject, principal, before, limit)]


async def every_entry(pool: Pool) -> AsyncIterator[Entry]:
    """All of them in order, as they were at one moment."""
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        async for row in connection.cursor(_SQL["every_entry"], prefetch=_AT_ONCE):
            yield _entry(row)


async def head(source: Pool | Connection) -> tuple[int, bytes]:
    """The number of the newest entry and its digest. Kept elsewhere, it proves later that nothing was rewritten."""
    row = await source.fetchrow(_SQL["head"])
    return row["number"], row["digest"]
