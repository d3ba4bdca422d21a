"""What a partner does with its own token: receipts, the signed digest of what it may show, one alert in full."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import structlog

from schemas.commands import Receipt
from schemas.events import ReceiptRecorded
from schemas.vocabulary import Audience, Mode, ReceiptState
from services.dispatch.bodies import SOURCE, Bodies, find_keys, open_box
from services.dispatch.desk import Answer, DispatchDeps
from services.dispatch.domain import (
    CAP_FULL,
    Alert,
    Material,
    Revision,
    Variant,
    appeal_content,
    is_stopped,
    message,
)
from services.dispatch.emergency.pack import REVISION as EMERGENCY_REVISION
from services.dispatch.publish import alert_of
from services.dispatch.secret_boxes import open_secrets
from services.dispatch.transport import CONTENT_TYPES
from services.eventlog.store import (
    Append,
    Cause,
    NewEvent,
    append,
    delivery_stream,
    lock_streams,
    stopped,
)
from services.kernel import signing
from services.kernel.ids import derived_id
from services.kernel.paging import page
from services.kernel.postgres import Connection, queries
from services.kernel.problems import GoneError, NotFoundError
from services.kernel.vault import key_name

_SQL = queries("services.dispatch")
_WATCHING = queries("services.dispatch", "watching.sql")
log = structlog.get_logger()


async def record(connection: Connection, recipient_id: UUID, receipt: Receipt) -> Answer:
    """Records what a partner's screens do; the same receipt again changes nothing, whenever it comes.

    A partner whose clock is ahead of ours says it now: its later receipts would else count as older.
    """
    stream = delivery_stream(receipt.alert_id, recipient_id)
    await lock_streams(connection, [stream])
    row = await connection.fetchrow(_SQL["delivery_of"], receipt.alert_id, recipient_id, receipt.revision)
    unreported = row is None and receipt.revision == EMERGENCY_REVISION
    if unreported:  # sent while we were down, and nobody has told us yet
        row = await connection.fetchrow(_SQL["delivery_of"], receipt.alert_id, recipient_id, None)
    if row is None:
        raise _unknown()
    at = min(receipt.at, await connection.fetchval(_SQL["moment"]))
    key = (receipt.alert_id, recipient_id, receipt.revision, receipt.state.value)
    answer = {
        "alert_id": str(receipt.alert_id),
        "revision": receipt.revision,
        "state": receipt.state.value,
    }
    first = await connection.fetchval(_SQL["receipt_insert"], *key, receipt.screens, at)
    if first is None:
        return 200, answer
    data = ReceiptRecorded(
        alert_id=receipt.alert_id,
        revision=receipt.revision,
        recipient=recipient_id,
        state=receipt.state,
        screens=receipt.screens,
        at=at,
    )
    event = NewEvent(data, derived_id("receipt", *key, *([] if first else [at.isoformat()])))
    cause = Cause(f"partner:{recipient_id}", str(receipt.alert_id), mode=Mode(row["mode"]))
    await append(connection, [Append(stream, str(row["case_id"]), [event], cause)])
    if unreported:
        await page(
            connection,
            f"emergency-unreported:{receipt.alert_id}",
            f"partners went dark about alert {receipt.alert_id} by an emergency pack, and this system does not know it:"
            " take in the report of emergency-send with `zoeklicht emergency-report`",
            lasting=True,
        )
    if receipt.state is ReceiptState.REJECTED:
        await page(
            connection,
            f"dispatch-rejected:{receipt.alert_id}:{recipient_id}",
            "a partner refuses to show an alert: call it; GET /v1/deliveries shows which revision",
        )
    return 201, answer


def _unknown() -> NotFoundError:
    return NotFoundError("alert", "no such revision of an alert was sent to you; take both from its body")


async def digest(deps: DispatchDeps, recipient_id: UUID) -> tuple[bytes, Mapping[str, str]]:
    """What this partner may show now, signed like a webhook; whatever is not in it must go dark."""
    recipient = await deps.pool.fetchrow(_SQL["partner_signing"], recipient_id)
    if recipient is None:
        raise NotFoundError("partner", "this token belongs to no partner any more; ask for a new one")
    await deps.pool.execute(_WATCHING["polled"], recipient_id)
    now: datetime = await deps.pool.fetchval(_SQL["moment"])
    rows = (
        await deps.pool.fetch(_SQL["partner_alerts"], recipient_id) if recipient["state"] == "active" else []
    )
    stops = await stopped(deps.pool, [i for r in rows for i in (r["campaign_id"], r["case_id"]) if i])
    end = now + timedelta(seconds=deps.settings.display_for_s)
    alerts = [
        {
            "alert_id": row["alert_id"],
            "revision": row["revision"],
            "display_until": min(end, row["expires_at"] or end),
        }
        for row in rows
        if not is_stopped(alert_of(row), stops)
    ]
    body = orjson.dumps({"generated_at": now, "alerts": alerts}, default=str)
    secrets = open_secrets(recipient, deps.settings.master_key_bytes)
    return body, signing.headers(secrets, f"state_{uuid4().hex}", int(now.timestamp()), body)


async def alert_in_full(deps: DispatchDeps, recipient_id: UUID, alert_id: UUID) -> tuple[bytes, str]:
    """The newest revision of an alert that this partner may show, and its media type. Each read is logged.

    Raises NotFoundError for an alert of others, GoneError once it must not be shown any more.
    """
    row = await deps.pool.fetchrow(_SQL["partner_alert"], recipient_id, alert_id)
    if row is None:
        raise NotFoundError("alert", "no such alert was sent to you; take the id from its body")
    alert = alert_of(row)
    stops = await stopped(deps.pool, [i for i in (alert.campaign_id, alert.case_id) if i])
    key = (await find_keys(deps.vault, [key_name("alert", alert_id)])).get(key_name("alert", alert_id))
    over = row["over"] or row["content"] == "withdrawn" or is_stopped(alert, stops)
    cap = replace(CAP_FULL, audience=Audience(row["audience"])).name if row["format"] == "cap" else None
    variant = cap or SOURCE
    form = await deps.pool.fetchrow(_SQL["form"], alert_id, row["revision"], variant)
    if over or key is None or form is None:
        raise GoneError("alert-over", "this alert is over: show it nowhere, delete what you keep of it")
    log.info("alert read by a partner", recipient_id=str(recipient_id), alert_id=str(alert_id))
    content = open_box(alert_id, row["revision"], variant, form["box"], key)
    if cap:
        return content.encode(), CONTENT_TYPES["cap"]
    return _written(deps, alert, row, Material.model_validate(content)), CONTENT_TYPES["json"]


def _written(deps: DispatchDeps, alert: Alert, row: Any, material: Material) -> bytes:
    variant = Variant("json", "full", tuple(row["languages"]), Audience(row["audience"]))
    frame = Bodies.of(deps.settings).frame(alert, row["issued_at"], row["created_at"])
    number = row["revision"]
    return message(
        Revision(alert, number, appeal_content(number), dark=False, frame=frame), material, variant
    )
