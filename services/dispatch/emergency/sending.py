"""Sends the withdrawals of a pack with nothing else running: no database, no Kafka, no settings."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from schemas.base import Strict
from services.dispatch.emergency.pack import Pack, PackedAlert, PackedPartner
from services.dispatch.outcomes import HTTP_OK
from services.dispatch.publish import delivery_id
from services.dispatch.transport import Transport, TransportError
from services.kernel import signing

PAUSES_S = (1.0, 3.0, 10.0)
"""Between the attempts; whoever has not answered then is called by telephone, or the command is given again."""


class Sent(Strict):
    """How one partner answered to one withdrawal; `status` None: it did not. One line of the report."""

    alert_id: UUID
    recipient_id: UUID
    revision: int
    at: datetime
    status: int | None = None
    error_class: str | None = None

    @property
    def dark(self) -> bool:
        """Whether it took the withdrawal."""
        return self.status is not None and self.status in HTTP_OK


@dataclass(frozen=True, slots=True)
class Errand:
    """One withdrawal to one partner."""

    alert: PackedAlert
    partner: PackedPartner

    @property
    def message_id(self) -> str:
        """The `webhook-id`: the one that the engine uses for this delivery."""
        number = delivery_id(self.alert.alert_id, self.partner.recipient_id, self.alert.revision)
        return f"msg_{number.hex}"


def errands(pack: Pack, only: Sequence[UUID] = ()) -> list[Errand]:
    """What there is to send: everything, or what concerns these alerts."""
    partners = {one.recipient_id: one for one in pack.partners}
    return [
        Errand(alert, partners[one])
        for alert in pack.alerts
        if not only or alert.alert_id in only
        for one in alert.to
        if one in partners and partners[one].format in alert.bodies
    ]


async def send(pack: Pack, todo: Sequence[Errand], report: Callable[[Sent], Any]) -> list[Sent]:
    """Sends to all partners at once, to each one after the other; `report` is told each end as it comes."""
    transport = Transport(pack)
    by_partner: dict[UUID, list[Errand]] = {}
    for errand in todo:
        by_partner.setdefault(errand.partner.recipient_id, []).append(errand)
    ends: list[Sent] = []

    async def one(mine: Sequence[Errand]) -> None:
        for errand in mine:
            end = await _until_taken(transport, errand)
            ends.append(end)
            report(end)

    try:
        await asyncio.gather(*(one(mine) for mine in by_partner.values()))
    finally:
        await transport.close()
    return ends


async def _until_taken(transport: Transport, errand: Errand) -> Sent:
    for pause in (*PAUSES_S, None):
        end = await _once(transport, errand)
        if end.dark or pause is None:
            return end
        await asyncio.sleep(pause)
    raise AssertionError("unreachable")


async def _once(transport: Transport, errand: Errand) -> Sent:
    body = errand.alert.bodies[errand.partner.format].encode()
    headers = signing.headers(errand.partner.keys, errand.message_id, int(time.time()), body)
    status, error_class = None, None
    try:
        answer = await transport.post(
            errand.partner.url, body, headers, _nothing_forbids, errand.partner.format
        )
        status = answer.status
    except TransportError as error:
        error_class = error.error_class
    return Sent(
        alert_id=errand.alert.alert_id,
        recipient_id=errand.partner.recipient_id,
        revision=errand.alert.revision,
        at=datetime.now(UTC),
        status=status,
        error_class=error_class,
    )


async def _nothing_forbids() -> None:
    """A withdrawal is never wrong: nothing is asked before it leaves."""
