"""What a provider reports of messages: signed, late, twice, out of order, or before it had answered at all."""

import time
from collections.abc import Mapping
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, ValidationError

from schemas.base import Strict
from schemas.vocabulary import Reply
from services.eventlog.store import Cause
from services.kernel import signing
from services.kernel.postgres import Connection, in_transaction, queries
from services.kernel.problems import InvalidError, NotFoundError, UnauthorizedError, field_errors
from services.volunteers.callouts import Work, answer
from services.volunteers.desk import VolunteerDeps
from services.volunteers.domain.callout import Said
from services.volunteers.planning import LANE_CHANNEL

ACTOR = "provider"

_SQL = queries("services.volunteers", "messages.sql")


class Report(Strict):
    """What became of a message; `replied`: the person answered on that channel, by a key or by text."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}-[0-7]$")]
    state: Literal["accepted", "delivered", "failed", "replied"]
    reply: Literal["yes", "no"] | None = None


def verified(deps: VolunteerDeps, headers: Mapping[str, str], body: bytes) -> Report:
    """The report, once its signature fits. Raises UnauthorizedError, InvalidError."""
    secret = deps.settings.sms_signing_key
    if secret is None:
        raise UnauthorizedError("signature", "ZOEKLICHT_SMS_SIGNING_KEY is not set: no report is believed")
    try:
        keys = [signing.parse_secret(secret.get_secret_value())]
        signing.verify(keys, {k.lower(): v for k, v in headers.items()}, body, int(time.time()))
    except signing.SignatureError as error:
        raise UnauthorizedError("signature", str(error)) from None
    try:
        return Report.model_validate_json(body)
    except ValidationError as error:
        raise InvalidError("content", "correct these fields", errors=field_errors(error.errors())) from None


async def take(deps: VolunteerDeps, report: Report) -> None:
    """Acts on a report. Twice is as good as once. Raises NotFoundError for a message that is not ours."""
    await in_transaction(deps.pool, lambda connection: _take(deps, connection, report))


async def _take(deps: VolunteerDeps, connection: Connection, report: Report) -> None:
    number, _, channel = report.id.partition("-")
    row = await connection.fetchrow(_SQL["message"], UUID(hex=number))
    if row is None:
        raise NotFoundError(
            "message", "there is no such message: report the id with which it was handed over"
        )
    if report.state == "replied" and report.reply is not None:
        said = Said(Reply(report.reply), revision=row["need_revision"])
        work = Work(deps, connection, row["callout_id"], Cause(ACTOR, str(row["message_id"])))
        await answer(work, row["volunteer_id"], said)
        return
    changed = await connection.fetchval(_SQL["report"], row["message_id"], int(channel), report.state)
    if changed and report.state == "failed":
        await connection.execute(_SQL["try_next"], row["message_id"], int(channel))
        await connection.execute(f"notify {LANE_CHANNEL}")
