"""Who looked at whose identity: an append-only table that names what was looked at, never a value of it."""

from collections.abc import Iterable
from typing import Any

import structlog

from services.kernel.auth import Principal
from services.kernel.postgres import Connection, Pool


async def note_look(source: Pool | Connection, who: Principal, action: str, subjects: Iterable[str]) -> None:
    """Writes down that somebody looks, before anything is shown. A subject is a kind and an id: `case:<uuid>`."""
    correlation = structlog.contextvars.get_contextvars().get("correlation_id", "")
    await source.execute(
        "insert into kernel.audit (principal, role, action, subjects, correlation_id) values ($1, $2, $3, $4, $5)",
        who.name,
        who.role.value,
        action,
        sorted(set(subjects)),
        str(correlation),
    )


async def looks(
    source: Pool | Connection, subject: str | None, principal: str | None, before: int | None, limit: int
) -> list[dict[str, Any]]:
    """Who looked, the last first, below a number: at one subject or at all, by one person or by anybody."""
    rows = await source.fetch(
        "select audit_id, at, principal, role, action, subjects, correlation_id from kernel.audit"
        " where ($1::text is null or subjects @> array[$1]) and ($2::text is null or principal = $2)"
        " and ($3::bigint is null or audit_id < $3) order by audit_id desc limit $4",
        subject,
        principal,
        before,
        limit,
    )
    return [dict(row) for row in rows]
