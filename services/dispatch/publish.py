"""The one function that publishes: Kafka, the stop loop, standbys and their timers all end here.

Doing it twice, or by two ways at once, changes nothing. Order of locks, always: the alert's stream, the recipients'
lock, the alert, its lanes by (recipient, alert).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from schemas.events import AlertFact, AlertIssued, AlertUpdated, AlertWithdrawn
from schemas.vocabulary import AlertKind, Audience, Mode
from services.dispatch.bodies import Bodies, KeysAwayError, Row
from services.dispatch.domain import (
    CAP_FULL,
    Alert,
    Content,
    Earlier,
    Known,
    Material,
    Planned,
    Recipient,
    Revision,
    Verdict,
    is_public,
    is_stopped,
    plan,
    variants_for,
    verdict,
    withdrawal_of,
)
from services.eventlog.store import Append, Cause, NewEvent, alert_stream, append, lock_streams, stopped
from services.kernel.ids import derived_id
from services.kernel.postgres import Connection, Pool, in_transaction, queries
from services.kernel.settings import Settings
from services.kernel.vault import KeyDestroyedError, Vault, VaultError, key_name

LANE_CHANNEL = "dispatch_lane"
ACTOR = "dispatch"

_SQL = queries("services.dispatch")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Seen:
    """A version of a stream that is done with when this is published."""

    stream: str
    version: int


@dataclass(frozen=True, slots=True)
class Publication:
    """What is to be published, and because of which event (`cause_id`; None: the clock).

    `material` None: nothing can be shown. `unless_same`: no revision when the newest one says the same already.
    `concerns`: the audiences, `only`: the recipients for whom it says something new (None: all).
    `number`: the revision's, where it was sent before it could be published (None: the next one).
    """

    alert: Alert
    content: Content
    cause: Cause
    cause_id: UUID | None
    material: Material | None = None
    reason: str | None = None
    concerns: frozenset[Audience] | None = None
    only: frozenset[UUID] | None = None
    unless_same: bool = False
    number: int | None = None
    seen: Seen | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """A revision that was made; `recipients` is 0 for one that stays dark."""

    alert_id: UUID
    revision: int
    recipients: int
    dark: bool


def alert_of(row: Mapping[str, Any]) -> Alert:
    """An alert as its row says."""
    return Alert(
        alert_id=row["alert_id"],
        kind=AlertKind(row["kind"]),
        case_id=row["case_id"],
        campaign_id=row["campaign_id"],
        mode=Mode(row["mode"]),
        areas=tuple(row["areas"]),
        case_version=row["case_version"],
        expires_at=row["expires_at"],
        audiences=None if row["audiences"] is None else tuple(map(Audience, row["audiences"])),
    )


def recipient_of(row: Mapping[str, Any]) -> Recipient:
    """A recipient as its row says."""
    return Recipient(
        recipient_id=row["recipient_id"],
        format=row["format"],
        content=row["content"],
        areas=tuple(row["areas"]),
        languages=tuple(row["languages"]),
        audience=Audience(row["audience"]),
        exercise=row["exercise"],
        state=row["state"],
    )


def derived(cause: Cause, event_id: UUID | None) -> Cause:
    """The cause of what follows from an event: origin and mode are inherited."""
    because = str(event_id) if event_id else None
    return Cause(ACTOR, cause.correlation_id, because, cause.traceparent, cause.origin, cause.mode)


class Publisher:
    """Publishes revisions of alerts."""

    def __init__(self, pool: Pool, vault: Vault, settings: Settings) -> None:
        self.pool = pool
        self.vault = vault
        self.bodies = Bodies.of(settings)

    async def publish(self, publication: Publication) -> Published | None:
        """Publishes in a transaction of its own; a lost race is tried again. None: there was nothing to do."""
        key = await self.key_for(publication)
        return await in_transaction(
            self.pool, lambda connection: self.publish_in(connection, publication, key)
        )

    async def key_for(self, publication: Publication) -> bytes | None:
        """The key of the alert, to be fetched before the transaction; None when it needs none or is destroyed."""
        if publication.content == "withdrawn":
            return None
        name = key_name("alert", publication.alert.alert_id)
        try:
            return (await self.vault.ensure([name]))[name]
        except KeyDestroyedError:
            return None
        except VaultError as error:
            raise KeysAwayError(str(error)) from error

    async def publish_in(
        self, connection: Connection, publication: Publication, key: bytes | None
    ) -> Published | None:
        """Publishes in the caller's transaction, which has written nothing yet."""
        alert = publication.alert
        await lock_streams(connection, [alert_stream(alert.alert_id)])
        await connection.execute(_SQL["recipients_stay"])
        row = await connection.fetchrow(_SQL["alert_locked"], alert.alert_id, publication.cause_id)
        if publication.seen:
            await connection.execute(_SQL["saw"], publication.seen.stream, publication.seen.version)
        revision = await self._revision(connection, publication, row, key)
        if revision is None:
            return None
        fingerprint = self.bodies.fingerprint(revision.alert, publication.material)
        await _record(connection, revision, publication, is_new=row is None, fingerprint=fingerprint)
        recipients = await _recipients(connection, alert.mode)
        last = {r["recipient_id"]: r["content"] for r in await _last(connection, alert.alert_id)}
        planned = plan(
            revision.alert, revision.content, recipients, last, publication.concerns, only=publication.only
        )
        if revision.dark:
            planned = [p for p in planned if p.content != "withdrawn"]
        await _deliver(connection, revision, planned)
        rows = self._rows(revision, publication.material, key, recipients)
        await _keep(connection, revision, rows)
        await _tell(connection, revision, publication, [] if revision.dark else planned)
        log.info(
            "published",
            correlation_id=publication.cause.correlation_id,
            alert_id=str(alert.alert_id),
            revision=revision.number,
            content=revision.content,
            deliveries=0 if revision.dark else len(planned),
        )
        return Published(
            alert.alert_id, revision.number, 0 if revision.dark else len(planned), dark=revision.dark
        )

    async def withdraw_from(self, alert_id: UUID, recipient_id: UUID) -> bool:
        """Gives somebody who was sent a withdrawn alert the withdrawal that is missing; False when that is not so."""

        async def work(connection: Connection) -> bool:
            await connection.execute(_SQL["recipients_stay"])
            row = await connection.fetchrow(_SQL["alert_locked"], alert_id, None)
            if row is None or not row["withdrawn"]:
                return False
            known = {one.recipient_id: one for one in await _recipients(connection, Mode(row["mode"]))}
            recipient = known.get(recipient_id)
            if recipient is None:
                return False
            alert = alert_of(row)
            now, number = await connection.fetchval(_SQL["moment"]), row["head_revision"]
            messages = await earlier(connection, alert.alert_id, number)
            frame = self.bodies.frame(alert, row["issued_at"], now, messages)
            revision = Revision(alert, number, "withdrawn", dark=False, frame=frame)
            await _deliver(connection, revision, [withdrawal_of(recipient)])
            await _keep(connection, revision, [self.bodies.withdrawal(revision, recipient.format)])
            return True

        return await in_transaction(self.pool, work)

    async def _revision(
        self, connection: Connection, publication: Publication, row: Any, key: bytes | None
    ) -> Revision | None:
        alert = publication.alert
        now = await connection.fetchval(_SQL["moment"])
        known = Known(row["head_revision"], row["withdrawn"], row["repeated"]) if row else None
        stops = await stopped(connection, [i for i in (alert.campaign_id, alert.case_id) if i])
        decision = verdict(
            publication.content,
            known,
            expires_at=alert.expires_at,
            now=now,
            stopped=is_stopped(alert, stops),
            readable=publication.material is not None
            and key is not None
            and await _stored(connection, publication),
        )
        if decision is Verdict.NOTHING:
            return None
        if (
            publication.unless_same
            and row
            and row["fingerprint"] == self.bodies.fingerprint(alert, publication.material)
        ):
            return None
        number = publication.number or (known.head_revision + 1 if known else 1)
        content: Content = "issued" if known is None else publication.content
        # A withdrawal says what the alert was, not what somebody thinks that it was.
        whole = alert_of(row) if row and content == "withdrawn" else alert
        messages = await earlier(connection, alert.alert_id, number)
        frame = self.bodies.frame(whole, row["issued_at"] if row else now, now, messages)
        return Revision(whole, number, content, decision is Verdict.DARK, frame)

    def _rows(
        self,
        revision: Revision,
        material: Material | None,
        key: bytes | None,
        recipients: Sequence[Recipient],
    ) -> list[Row]:
        """Every form that a recipient may want, also one that becomes active later; nothing for what stays dark."""
        if revision.dark:
            return []
        formats = {recipient.format for recipient in recipients}
        if revision.content == "withdrawn" and is_public(revision.alert):
            formats.add("cap")
        if not revision.frame.earlier:
            formats.discard("cap")  # there is nothing yet that a Cancel could refer to
        rows = [self.bodies.withdrawal(revision, one) for one in sorted(formats)]
        if revision.content == "withdrawn" or material is None or key is None:
            return rows
        variants = variants_for(revision.alert, recipients)
        rows.append(self.bodies.source(revision, material, key))
        return rows + [
            self.bodies.form(revision, material, variant, key)
            for variant in sorted(variants, key=lambda v: v.name)
        ]


async def _recipients(connection: Connection, mode: Mode) -> list[Recipient]:
    return [recipient_of(row) for row in await connection.fetch(_SQL["recipients"], mode is Mode.EXERCISE)]


async def _stored(connection: Connection, publication: Publication) -> bool:
    """False for what Kafka kept and a store that was restored from a backup does not know: nobody could end it."""
    cause = publication.cause_id
    return cause is None or bool(await connection.fetchval(_SQL["stored"], cause))


async def _last(connection: Connection, alert_id: UUID) -> Sequence[Any]:
    rows: Sequence[Any] = await connection.fetch(_SQL["last_contents"], alert_id)
    return rows


async def _record(
    connection: Connection,
    revision: Revision,
    publication: Publication,
    *,
    is_new: bool,
    fingerprint: bytes | None,
) -> None:
    alert = revision.alert
    areas = list(alert.areas)
    audiences = None if alert.audiences is None else [one.value for one in alert.audiences]
    if is_new:
        await connection.execute(
            _SQL["alert_insert"],
            alert.alert_id,
            alert.kind.value,
            alert.case_id,
            alert.campaign_id,
            alert.mode.value,
            areas,
            alert.case_version,
            revision.frame.issued_at,
            alert.expires_at,
            audiences,
        )
    else:
        await connection.execute(
            _SQL["alert_revised"],
            alert.alert_id,
            revision.number,
            revision.content == "withdrawn",
            areas,
            alert.expires_at,
            alert.case_version,
            audiences,
        )
    expires = None if revision.content == "withdrawn" else alert.expires_at
    await connection.execute(
        _SQL["revision_insert"],
        alert.alert_id,
        revision.number,
        revision.content,
        publication.reason,
        expires,
        publication.cause_id,
        fingerprint,
        revision.frame.now,
    )


async def _deliver(connection: Connection, revision: Revision, planned: Sequence[Planned]) -> None:
    alert_id = revision.alert.alert_id
    to = [p.recipient_id for p in planned]
    await connection.fetch(_SQL["lanes_lock"], alert_id, to)
    await connection.execute(_SQL["lanes_new"], alert_id, to)
    await connection.execute(_SQL["supersede"], alert_id, to, revision.number, not revision.dark)
    await connection.execute(
        _SQL["deliveries_insert"],
        alert_id,
        revision.number,
        "superseded" if revision.dark else "pending",
        [delivery_id(alert_id, one, revision.number) for one in to],
        to,
        [p.content for p in planned],
        [p.variant for p in planned],
    )
    if revision.dark:
        await connection.execute(_SQL["lanes_rest"], alert_id, to)
        return
    withdrawals = [p.content == "withdrawn" for p in planned]
    await connection.execute(_SQL["lanes_due"], alert_id, to, withdrawals)
    await connection.execute(f"notify {LANE_CHANNEL}")


async def earlier(connection: Connection, alert_id: UUID, number: int) -> list[Earlier]:
    """The CAP messages of the revisions before this one."""
    rows = await connection.fetch(_SQL["earlier"], alert_id, number, CAP_FULL.name)
    return [Earlier(row["revision"], row["variant"], row["created_at"]) for row in rows]


def delivery_id(alert_id: UUID, recipient: UUID, revision: int) -> UUID:
    """Always the same for the same delivery: it is the `webhook-id` of all its attempts."""
    return derived_id("delivery", alert_id, recipient, revision)


async def _keep(connection: Connection, revision: Revision, rows: Sequence[Row]) -> None:
    await connection.executemany(
        _SQL["body_insert"],
        [(revision.alert.alert_id, revision.number, row.variant, row.box, row.clear) for row in rows],
    )


async def _tell(
    connection: Connection, revision: Revision, publication: Publication, planned: Sequence[Planned]
) -> None:
    alert = revision.alert
    displays = tuple(p.recipient_id for p in planned if p.audience is Audience.DISPLAY)
    facts: dict[str, Any] = {
        "alert_id": alert.alert_id,
        "revision": revision.number,
        "kind": alert.kind,
        "campaign_id": alert.campaign_id,
        "recipients": len(planned),
        "displays": len(displays),
        "to": displays,
        "expires_at": None if revision.content == "withdrawn" else alert.expires_at,
    }
    data: AlertFact
    match revision.content:
        case "issued":
            data = AlertIssued(**facts)
        case "updated":
            data = AlertUpdated(**facts)
        case "withdrawn":
            data = AlertWithdrawn(**facts, reason=publication.reason or "other")
    event = NewEvent(data, derived_id("alert-event", alert.alert_id, revision.number))
    cause = derived(publication.cause, publication.cause_id)
    await append(connection, [Append(alert_stream(alert.alert_id), str(alert.case_id), [event], cause)])
