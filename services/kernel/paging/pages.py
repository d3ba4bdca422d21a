"""Pages as rows: opened once per matter, acknowledged by a person, closed when their matter is over."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from schemas.duty import Desk
from services.kernel.postgres import Connection, Pool, queries

_SQL = queries("services.kernel.paging")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Page:
    """A matter, over once it is closed. `times` counts how often it came up; `told` are the people who were told, in order."""

    page_id: int
    matter: str
    text: str
    opened_at: datetime
    times: int
    lasting: bool
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    desk: str = Desk.OPERATIONS.value
    closed_at: datetime | None = None
    told: tuple[Mapping[str, Any], ...] = ()


async def page(
    connection: Connection,
    matter: str,
    text: str,
    *,
    lasting: bool = False,
    quiet: timedelta | None = None,
    desk: Desk = Desk.OPERATIONS,
) -> None:
    """Pages a person once about `matter`, written `kind:subject`; while the page is open the matter only counts up.

    `text` says in English what happened and what to do, without personal data of anybody who is missing. A page that
    is `lasting` stays open until `all_clear`; any other is over once somebody acknowledges it, and for `quiet` after
    that it does not open again: for what is tried again and again. `desk`: whose people are told.
    """
    await connection.execute(_SQL["open"], matter, text, lasting, quiet, desk.value)
    log.error("page", matter=matter)  # the text may name somebody to call


async def all_clear(connection: Connection, matters: Sequence[str]) -> None:
    """What these matters were about is over: their lasting pages close, and whoever was paged is told once."""
    for row in await connection.fetch(_SQL["close"], list(matters)):
        log.info("all clear", matter=row["matter"])


async def open_texts(connection: Connection, kind: str) -> Mapping[str, str]:
    """What the open pages of a kind say, by their matter: for callers that look again and again."""
    return {row["matter"]: row["text"] for row in await connection.fetch(_SQL["open_texts"], kind)}


async def open_pages(
    pool: Pool, after: int = 0, limit: int | None = None, *, over: bool = False
) -> list[Page]:
    """What is not over, oldest first: after page `after`, at most `limit` (None: all); with `over` what is over too."""
    rows = await pool.fetch(_SQL["open_pages"], after, limit, over)
    told: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in await pool.fetch(_SQL["told"], [row["page_id"] for row in rows]):
        told[row["page_id"]].append({name: value for name, value in row.items() if name != "page_id"})
    return [Page(**dict(row), told=tuple(told[row["page_id"]])) for row in rows]


async def acknowledge(source: Pool | Connection, page_id: int, person: str) -> bool:
    """`person` looks after it: nobody is told again. False when it is over, or when somebody does so already."""
    return bool(await source.fetchval(_SQL["acknowledge"], page_id, person))
