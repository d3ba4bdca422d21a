"""Who asks over HTTP: the caller's role proven, and the request that it came with."""

from typing import Annotated, Any

from fastapi import Depends, Request

from services.kernel.auth import require
from services.kernel.http import traceparent
from services.kernel.http_idempotency import idempotency_of
from services.kernel.idempotency import Idempotency
from services.kernel.logging import correlation_id
from services.kernel.principals import LEADS, Principal, Role
from services.volunteers.desk import Ask


def _asking(*roles: Role) -> Any:
    """Who asks, once a role of `roles` is proven."""
    allowed = require(*roles)

    async def ask(request: Request, principal: Annotated[Principal, Depends(allowed)]) -> Ask:
        return Ask(principal, correlation_id(), traceparent(request))

    return Depends(ask)


Admin = Annotated[Ask, _asking(Role.ADMIN)]
Lead = Annotated[Ask, _asking(*LEADS)]
Key = Annotated[Idempotency | None, Depends(idempotency_of)]
