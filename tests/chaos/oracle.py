"""What must hold after a storm: from the receivers' strict records, from the tables, and from the store alone.

The signed time of a message is the database's, taken before its last look; so a message that is signed after its
withdrawal was committed was begun after it, whatever the network did to it.
"""

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from receivers import WITHDRAWN, Arrival, Receiver
from world import LEASE_S

from services.dispatch.auditor import verify

COMMIT_S = 1.0
"""Between the moment that a commit notes and the moment at which others see it, at most."""
CLAIM_S = 0.5
"""Between a lane's lease and the row of its attempt, at most: one transaction writes both."""


async def overtaken(pool: Any) -> list[str]:
    """At every moment: nothing waits beside what replaces it."""
    rows = await pool.fetch(
        "select d.alert_id, d.revision from dispatch.delivery d where d.state = 'pending' and exists (select 1 from"
        " dispatch.delivery n where n.recipient_id = d.recipient_id and n.alert_id = d.alert_id"
        " and n.revision > d.revision and (n.state <> 'superseded' or n.content = 'withdrawn'))"
    )
    return [f"overtaken: {row['alert_id']} {row['revision']} still waits" for row in rows]


async def unsettled(storm: Any) -> list[str]:
    """What every display shows now, against the last fact of each campaign in the store."""
    pool, found = storm.world.pool, []
    rows = await pool.fetch(
        "select distinct on (e.stream) e.stream, e.type, e.event_id, a.alert_id, a.expires_at from eventlog.events e"
        " left join dispatch.alert a on a.campaign_id::text = substr(e.stream, 10)"
        " where e.stream like 'campaign-%' order by e.stream, e.version desc"
    )
    for row in rows:
        over = row["type"] == "campaign.ended.v1"
        alert = str(row["alert_id"])
        if row["alert_id"] is None and not over:
            found.append(f"lost: {row['stream']} has no alert")
        if row["alert_id"] is None or (row["expires_at"] is not None and not over):
            continue
        wanted = None if over else str(row["event_id"])
        found += [
            f"{'relit or never dark' if over else 'lost'}: receiver {r.number} shows {r.lit(alert)} of {alert}"
            for r in storm.world.receivers.all
            if r.lit(alert) != wanted
        ]
    due = await pool.fetchval(
        "select count(*) from dispatch.lane where due_at is not null or owner is not null"
    )
    return [*found, *([f"unfinished: {due} lanes"] if due else [])]


async def judge(storm: Any) -> list[str]:
    """Every broken promise, once everything is at rest."""
    found = sorted(storm.violations)
    linger = timedelta(seconds=storm.world.settings.standby_linger_s)
    found += [f"verify: {finding}" for finding in await verify(storm.world.pool, linger)]
    found += await _attempts(storm.world.pool)
    found += await _two_at_once(storm.world.pool)
    limits = await _limits(storm)
    for receiver in storm.world.receivers.all:
        found += [f"refused by receiver {receiver.number}: {why}" for why in receiver.refused]
        found += await _signed_wrongly(storm.world.pool, receiver)
        found += _identities(receiver)
        found += list(_begun_too_late(receiver, limits))
        found += _relit(receiver)
    return found


async def _attempts(pool: Any) -> list[str]:
    """No attempt of an older revision begins once a newer one is planned."""
    rows = await pool.fetch(
        "select d.alert_id, d.revision from dispatch.attempt t join dispatch.delivery d using (delivery_id)"
        " join dispatch.delivery n on n.alert_id = d.alert_id and n.recipient_id = d.recipient_id"
        " and n.revision > d.revision and (n.state <> 'superseded' or n.content = 'withdrawn')"
        " and t.started_at > n.created_at"
    )
    return [f"claimed too late: {row['alert_id']} revision {row['revision']}" for row in rows]


async def _two_at_once(pool: Any) -> list[str]:
    """Nobody takes a lane while somebody else holds it: its lease lasts, and how its attempt ended is not recorded."""
    rows = await pool.fetch(
        "select alert_id, revision from (select d.alert_id, d.revision, t.started_at, lag(t.started_at) over w as before,"
        " lag(t.ended_at) over w as ended from dispatch.attempt t join dispatch.delivery d using (delivery_id)"
        " window w as (partition by d.recipient_id, d.alert_id order by t.attempt_id)) x"
        " where started_at < before + $1::interval and (ended is null or ended > started_at)",
        timedelta(seconds=LEASE_S - CLAIM_S),
    )
    return [f"two at once: {row['alert_id']} revision {row['revision']}" for row in rows]


async def _signed_wrongly(pool: Any, receiver: Receiver) -> list[str]:
    """What a receiver refused as too old was signed when its attempt began: the network, or a stopped sender, held it."""
    found = []
    for alert, revision, signed_at in receiver.late:
        began = await pool.fetchval(
            "select count(*) from dispatch.attempt t join dispatch.delivery d using (delivery_id)"
            " where d.alert_id::text = $1 and d.revision = $2 and d.recipient_id = $3"
            " and t.started_at between to_timestamp($4::float8) - $5::interval and to_timestamp($4::float8) + interval '2 s'",
            alert,
            revision,
            receiver.recipient_id,
            float(signed_at),
            timedelta(seconds=LEASE_S),
        )
        if not began:
            found.append(f"signed wrongly: {alert} revision {revision} to {receiver.number}, at {signed_at}")
    return found


async def _limits(storm: Any) -> dict[tuple[str, int, int], float]:
    """(alert, receiver, revision) → the moment from which on no message of that revision may begin.

    A revision's row is never changed, so the commit of its transaction is the moment of its publication.
    """
    pool = storm.world.pool
    numbers = {r.recipient_id: r.number for r in storm.world.receivers.all}
    rows = await pool.fetch(
        "select d.alert_id, d.recipient_id, d.revision, a.campaign_id, v.expires_at,"
        " (select min(coalesce(pg_xact_commit_timestamp(r.xmin), n.created_at)) from dispatch.delivery n"
        "  join dispatch.alert_revision r on r.alert_id = n.alert_id and r.revision = n.revision"
        "  where n.alert_id = d.alert_id and n.recipient_id = d.recipient_id and n.revision > d.revision"
        "  and (n.state <> 'superseded' or n.content = 'withdrawn')) as newer"
        " from dispatch.delivery d join dispatch.alert a using (alert_id)"
        " join dispatch.alert_revision v on v.alert_id = d.alert_id and v.revision = d.revision"
        " where d.content <> 'withdrawn'"
    )
    ended = {c.facts.campaign: c.ended_at for c in storm.campaigns if c.ended_at is not None}
    limits = {}
    for row in rows:
        moments = [time.time()]
        if row["newer"] is not None:
            moments.append(row["newer"].timestamp() + COMMIT_S)
        if row["expires_at"] is not None:
            moments.append(row["expires_at"].timestamp())
        if row["campaign_id"] in ended:
            moments.append(ended[row["campaign_id"]])
        limits[str(row["alert_id"]), numbers[row["recipient_id"]], row["revision"]] = min(moments)
    return limits


def _begun_too_late(receiver: Receiver, limits: dict[tuple[str, int, int], float]) -> Iterable[str]:
    for arrival in receiver.arrivals:
        if arrival.type == WITHDRAWN:
            continue
        limit = limits.get((arrival.alert_id, receiver.number, arrival.revision))
        if limit is None:
            yield f"unplanned: receiver {receiver.number} got {arrival.alert_id} revision {arrival.revision}"
        elif arrival.signed_at > limit:
            late = arrival.signed_at - limit
            yield f"begun too late: {arrival.alert_id} revision {arrival.revision} to {receiver.number} by {late:.1f} s"


def _identities(receiver: Receiver) -> list[str]:
    """A repeat carries the same id and the same bytes; two messages never share an id."""
    by_id: dict[str, set[tuple[str, int, str]]] = {}
    by_message: dict[tuple[str, int], set[str]] = {}
    for arrival in receiver.arrivals:
        by_id.setdefault(arrival.webhook_id, set()).add((arrival.alert_id, arrival.revision, arrival.digest))
        by_message.setdefault((arrival.alert_id, arrival.revision), set()).add(arrival.webhook_id)
    mixed = [f"id of two messages: {one}" for one, what in by_id.items() if len(what) > 1]
    return mixed + [f"message with two ids: {one}" for one, ids in by_message.items() if len(ids) > 1]


def _relit(receiver: Receiver) -> list[str]:
    """A conforming display, once dark, stays dark; its revisions only rise."""
    if not receiver.conforming:
        return []
    found, last = [], dict[str, tuple[int, str | None]]()
    for _, alert, revision, marker in receiver.shown:
        before = last.get(alert)
        if before is not None and revision <= before[0]:
            found.append(
                f"relit: receiver {receiver.number} showed {alert} revision {revision} after {before[0]}"
            )
        last[alert] = revision, marker
    return found


def figures(storm: Any) -> str:
    """What there was, in a line."""
    receivers = storm.world.receivers.all
    arrivals: list[Arrival] = [a for r in receivers for a in r.arrivals]
    distinct = len({(a.webhook_id) for a in arrivals})
    log = (storm.world.servers.folder / "postgres.log").read_text(errors="replace")
    starts = sum(service.starts for service in storm.world.services.values())
    return (
        f"{len(storm.campaigns)} campaigns, {distinct} messages, {len(arrivals) - distinct} repeats,"
        f" {starts} process starts, {len(storm.done)} harms,"
        f" {log.count('deadlock detected')} deadlocks"
    )
