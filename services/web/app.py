"""The one application that the public meets: every service's routes under one roof, with one edge."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute

from services.kernel.auth import Naming
from services.kernel.http import PROBLEM_JSON, Face, as_it_is, harden
from services.kernel.limits import Limiter
from services.kernel.postgres import Pool
from services.kernel.settings import Settings
from services.web import docs, health, metrics
from services.web.watch import Watch

VERSION = "0.1.0"
ABOUT = (
    "Alerts about missing children: in public within seconds, dark even faster. Send a token as"
    " 'Authorization: Bearer …'. Every error is a problem document (RFC 9457) that says what to do and never"
    " repeats a value. An Idempotency-Key on a POST makes it safe to send again."
)
_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "rule"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What to do next"},
        "rule": {"type": "string", "description": "A short name that stays the same"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("field", "rule", "detail")},
            },
        },
    },
}


def problem(text: str) -> dict[str, Any]:
    """How an OpenAPI document describes an answer that is a problem document."""
    return {"description": text, "content": {PROBLEM_JSON: {"schema": _PROBLEM_SCHEMA}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: problem("The request cannot be read"),
    401: problem("No valid token"),
    403: problem("The token is of a role that may not"),
    404: problem("There is no such thing, or not for this caller"),
    409: problem("A rule of state forbids it now"),
    412: problem("Changed since the version in If-Match"),
    413: problem("The body is too large"),
    422: problem("The content is wrong; the fields are named"),
    429: problem("Too many calls; Retry-After says when the next may come"),
    503: problem("A part that is needed is away"),
}


def _tagged(router: APIRouter) -> APIRouter:
    """Calls are grouped by what they are about: the first word of their path, where a service names no group."""
    for route in router.routes:
        if isinstance(route, APIRoute) and not route.tags:
            route.tags = [route.path.removeprefix("/v1/").partition("/")[0]]
    return router


def compose(
    settings: Settings,
    routers: Sequence[APIRouter],
    *,
    auth_pool: Pool,
    watch_pool: Pool,
    watch: Watch,
    oidc: Naming | None = None,
    face: Face = as_it_is,
) -> FastAPI:
    """The application. `auth_pool` is asked whose token it is, `watch_pool` for health and figures; `face`: see `harden`."""
    app = FastAPI(title="zoeklicht", version=VERSION, description=ABOUT, docs_url=None, redoc_url=None)
    harden(app, routers, face)
    app.state.auth_pool = auth_pool
    app.state.oidc = oidc
    app.state.limiter = Limiter(settings.calls_per_minute)
    app.state.sign_in_limiter = Limiter(settings.sign_ins_per_minute)
    app.state.secure_cookies = settings.base_url.startswith("https:")
    app.state.master_key = settings.master_key_bytes
    for router in routers:
        app.include_router(_tagged(router), responses=PROBLEMS)
    app.include_router(health.router(watch))
    app.include_router(metrics.router(watch_pool, watch))

    @app.get("/docs", include_in_schema=False)
    async def documentation() -> HTMLResponse:
        """The API for people."""
        return HTMLResponse(
            docs.page(app.openapi()), headers={"content-security-policy": docs.CONTENT_SECURITY_POLICY}
        )

    return app
