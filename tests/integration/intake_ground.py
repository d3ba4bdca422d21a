"""What tests of intake over HTTP stand on: a running intake on a real PostgreSQL, and a caller of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import uvicorn
from fastapi import FastAPI

from schemas.events import AssessmentChanged, EventData
from services.eventlog.store import Append, Cause, NewEvent, append, lock_streams
from services.intake import photo_api
from services.intake.api import router
from services.intake.handlers.steps import IntakeDeps
from services.kernel.audit import api as audit
from services.kernel.http import harden
from services.kernel.principals import Role, issue_token

LOU = {
    "given_name": "Lou",
    "family_name": "Voorbeeld",
    "date_of_birth": "2008-07-01",
    "gender": "girl",
    "nationality": "BE",
    "description": "rode jas",
}
NOA = {"given_name": "Noa", "family_name": "Voorbeeld", "age_estimate": {"min": 8, "max": 10}}
CASE = {
    "kind": "runaway",
    "reported_by": "parent",
    "disappeared_at": "2021-03-04T17:30:00+01:00",
    "last_seen": {"postal_code": "3000", "place": "Verzonnenplein", "lat": 50.8791234, "lon": 4.71},
    "children": [LOU],
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
    "50.8791234",
    "Rechter",
)
NOW = "2021-03-05T10:00:00+01:00"


@dataclass
class Got:
    """An answer."""

    status: int
    body: Any
    headers: Any


@dataclass
class Api:
    """A running intake and a caller of it."""

    base: str
    session: aiohttp.ClientSession
    tokens: dict[str, str]
    pool: Any

    async def call(
        self, method: str, path: str, body: Any = None, who: str = "operator", **headers: str
    ) -> Got:
        if who:
            headers["Authorization"] = f"Bearer {self.tokens.get(who, who)}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body)
        if data is not None:
            headers.setdefault("Content-Type", "application/json")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, self.base + path, data=data, headers=named) as answer:
            return Got(answer.status, json.loads(await answer.text()), answer.headers)

    async def post(self, path: str, body: Any, who: str = "operator", **headers: str) -> Got:
        return await self.call("POST", path, body, who, **headers)

    async def get(self, path: str, who: str = "operator") -> Got:
        return await self.call("GET", path, None, who)

    async def opened(self, **changes: Any) -> str:
        got = await self.post("/v1/cases", CASE | changes)
        assert got.status == 201, got.body
        return got.body["case_id"]

    async def case(self, case: str, who: str = "operator") -> Any:
        return (await self.get(f"/v1/cases/{case}", who)).body

    async def fact(self, case: str, kind: str, **fact: Any) -> Got:
        return await self.post(f"/v1/cases/{case}/events", {"type": kind, **fact})

    async def requested(self, case: str, kind: str = "vignette", who: str = "operator", **more: Any) -> str:
        parties = {"vignette": ["police", "child_focus"], "child_alert": ["magistrate"]}
        parties["public"] = ["police", "public_prosecutor", "child_focus", "parents"]
        body = {"kind": kind, "areas": ["24062"], "consents": [consent(p) for p in parties[kind]], **more}
        got = await self.post(f"/v1/cases/{case}/campaigns", body, who)
        assert got.status == 201, got.body
        return got.body["campaign_id"]

    async def released(self, case: str, kind: str = "vignette", **more: Any) -> str:
        campaign = await self.requested(case, kind, **more)
        got = await self.post(f"/v1/campaigns/{campaign}/release", {}, "coordinator")
        assert got.status == 200, got.body
        return campaign

    async def count(self) -> int:
        return await self.pool.fetchval("select count(*) from eventlog.events")

    async def types(self, case: str) -> list[str]:
        rows = await self.pool.fetch(
            "select type from eventlog.events where subject = $1 order by position", case
        )
        return [row["type"] for row in rows]

    async def put(self, case: str, stream: str, *data: EventData) -> None:
        cause = Cause("tester", "c-1")
        async with self.pool.acquire() as connection, connection.transaction():
            await lock_streams(connection, [stream])
            await append(connection, [Append(stream, case, [NewEvent(one) for one in data], cause)])


def consent(party: str, decision: str = "given", **more: Any) -> dict[str, Any]:
    return {"party": party, "given_by": "Rechter Verzonnen", "decision": decision, "at": NOW, **more}


async def in_time(make: Callable[[datetime], Awaitable[Any]]) -> tuple[Any, datetime]:
    """What `make` made for a moment soon to come, and that moment: a later one when this machine was too slow."""
    for seconds in (2, 10, 50):
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        with suppress(AssertionError):
            made = await make(end)
            if datetime.now(UTC) < end:
                return made, end
    raise AssertionError("it was never made in time")


def assessed(*, worrying: bool) -> AssessmentChanged:
    return AssessmentChanged(
        case_number="2021-000001",
        kind="runaway",
        case_version=1,
        case_open=True,
        rules="MD-2002-02-20",
        worrying=worrying,
        episode=1,
        criteria=(),
        reasons=("criterion:under_13",),
        changes=("worrying",),
    )


@asynccontextmanager
async def running(deps: IntakeDeps) -> AsyncIterator[Api]:
    """Intake behind HTTP, with a token for each role."""
    pool = deps.pool
    app = FastAPI()
    routers = [router(deps), photo_api.public(deps), audit.router(pool)]
    harden(app, routers)
    app.state.auth_pool, app.state.master_key = pool, deps.settings.master_key_bytes
    for one in routers:
        app.include_router(one)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0)
    port = server.servers[0].sockets[0].getsockname()[1]
    people = {"operator": Role.OPERATOR, "coordinator": Role.COORDINATOR, "admin": Role.ADMIN}
    people |= {"viewer": Role.VIEWER, "partner": Role.PARTNER}
    async with pool.acquire() as connection:
        tokens = {name: await issue_token(connection, name, role) for name, role in people.items()}
    try:
        async with aiohttp.ClientSession() as session:
            yield Api(f"http://127.0.0.1:{port}", session, tokens, pool)
    finally:
        server.should_exit = True
        await task
