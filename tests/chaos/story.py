"""What happened to one alert, told from the tables, the partners' records and the storm: for whoever reads a failure."""

import re
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MOST = 4


async def stories(storm: Any, broken: list[str]) -> str:
    """The story of each alert that the broken promises name, of four at most."""
    named = {UUID(text) for one in broken for text in _UUID.findall(one)}
    rows = await storm.world.pool.fetch(
        "select alert_id from dispatch.alert where alert_id = any($1::uuid[]) order by alert_id", list(named)
    )
    return "\n".join([await _story(storm, row["alert_id"], broken) for row in rows[:_MOST]])


LOOKING_BACK_S, LAST_LINES = 240, 20
USUAL = '"event":"delivered"', '"event":"published"'


STANDING = {
    "processes": "select service, ready, progress::text, clock_timestamp() - beat_at as silent from kernel.heartbeat",
    "relay": "select transaction_id::text, position, (select max(position) from eventlog.events) as last,"
    " pg_snapshot_xmin(pg_current_snapshot())::text as readable_below from eventlog.relay_checkpoint",
    "read of topics": "select * from kernel.consumer_progress",
    "parked": "select count(*) from dispatch.parked",
    "holding up": "select application_name, state, backend_xid::text, clock_timestamp() - xact_start as since, query"
    " from pg_stat_activity where backend_xid is not null or backend_xmin is not null",
}
"""Where a fact may have been held up on its way."""


async def scene(storm: Any) -> str:
    """What was done lately, what each process said last, and how far each came: for a harm that waits in vain."""
    told = [f"  {datetime.fromtimestamp(moment, UTC):%H:%M:%S} {text}" for moment, text in storm.log]
    recent = [
        line
        for line, (moment, _) in zip(told, storm.log, strict=True)
        if moment > time.time() - LOOKING_BACK_S
    ]
    said = []
    for service in storm.world.services.values():
        lines = [
            line
            for line in service.log.read_text(errors="replace").splitlines()
            if not any(one in line for one in USUAL)
        ][-LAST_LINES:]
        said += [f"{service.name}, started {service.starts} times:", *(f"  {line[:300]}" for line in lines)]
    stands = []
    for what, query in STANDING.items():
        rows = await storm.world.insist(lambda query=query: storm.world.pool.fetch(query))
        stands += [f"{what}:", *(f"  {str(dict(row))[:300]}" for row in rows)]
    return "\n".join(["lately:", *recent, *said, *stands])


async def _story(storm: Any, alert_id: UUID, broken: list[str]) -> str:
    told: list[tuple[float, str]] = []
    matters = [one for one in broken if str(alert_id) in one]
    concerned = [
        r
        for r in storm.world.receivers.all
        if any(f"receiver {r.number} " in one or str(r.recipient_id) in one for one in matters)
    ] or storm.world.receivers.all
    numbers = {r.recipient_id: r.number for r in concerned}
    told += [(moment, f"storm: {name}") for moment, name in storm.log]
    for row in await storm.world.pool.fetch(
        "select revision, content, created_at from dispatch.alert_revision where alert_id = $1", alert_id
    ):
        told.append(
            (row["created_at"].timestamp(), f"revision {row['revision']} ({row['content']}) is published")
        )
    for row in await storm.world.pool.fetch(
        "select d.recipient_id, d.revision, t.* from dispatch.attempt t join dispatch.delivery d using (delivery_id)"
        " where d.alert_id = $1 and d.recipient_id = any($2::uuid[])",
        alert_id,
        list(numbers),
    ):
        what = f"attempt {row['attempt_id']} of revision {row['revision']} to {numbers[row['recipient_id']]}"
        told.append(
            (
                row["started_at"].timestamp(),
                f"{what} begins, fence {row['fence']}, {row['owner'].split(':', 1)[1]}",
            )
        )
        if row["ended_at"] is None:
            told.append((row["started_at"].timestamp(), f"{what}: nobody ever said how it ended"))
        else:
            end = f"{what} is recorded: {row['status']} {row['error_class'] or ''}"
            told.append((row["ended_at"].timestamp(), end))
    for receiver in concerned:
        kind = "conforming" if receiver.conforming else "naive"
        told += [
            (a.at, f"{kind} receiver {receiver.number} gets revision {a.revision} ({a.type})")
            for a in receiver.arrivals
            if a.alert_id == str(alert_id)
        ]
    moments = [moment for moment, text in told if not text.startswith("storm")]
    began, over = min(moments) - 3, max(moments) + 3
    lines = [
        f"  {datetime.fromtimestamp(moment, UTC):%H:%M:%S.%f} {text}"
        for moment, text in sorted(told)
        if began <= moment <= over
    ]
    return "\n".join([f"alert {alert_id}:", *lines])
