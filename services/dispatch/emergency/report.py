"""When the system is back: takes in what was sent without it, so that its state agrees with the partners'."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from schemas.events import DeliveryDelivered
from schemas.vocabulary import Audience
from services.dispatch.domain import Alert
from services.dispatch.emergency.pack import REVISION, PackError
from services.dispatch.emergency.sending import Sent
from services.dispatch.publish import Publication, Publisher, alert_of, delivery_id
from services.eventlog.store import (
    Append,
    Cause,
    NewEvent,
    alert_stream,
    append,
    delivery_stream,
    lock_streams,
)
from services.kernel.ids import derived_id
from services.kernel.paging import all_clear
from services.kernel.postgres import Connection, in_transaction, queries

_ACTOR = "emergency"

_SQL = queries("services.dispatch")
_OWN = queries("services.dispatch.emergency")
_SENDER = queries("services.dispatch", "sender.sql")


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one alert: the campaign to be ended, and how many partners had gone dark already."""

    alert_id: UUID
    campaign_id: UUID | None
    withdrawn_now: bool
    dark: int
    open: int


def read(text: str) -> list[Sent]:
    """The lines of a report; one that a crash cut short at the end is left out. Raises PackError for any other."""
    lines = [line for line in text.splitlines() if line.strip()]
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(Sent.model_validate_json(line))
        except ValidationError as error:
            if number == len(lines) and not text.endswith("\n"):
                break
            raise PackError(f"line {number} of the report is damaged: mend or remove it") from error
    return found


async def take_in(publisher: Publisher, report: Sequence[Sent]) -> list[Taken]:
    """Withdraws every alert of the report under the revision that was sent, and writes down who took it.

    Whoever did not answer is sent the same message by the engine. Twice the same report changes nothing.
    """
    return [
        await _alert(publisher, alert_id, report) for alert_id in sorted({one.alert_id for one in report})
    ]


async def _alert(publisher: Publisher, alert_id: UUID, report: Sequence[Sent]) -> Taken:
    row = await publisher.pool.fetchrow(_SQL["alert"], alert_id)
    if row is None:
        raise PackError(f"alert {alert_id} is not of this installation: choose the right --data")
    alert = alert_of(row)
    correlation = await publisher.pool.fetchval(_SQL["correlation"], alert_stream(alert_id)) or str(alert_id)
    cause = Cause(_ACTOR, correlation, mode=alert.mode)
    because = derived_id("emergency", alert_id)
    publication = Publication(alert, "withdrawn", cause, because, reason=_ACTOR, number=REVISION)
    taken = {one.recipient_id: one for one in report if one.alert_id == alert_id and one.dark}

    async def work(connection: Connection) -> Taken:
        streams = [delivery_stream(alert_id, recipient) for recipient in taken]
        await lock_streams(connection, [alert_stream(alert_id), *streams])
        # In one transaction: whoever has taken it already is not sent it again.
        published = await publisher.publish_in(connection, publication, None)
        await connection.fetch(_SQL["lanes_lock"], alert_id, list(taken))
        ends = [await _taken(connection, one) for _, one in sorted(taken.items())]
        await _tell(connection, alert, cause, [end for end in ends if end is not None])
        await all_clear(connection, [f"emergency-unreported:{alert_id}"])
        left = await connection.fetchval(_OWN["left"], alert_id)
        return Taken(alert_id, alert.campaign_id, published is not None, len(taken), left)

    return await in_transaction(publisher.pool, work)


async def _taken(connection: Connection, one: Sent) -> Any:
    """Writes down that somebody took it; None when the tables know that already, or nothing of it."""
    number = delivery_id(one.alert_id, one.recipient_id, one.revision)
    row = await connection.fetchrow(_OWN["answered"], number, one.status, one.at)
    await connection.execute(_OWN["at_rest"], one.alert_id, one.recipient_id)
    return row


async def _tell(connection: Connection, alert: Alert, cause: Cause, ends: Sequence[Any]) -> None:
    """The facts that the sender would have told."""
    numbers = {derived_id("delivery-event", "delivered", row["delivery_id"]): row for row in ends}
    known = {row["event_id"] for row in await connection.fetch(_SENDER["known_events"], list(numbers))}
    appends = []
    for number, row in numbers.items():
        if number in known:
            continue
        data = DeliveryDelivered(
            alert_id=alert.alert_id,
            revision=row["revision"],
            content="withdrawn",
            kind=alert.kind,
            recipient=row["recipient_id"],
            audience=Audience(row["audience"]),
            attempts=row["attempts"],
            at=row["finished_at"],
        )
        stream = delivery_stream(alert.alert_id, row["recipient_id"])
        appends.append(Append(stream, str(alert.case_id), [NewEvent(data, number)], cause))
    if appends:
        await append(connection, appends)
