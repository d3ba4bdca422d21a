"""The only public listener as a process: one pool for each service's routes, one edge for all."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any

import structlog
import uvicorn
from fastapi import APIRouter

from services.criteria import api as criteria
from services.dispatch import api as dispatch
from services.dispatch.desk import DispatchDeps
from services.intake import api as intake
from services.intake import photo_api
from services.intake.handlers.steps import IntakeDeps
from services.intake.policy import load_policy
from services.kernel.audit import api as audit
from services.kernel.errors import ZoeklichtError
from services.kernel.paging import api as paging
from services.kernel.postgres import Pool, create_pool
from services.kernel.service import Runtime, run_service
from services.kernel.settings import Settings
from services.kernel.site import Site, face_of
from services.kernel.site import api as site
from services.kernel.vault import Vault, ring_of
from services.projections import api as projections
from services.projections.statistics import api as statistics
from services.volunteers import api as volunteers
from services.volunteers import board_pages
from services.volunteers import pages as volunteer_pages
from services.volunteers.desk import VolunteerDeps
from services.web import live_api, pages
from services.web.app import compose
from services.web.board import Board
from services.web.watch import Watch

_KEPT = frozenset({"auth", "dispatch", "intake", "vault"})
STOP_WITHIN_S = 5
"""How long answers under way may take when the service is to stop."""

log = structlog.get_logger()


class ListenError(ZoeklichtError):
    """The address cannot be listened on."""


async def _serve(runtime: Runtime) -> None:
    settings = runtime.settings
    async with AsyncExitStack() as stack:
        main = settings.database_url.get_secret_value()
        watch = Watch(settings, runtime.pool)
        board = Board(settings, await _pool(stack, main, "board", 2), watch)
        shown = pages.site()
        routers = await _routers(settings, stack, board, shown)
        oidc = None
        if settings.oidc_issuer is not None:
            # Late: the library that checks signatures takes 15 MB.
            from services.kernel.oidc import api as signing_in  # noqa: PLC0415
            from services.kernel.oidc.provider import provider_of  # noqa: PLC0415

            oidc = provider_of(settings)
            routers.append(signing_in.router(oidc, settings.base_url, settings.master_key_bytes))
        auth_pool = await _pool(stack, main, "auth", settings.pool_size)
        app = compose(
            settings,
            routers,
            auth_pool=auth_pool,
            watch_pool=runtime.pool,
            watch=watch,
            oidc=oidc,
            face=face_of(shown),
        )
        async with runtime.loops() as tasks:
            looking = [tasks.create_task(look) for look in watch.looks()]
            tasks.create_task(board.run(runtime.stop))
            await _listen(AccessLog(app), runtime)
            for look in looking:
                look.cancel()


async def _routers(settings: Settings, stack: AsyncExitStack, board: Board, shown: Site) -> list[APIRouter]:
    """Each service's routes with that service's own pool, so that none can use up another's connections."""
    main, size = settings.database_url.get_secret_value(), settings.pool_size
    vault = Vault(await _pool(stack, settings.vault_url, "vault", size), ring_of(settings))
    pool = await _pool(stack, main, "intake", size)
    cases = IntakeDeps(pool, vault, settings, load_policy(settings.policy))
    figures = projections.ProjectionsDeps(await _pool(stack, main, "projections", size), settings)
    helpers = VolunteerDeps(await _pool(stack, main, "volunteers", size), vault, settings)
    return [
        site.router(shown),
        pages.router(shown, settings),
        live_api.router(board),
        intake.router(cases),
        photo_api.public(cases),
        dispatch.router(DispatchDeps(await _pool(stack, main, "dispatch", size), vault, settings)),
        criteria.router(criteria.deps_of(await _pool(stack, main, "criteria", 2), settings)),
        audit.router(await _pool(stack, main, "audit", 2)),
        paging.router(paging.PagingDeps(await _pool(stack, main, "paging", 2), settings)),
        projections.router(figures),
        statistics.router(figures),
        volunteers.router(helpers),
        volunteer_pages.router(helpers, shown),
        board_pages.router(helpers, shown),
    ]


async def _pool(stack: AsyncExitStack, url: str, name: str, size: int) -> Pool:
    # Of what is seldom asked for no connection is kept: each costs the server 12 MB.
    pool = await create_pool(url, size=size, keep=int(name in _KEPT), application=f"zoeklicht-web-{name}")
    stack.push_async_callback(pool.close)
    return pool


async def _listen(app: Any, runtime: Runtime) -> None:
    settings = runtime.settings
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_WITHIN_S,
        lifespan="off",
        h11_max_incomplete_event_size=32 * 1024,
    )
    server = _Server(config)
    with _socket(settings) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        runtime.ready = True
        stopping = asyncio.create_task(runtime.stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        stopping.cancel()
        with suppress(asyncio.CancelledError):
            await serving


@contextmanager
def _socket(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with listener:
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise ListenError(
                f"cannot listen on {settings.host}:{settings.port} ({error.strerror}); set ZOEKLICHT_PORT"
            ) from error
        yield listener


class _Server(uvicorn.Server):
    """Leaves signals to the service around it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing to capture."""
        yield


class AccessLog:
    """One line a request: method, route, status, milliseconds. Neither query string nor path: people type names there."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def noted(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        structlog.contextvars.unbind_contextvars("correlation_id")
        try:
            await self._app(scope, receive, noted)
        finally:
            if not scope["path"].startswith(("/healthz", "/readyz", "/metrics")):
                took = round((time.monotonic() - began) * 1000, 1)
                route = getattr(scope.get("route"), "path", "unmatched")
                log.info("request", method=scope["method"], route=route, status=status, took_ms=took)


def main() -> int:
    """Listens until told to stop."""
    return run_service("web", _serve)
