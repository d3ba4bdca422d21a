"""The HTTP edge: limits, correlation, and errors as problem documents that never repeat a value."""

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Annotated, Any, TypeVar
from uuid import uuid4

import orjson
import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BeforeValidator
from starlette.exceptions import HTTPException

from schemas.base import Instant
from services.kernel.http_idempotency import answered_before
from services.kernel.idempotency import AnsweredBefore
from services.kernel.postgres import LOST
from services.kernel.problems import Problem, TooLargeError, UnavailableError, field_errors
from services.kernel.vault import WrappingError

MAX_BODY_BYTES = 64 * 1024
PROBLEM_JSON = "application/problem+json"
# Both travel into logs and Kafka headers, so nothing that could be a name gets through.
_CORRELATION = re.compile(r"^[0-9a-f]{8}[0-9a-f-]{0,56}$")
_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")

log = structlog.get_logger()

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Handler = Callable[[Request, Exception], Response]
Face = Callable[[Request, Response], Response]
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def takes_up_to(size: int) -> Callable[[Endpoint], Endpoint]:
    """Marks an endpoint whose body may hold up to `size` bytes; it reads the body itself, once it knows the caller."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.max_body_bytes = size  # type: ignore[attr-defined]
        return endpoint

    return mark


def _large_bodies(routers: Iterable[APIRouter]) -> list[tuple[APIRoute, int]]:
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    return [(r, r.endpoint.max_body_bytes) for r in routes if hasattr(r.endpoint, "max_body_bytes")]


def json_answer(status: int, answer: Any) -> Response:
    """An answer in JSON; ids and times become text."""
    return Response(orjson.dumps(answer, default=str), status, media_type="application/json")


def problem_response(problem: Problem) -> Response:
    """The problem as an answer."""
    return Response(orjson.dumps(problem.document()), problem.status, problem.headers, PROBLEM_JSON)


def _plain(status: int, rule: str, detail: str, **extra: Any) -> Response:
    body = {
        "type": f"urn:zoeklicht:problem:{rule}",
        "title": detail,
        "status": status,
        "detail": detail,
        "rule": rule,
    }
    return Response(orjson.dumps({**body, **extra}), status, media_type=PROBLEM_JSON)


def _on_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - registered for this type alone
    return problem_response(error)


def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type alone
    if any(item["type"] == "json_invalid" for item in error.errors()):
        return _plain(400, "malformed-json", "the body is not valid JSON; check quotes, commas and brackets")
    errors = field_errors(error.errors())
    fields = ", ".join(item["field"] for item in errors)
    return _plain(422, "content", f"correct these fields and send it again: {fields}", errors=errors)


def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type alone
    answer = _plain(error.status_code, "http", str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


def _on_crash(request: Request, error: Exception) -> Response:
    log.error("unexpected error", method=request.method, exc_info=error)
    return _plain(500, "internal", "our fault: it is logged; try again, and tell us the x-correlation-id")


def _on_away(request: Request, error: Exception) -> Response:
    log.warning("a part is away", method=request.method, error_class=type(error).__name__)
    what = str(error) if isinstance(error, WrappingError) else "the database does not answer"
    again = "nothing is lost: send it again, changes with the same Idempotency-Key"
    return problem_response(UnavailableError("away", f"{what}; {again}", headers={"Retry-After": "2"}))


_HANDLERS: dict[type[Exception], Handler] = {
    **dict.fromkeys((WrappingError, *LOST), _on_away),
    Problem: _on_problem,
    RequestValidationError: _on_invalid,
    HTTPException: _on_http,
    Exception: _on_crash,
}


def as_it_is(_request: Request, problem: Response) -> Response:
    """The face of a problem that programs know."""
    return problem


def _faced(handler: Handler, face: Face) -> Handler:
    return lambda request, error: face(request, handler(request, error))


class EdgeMiddleware:
    """Refuses bodies over the limit, gives every request a correlation id, and answers HEAD wherever GET is answered."""

    def __init__(
        self, app: Any, max_body: int = MAX_BODY_BYTES, uploads: Iterable[tuple[APIRoute, int]] = ()
    ) -> None:
        self._app = app
        self._max_body = max_body
        self._uploads = list(uploads)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-correlation-id", b"").decode("ascii", "ignore")
        correlation = given if _CORRELATION.match(given) else str(uuid4())
        structlog.contextvars.bind_contextvars(correlation_id=correlation)
        send = _tagged(send, correlation)
        upload = self._upload_limit(scope)
        limit = upload or self._max_body
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > limit:
            await problem_response(_too_large(limit))(scope, receive, send)
            return
        if b"transfer-encoding" in headers:
            if upload:
                receive = _counted(receive, upload)
            else:
                body = await _bounded(receive, limit)
                if body is None:
                    await problem_response(_too_large(limit))(scope, receive, send)
                    return
                receive = _replay(body, receive)
        if scope["method"] == "HEAD":
            await self._head(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _head(self, scope: Message, receive: Receive, send: Send) -> None:
        """What a GET would answer; the server sends its headers and keeps its body."""
        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, send)
        finally:
            scope["route"] = asked.get("route")  # for whoever notes the request

    def _upload_limit(self, scope: Message) -> int | None:
        for route, limit in self._uploads:
            if scope["method"] in (route.methods or ()) and route.path_regex.match(scope["path"]):
                return limit
        return None


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError("body-size", f"the body of this call holds at most {limit} bytes; send less")


def _counted(receive: Receive, limit: int) -> Receive:
    """An upload without a declared size: nothing is read ahead, and reading past the limit raises TooLargeError."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise _too_large(limit)
        return message

    return counted


def _tagged(send: Send, correlation: str) -> Send:
    async def tagged(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                *message.get("headers", []),
                (b"x-correlation-id", correlation.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
        await send(message)

    return tagged


async def _bounded(receive: Receive, limit: int) -> bytes | None:
    """A chunked body, whole; None as soon as it is over the limit."""
    parts = bytearray()
    while True:
        message = await receive()
        parts += message.get("body", b"")
        if len(parts) > limit:
            return None
        if not message.get("more_body"):
            return bytes(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def harden(app: FastAPI, routers: Iterable[APIRouter] = (), face: Face = as_it_is) -> None:
    """Gives an application the edge that every service shares.

    `routers` say which of their calls take uploads; `face` may put another face on a problem, of the same status.
    """
    for error, handler in _HANDLERS.items():
        app.add_exception_handler(error, _faced(handler, face))
    app.add_exception_handler(AnsweredBefore, answered_before)
    app.add_middleware(EdgeMiddleware, uploads=_large_bodies(routers))


def _plus(value: Any) -> Any:
    """In a query a plus sign stands for a space; a time with offset has no other space, so it is meant."""
    return value.replace(" ", "+") if isinstance(value, str) else value


Moment = Annotated[Instant, BeforeValidator(_plus)]
"""A time in a query, with offset."""


def if_match(request: Request) -> int | None:
    """The version of an `If-Match: "<version>"` header; None when absent or `*`."""
    value = request.headers.get("if-match")
    if value is None or value.strip() == "*":
        return None
    text = value.strip().strip('"')
    # Something that never was a version matches nothing: 412, as for any other stale one.
    return int(text) if text.isdecimal() and len(text) < 19 else -1  # noqa: PLR2004 - a bigint's digits


def traceparent(request: Request) -> str | None:
    """The W3C `traceparent` of a request; None when there is none of that form."""
    value = request.headers.get("traceparent", "")
    return value if _TRACEPARENT.match(value) else None
