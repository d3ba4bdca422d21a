"""The router of dispatch over HTTP, without a socket, with one token per role."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from dispatch_ground import LEUVEN
from fastapi import FastAPI

from services.dispatch.api import router
from services.dispatch.desk import DispatchDeps
from services.dispatch.partners import activate
from services.kernel.http import harden
from services.kernel.paging import api as paging
from services.kernel.postgres import in_transaction
from services.kernel.principals import Role, issue_token
from services.kernel.settings import Settings
from services.kernel.vault import Vault

PARTNER: dict[str, Any] = {
    "name": "Screens Ltd",
    "url": "http://127.0.0.1:9/hook",
    "areas": [LEUVEN],
    "languages": ["nl"],
    "contact": "desk",
}


class Answer:
    """An answer of the application."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """Calls the application as ASGI; `tokens` by role."""

    def __init__(self, app: FastAPI, tokens: dict[Role, str]) -> None:
        self._app = app
        self.tokens = tokens

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: Role = Role.ADMIN,
        token: str = "",
        key: str = "",
        if_none_match: str = "",
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Answer:
        path, _, query = path.partition("?")
        sent = raw if raw is not None else orjson.dumps(body) if body is not None else b""
        sent_headers = [
            (b"content-type", (headers or {}).get("content-type", "application/json").encode()),
            (b"content-length", str(len(sent)).encode()),
            (b"authorization", f"Bearer {token or self.tokens.get(role, '')}".encode()),
        ]
        if key:
            sent_headers.append((b"idempotency-key", key.encode()))
        if if_none_match:
            sent_headers.append((b"if-none-match", if_none_match.encode()))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": sent_headers + [(k.encode(), v.encode()) for k, v in (headers or {}).items()],
            "scheme": "http",
            "server": ("test", 80),
            "client": ("test", 1),
            "root_path": "",
        }
        found: dict[str, Any] = {"body": b""}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": sent, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                found["status"] = message["status"]
                found["headers"] = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                found["body"] += message.get("body", b"")

        await self._app(scope, receive, send)
        return Answer(found["status"], found["headers"], found["body"])


@asynccontextmanager
async def client_of(pool: asyncpg.Pool, vault: Vault, settings: Settings) -> AsyncIterator[Client]:
    """A client of an application that holds the routers of dispatch and of pages alone."""
    app = FastAPI()
    harden(app)
    app.state.auth_pool = pool
    app.state.master_key = settings.master_key_bytes
    app.include_router(router(DispatchDeps(pool, vault, settings)))
    app.include_router(paging.router(paging.PagingDeps(pool, settings)))
    tokens = {}
    async with pool.acquire() as connection:
        for role in (Role.ADMIN, Role.COORDINATOR, Role.OPERATOR, Role.VIEWER):
            tokens[role] = await issue_token(connection, role.value, role)
    yield Client(app, tokens)


async def become_active(pool: asyncpg.Pool, partner: dict[str, Any]) -> None:
    """As the sender does when the partner answers its ping."""
    await in_transaction(pool, lambda c: activate(c, UUID(partner["partner_id"])))
