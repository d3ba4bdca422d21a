"""Idempotency-Key in requests and answers."""

import re

import orjson
from fastapi import Request
from fastapi.responses import Response

from services.kernel.idempotency import AnsweredBefore, Idempotency
from services.kernel.problems import InvalidError
from services.kernel.vault import blind, derive

_KEY_FORM = re.compile(r"^[\x21-\x7e]{1,200}$")


async def idempotency_of(request: Request) -> Idempotency | None:
    """A dependency, to be declared after `require(…)`: the request's key, or None when it carries none."""
    return idempotency_for(request, (await request.body()).hex())


def idempotency_for(request: Request, content: str) -> Idempotency | None:
    """The request's key, bound to what makes its body the same again: of an upload, not the wrapping around it."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not _KEY_FORM.match(key):
        raise InvalidError("idempotency-key", "an Idempotency-Key is 1 to 200 visible ASCII characters")
    secret = derive(request.app.state.master_key, "idempotency")
    body = blind(secret, content)
    return Idempotency(
        request.state.principal.name, f"{request.method} {request.url.path}", key, body, secret
    )


def answered_before(_request: Request, before: Exception) -> Response:
    """Gives the first answer again."""
    assert isinstance(before, AnsweredBefore)  # noqa: S101 - registered for this type alone
    headers = {"Idempotency-Replayed": "true"}
    version = before.answer.get("version")
    if version is not None:
        headers["ETag"] = f'"{version}"'
    return Response(orjson.dumps(before.answer), before.status, headers, "application/json")
