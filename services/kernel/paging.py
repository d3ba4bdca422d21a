"""Pages: what a person must look at. Durable and deduplicated: one open page per matter."""

from dataclasses import dataclass
from datetime import datetime

import structlog

from services.kernel.postgres import Connection, Pool

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Page:
    """An open matter; `times` counts how often it came up."""

    page_id: int
    matter: str
    text: str
    opened_at: datetime
    times: int


async def page(connection: Connection, matter: str, text: str) -> None:
    """Pages a person once about `matter`; while the page is open, the same matter only counts up.

    `text` says what happened and what to do, without personal data.
    """
    await connection.execute(
        "insert into kernel.page (matter, text) values ($1, $2)"
        " on conflict (matter) where acknowledged_at is null do update set times = page.times + 1, text = excluded.text",
        matter,
        text,
    )
    log.error("page", matter=matter, text=text)


async def open_pages(pool: Pool) -> list[Page]:
    """What waits for a person, oldest first."""
    rows = await pool.fetch(
        "select page_id, matter, text, opened_at, times from kernel.page where acknowledged_at is null order by page_id"
    )
    return [Page(**dict(row)) for row in rows]


async def acknowledge(source: Pool | Connection, page_id: int, person: str) -> bool:
    """Closes the page; False when it is not open."""
    done = await source.fetchval(
        "update kernel.page set acknowledged_at = clock_timestamp(), acknowledged_by = $2"
        " where page_id = $1 and acknowledged_at is null returning true",
        page_id,
        person,
    )
    return bool(done)
