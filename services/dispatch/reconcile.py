"""Brings what a recipient shows in line with what it is, once its areas, its pause or its state have changed.

The change writes a to-do in its own transaction; publishing needs others (an alert's stream is locked before anything
is written). Whoever made the change works on it at once; the loop in dispatch does what a crash left behind.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from services.dispatch.bodies import SOURCE, find_keys, open_box
from services.dispatch.domain import Alert, Material, Recipient, addressed, is_stopped
from services.dispatch.publish import Publication, Publisher, alert_of, recipient_of
from services.eventlog.store import Cause, alert_stream, lock_streams, stopped
from services.kernel.errors import ZoeklichtError
from services.kernel.postgres import AWAY, Connection, in_transaction, queries
from services.kernel.service import Runtime
from services.kernel.vault import key_name

POLL_S = 1.0
AGAIN_S = 10.0
"""After something that could not be done, such as without the vault."""

_SQL = queries("services.dispatch")
log = structlog.get_logger()


async def reconcile(publisher: Publisher, recipient_id: UUID) -> int:
    """Withdraws what the recipient must not show any more, shows again what it may; returns how many alerts.

    A paused recipient shows nothing. Doing it again changes nothing. To be called once the change is committed.
    """
    row = await publisher.pool.fetchrow(_SQL["partner"], recipient_id)
    if row is None:
        return 0
    wanted = await _to_publish(publisher, recipient_of(row))
    keys = await find_keys(publisher.vault, [key_name("alert", one) for one in wanted])
    for source in await publisher.pool.fetch(_SQL["sources"], wanted):
        # Without its key an alert is dark already, by the stop that the erasure wrote.
        if (key := keys.get(key_name("alert", source["alert_id"]))) is not None:
            await _update(publisher, source, key, recipient_id)
    await publisher.pool.execute(_SQL["reconciled"], recipient_id, row["reconcile_at"])
    return len(wanted)


async def _to_publish(publisher: Publisher, recipient: Recipient) -> list[UUID]:
    rows = await publisher.pool.fetch(_SQL["alerts_had"], recipient.recipient_id)
    stops = await stopped(publisher.pool, [i for r in rows for i in (r["campaign_id"], r["case_id"]) if i])
    return [row["alert_id"] for row in rows if _differs(recipient, alert_of(row), row, stops)]


def _differs(
    recipient: Recipient, alert: Alert, row: Mapping[str, Any], stops: Mapping[tuple[str, UUID], int]
) -> bool:
    """Whether the newest delivery says another thing than it should now. What is stopped goes dark by itself."""
    selected = bool(addressed(alert, [recipient])) and not is_stopped(alert, stops)
    if row["content"] == "withdrawn":
        # A newer revision than the withdrawal is planned by the activation itself.
        return selected and recipient.state == "active" and row["revision"] == row["head_revision"]
    return not selected or recipient.state == "paused"


async def _update(publisher: Publisher, source: Mapping[str, Any], key: bytes, recipient_id: UUID) -> None:
    alert, number = alert_of(source), source["head_revision"]
    material = Material.model_validate(open_box(alert.alert_id, number, SOURCE, source["box"], key))
    correlation = await publisher.pool.fetchval(_SQL["correlation"], alert_stream(alert.alert_id))
    cause = Cause("dispatch", correlation or str(alert.alert_id), mode=alert.mode)
    # News for nobody but this recipient, and those whom it no longer selects.
    update = Publication(alert, "updated", cause, None, material=material, only=frozenset({recipient_id}))
    await in_transaction(publisher.pool, partial(_unless_newer, publisher, update, number, key))


async def _unless_newer(
    publisher: Publisher, update: Publication, number: int, key: bytes, connection: Connection
) -> None:
    """Publishes, unless there is a newer revision: that one knew the recipients as they are, and says other things."""
    await lock_streams(connection, [alert_stream(update.alert.alert_id)])
    row = await connection.fetchrow(_SQL["alert"], update.alert.alert_id)
    if row["head_revision"] == number:
        await publisher.publish_in(connection, update, key)


async def reconcile_now(publisher: Publisher, recipient_id: UUID) -> bool:
    """Reconciles; False when something is away: the to-do stays for the loop, and nobody else has to wait for it."""
    try:
        await reconcile(publisher, recipient_id)
    except (ZoeklichtError, *AWAY) as error:
        log.warning("not reconciled yet", recipient=str(recipient_id), error_class=type(error).__name__)
        return False
    return True


async def reconcile_all(publisher: Publisher) -> bool:
    """Works on every to-do that is left; False when one of them could not be done and stays."""
    rows = await publisher.pool.fetch(_SQL["to_reconcile"])
    return all([await reconcile_now(publisher, row["recipient_id"]) for row in rows])


async def run_reconciling(runtime: Runtime, publisher: Publisher) -> None:
    """Reconciles until the service is to stop."""
    while not runtime.stop.is_set():
        with runtime.works.doing("reconciling"):
            done = await reconcile_all(publisher)
        await runtime.pause(POLL_S if done else AGAIN_S)
