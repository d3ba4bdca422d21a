"""Intake over HTTP, on a real PostgreSQL: every documented answer, and what must not happen with it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest
import uvicorn
from fastapi import FastAPI

from services.eventlog.store import Cause, NewEvent, Append, append, assessment_stream, lock_streams, stopped
from services.intake.api import router
from services.intake.handlers import IntakeDeps
from services.intake.policy import load_policy
from services.kernel.auth import Role, issue_token
from services.kernel.http import harden

CASE = {
    "kind": "runaway",
    "reported_by": "parent",
    "disappeared_at": "2021-03-04T17:30:00+01:00",
    "last_seen": {"postal_code": "3000", "place": "Verzonnenplein", "lat": 50.88, "lon": 4.71},
    "children": [
        {
            "given_name": "Lou",
            "family_name": "Voorbeeld",
            "date_of_birth": "2008-07-01",
            "gender": "girl",
            "nationality": "BE",
            "description": "rode jas",
        }
    ],
    "circumstances": [
        {"criterion": "medication_dependent", "value": "yes", "child": 0, "note": "verzonnen insuline"}
    ],
}
SECRETS = (
    "Lou",
    "Voorbeeld",
    "Noa",
    "2008-07-01",
    "rode jas",
    "Verzonnenplein",
    "insuline",
    "50.88",
    "Rechter",
)


@dataclass
class Api:
    """A running intake and a caller of it."""

    base: str
    session: aiohttp.ClientSession
    tokens: dict[str, str]
    pool: Any
    seen: list[str] = field(default_factory=list)

    async def call(self, method: str, path: str, body: Any = None, who: str = "operator", **headers: str):
        if who:
            headers["Authorization"] = f"Bearer {self.tokens[who]}"
        data = body if isinstance(body, bytes) else json.dumps(body) if body is not None else None
        if data is not None:
            headers.setdefault("Content-Type", "application/json")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, self.base + path, data=data, headers=named) as answer:
            text = await answer.text()
            return Got(answer.status, json.loads(text), answer.headers)

    async def post(self, path: str, body: Any, who: str = "operator", **headers: str):
        return await self.call("POST", path, body, who, **headers)

    async def get(self, path: str, who: str = "operator"):
        return await self.call("GET", path, None, who)

    async def opened(self, **changes: Any) -> str:
        got = await self.post("/v1/cases", CASE | changes)
        assert got.status == 201, got.body
        return got.body["case_id"]

    async def fact(self, case: str, **fact: Any):
        return await self.post(f"/v1/cases/{case}/events", fact)

    async def count(self) -> int:
        return await self.pool.fetchval("select count(*) from eventlog.events")


@dataclass
class Got:
    status: int
    body: Any
    headers: Any


@pytest.fixture
async def deps(settings, pool, vault) -> IntakeDeps:
    return IntakeDeps(pool, vault, settings, load_policy())


@pytest.fixture
async def api(settings, pool, deps) -> AsyncIterator[Api]:
    app = FastAPI()
    harden(app)
    app.state.auth_pool, app.state.master_key = pool, settings.master_key_bytes
    app.include_router(router(deps))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with pool.acquire() as connection:
        people = {"operator": Role.OPERATOR, "coordinator": Role.COORDINATOR, "admin": Role.ADMIN}
        people |= {"viewer": Role.VIEWER, "partner": Role.PARTNER}
        tokens = {name: await issue_token(connection, name, role) for name, role in people.items()}
    async with aiohttp.ClientSession() as session:
        yield Api(f"http://127.0.0.1:{port}", session, tokens, pool)
    server.should_exit = True
    await task


async def test_a_case_is_opened_and_read(api):
    """Opening answers 201 with id, number, version and ETag; reading gives the identity back to staff."""
    got = await api.post("/v1/cases", CASE)
    assert got.status == 201
    assert set(got.body) >= {"case_id", "case_number", "version", "possible_duplicates"}
    assert got.headers["ETag"] == f'"{got.body["version"]}"'
    case = (await api.get(f"/v1/cases/{got.body['case_id']}")).body
    assert case["case_number"] == got.body["case_number"]
    assert (case["state"], case["worrying"], case["kind"]) == ("open", False, "runaway")
    child = case["children"][0]
    assert (child["given_name"], child["age_min"], child["age_max"]) == ("Lou", 12, 12)
    assert case["last_seen"]["place"] == "Verzonnenplein"
    assert case["circumstances"][0]["note"] == "verzonnen insuline"
