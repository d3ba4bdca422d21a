"""Standby alerts: one per worrying episode, for the Missing Persons Unit and the mobile team.

Withdrawn when the case has not been worrying for `settings.standby_linger_s`, or at once when it closes. A case that
is worrying again before that keeps its alert: people on standby are not told twice.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from schemas.events import AssessmentChanged
from schemas.vocabulary import AlertKind, Audience, Mode
from services.dispatch.domain import Alert, Material
from services.dispatch.publish import Publication, Publisher, Seen, alert_of
from services.eventlog.store import Cause, Recorded, lock_streams
from services.kernel.ids import derived_id
from services.kernel.postgres import Connection, in_transaction, queries
from services.kernel.service import Runtime

POLL_S = 1.0
EVERYWHERE = ("BE",)
_BY_CRITERION = "criterion:"

_SQL = queries("services.dispatch")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The standby that an assessment asks for."""

    alert: Alert
    material: Material
    event: Recorded
    data: AssessmentChanged
    seen: Seen


@dataclass(frozen=True, slots=True)
class _Over:
    """Why a case's standby is withdrawn; with `calm_for` only when it is still calm, and has been for so long."""

    case_id: UUID
    cause: Cause
    cause_id: UUID | None
    reason: str
    seen: Seen | None = None
    calm_for: timedelta | None = None


def standby_alert(case_id: UUID, episode: int) -> UUID:
    """The alert of a worrying episode."""
    return derived_id("standby", case_id, episode)


def _lock_name(case_id: UUID) -> str:
    return f"standby-{case_id}"


async def assessed(
    publisher: Publisher, event: Recorded, data: AssessmentChanged, seen: Seen, linger: timedelta
) -> None:
    """Does what a new assessment asks for. Doing it again changes nothing."""
    case_id = UUID(event.subject)
    row = await publisher.pool.fetchrow(_SQL["standby"], case_id)
    lit = row is not None and not row["withdrawn"]
    if data.worrying and data.case_open:
        if lit and row["calm_since"] and event.recorded_time - row["calm_since"] >= linger:
            await _withdraw(publisher, _Over(case_id, event.cause, event.event_id, "not_worrying"))
        await _worrying(publisher, _wanted(event, data, seen))
    elif lit and not data.case_open:
        await _withdraw(publisher, _Over(case_id, event.cause, event.event_id, "case_closed", seen=seen))
    else:
        await _calm(publisher, case_id, event.recorded_time, seen)


def _wanted(event: Recorded, data: AssessmentChanged, seen: Seen) -> _Wanted:
    case_id = UUID(event.subject)
    alert = Alert(
        alert_id=standby_alert(case_id, data.episode),
        kind=AlertKind.STANDBY,
        case_id=case_id,
        campaign_id=None,
        mode=event.cause.mode,
        areas=(data.municipality,) if data.municipality else EVERYWHERE,
        case_version=data.case_version,
    )
    # Not the findings: those hold children who are back, and criteria that do not count for this kind of case.
    names = sorted({r.removeprefix(_BY_CRITERION) for r in data.reasons if r.startswith(_BY_CRITERION)})
    return _Wanted(alert, Material(case_number=data.case_number, criteria=tuple(names)), event, data, seen)


async def _worrying(publisher: Publisher, wanted: _Wanted) -> None:
    case_id = wanted.alert.case_id
    row = await publisher.pool.fetchrow(_SQL["standby"], case_id)
    goes_on = row is not None and not row["withdrawn"]
    publication = _update(wanted, row) if goes_on else _issue(wanted)
    key = await publisher.key_for(publication)

    async def work(connection: Connection) -> bool:
        await lock_streams(connection, [_lock_name(case_id)])
        now_row = await connection.fetchrow(_SQL["standby"], case_id)
        if (now_row is not None and not now_row["withdrawn"]) != goes_on:
            return False
        await publisher.publish_in(connection, publication, key)
        alert_id = publication.alert.alert_id
        if goes_on:
            await connection.execute(_SQL["standby_goes_on"], case_id, wanted.data.episode)
            await connection.execute(_SQL["alert_rests_on"], alert_id, wanted.data.case_version)
        else:
            correlation = wanted.event.cause.correlation_id
            await connection.execute(
                _SQL["standby_begins"], case_id, alert_id, wanted.data.episode, correlation
            )
        return True

    # Its timer may withdraw the alert between the look and the lock; then this is a new episode.
    if not await in_transaction(publisher.pool, work):
        await _worrying(publisher, wanted)


def _issue(wanted: _Wanted) -> Publication:
    return Publication(
        wanted.alert,
        "issued",
        wanted.event.cause,
        wanted.event.event_id,
        material=wanted.material,
        seen=wanted.seen,
    )


def _update(wanted: _Wanted, row: Any) -> Publication:
    """The mobile team knows only the area: other criteria are no news for it."""
    alert = Alert(
        alert_id=row["alert_id"],
        kind=AlertKind.STANDBY,
        case_id=wanted.alert.case_id,
        campaign_id=None,
        mode=wanted.alert.mode,
        areas=wanted.alert.areas,
        case_version=wanted.alert.case_version,
    )
    same_areas = tuple(row["areas"]) == wanted.alert.areas
    return Publication(
        alert,
        "updated",
        wanted.event.cause,
        wanted.event.event_id,
        material=wanted.material,
        concerns=frozenset({Audience.MISSING_PERSONS_UNIT}) if same_areas else None,
        unless_same=True,
        seen=wanted.seen,
    )


async def _calm(publisher: Publisher, case_id: UUID, since: datetime, seen: Seen) -> None:
    async def work(connection: Connection) -> None:
        await lock_streams(connection, [_lock_name(case_id)])
        await connection.execute(_SQL["standby_calms"], case_id, since)
        await connection.execute(_SQL["saw"], seen.stream, seen.version)

    await in_transaction(publisher.pool, work)


async def _withdraw(publisher: Publisher, why: _Over) -> None:
    async def work(connection: Connection) -> None:
        await lock_streams(connection, [_lock_name(why.case_id)])
        row = await connection.fetchrow(_SQL["standby"], why.case_id)
        now = await connection.fetchval(_SQL["moment"])
        calm = row["calm_since"]
        if why.calm_for is not None and (calm is None or calm > now - why.calm_for):
            return
        alert = alert_of(await connection.fetchrow(_SQL["alert"], row["alert_id"]))
        publication = Publication(
            alert, "withdrawn", why.cause, why.cause_id, reason=why.reason, seen=why.seen
        )
        await publisher.publish_in(connection, publication, None)

    await in_transaction(publisher.pool, work)


async def withdraw_calm(publisher: Publisher, linger: timedelta) -> int:
    """Withdraws every standby of a case that has been calm for `linger`; returns how many it looked at."""
    cases = [row["case_id"] for row in await publisher.pool.fetch(_SQL["standby_over"], linger)]
    for case_id in cases:
        row = await publisher.pool.fetchrow(_SQL["standby"], case_id)
        cause = Cause("dispatch", row["correlation_id"], mode=Mode(row["mode"]))
        await _withdraw(publisher, _Over(case_id, cause, None, "not_worrying", calm_for=linger))
    return len(cases)


async def run_timer(runtime: Runtime, publisher: Publisher) -> None:
    """Looks every second, until the service is to stop. The database's clock decides."""
    linger = timedelta(seconds=runtime.settings.standby_linger_s)
    while not runtime.stop.is_set():
        with runtime.works.doing("the standbys"):
            await withdraw_calm(publisher, linger)
        await runtime.pause(POLL_S)
