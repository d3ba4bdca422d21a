"""Who asks and what is answered, the same for every call of intake."""

from typing import Annotated, Any

import orjson
from fastapi import Depends, Request
from fastapi.responses import Response

from services.intake.handlers.steps import Answer, Ask
from services.kernel.auth import require
from services.kernel.http import if_match, traceparent
from services.kernel.http_idempotency import idempotency_of
from services.kernel.idempotency import Idempotency
from services.kernel.logging import correlation_id
from services.kernel.principals import EVERYONE_INSIDE, LEADS, READERS, STAFF, Principal, Role


def _ask(*roles: Role) -> Any:
    """Who asks, once a role of `roles` is proven."""
    allowed = require(*roles)

    async def ask(
        request: Request,
        principal: Annotated[Principal, Depends(allowed)],
        idempotency: Annotated[Idempotency | None, Depends(idempotency_of)],
    ) -> Ask:
        return Ask(
            principal,
            correlation_id(),
            traceparent(request),
            idempotency,
            if_match(request),
        )

    return Depends(ask)


Staff = Annotated[Ask, _ask(*STAFF)]
Consenting = Annotated[Ask, _ask(*STAFF, Role.MAGISTRATE_LIAISON)]
Lead = Annotated[Ask, _ask(*LEADS)]
Outsider = Annotated[Ask, _ask(*(role for role in EVERYONE_INSIDE if role not in READERS))]


def json_of(status: int, body: Any) -> Response:
    """A body in JSON; its version becomes the ETag."""
    headers = {}
    if isinstance(body, dict) and "version" in body:
        headers["ETag"] = f'"{body["version"]}"'
    return Response(orjson.dumps(body), status, headers, "application/json")


def answered(answer: Answer) -> Response:
    """What a use case answers."""
    return json_of(answer.status, answer.body)
