"""What the sender's tests stand on: partners on loopback, and alerts put into the tables as the planner puts them."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
from aiohttp import web

from services.dispatch.secret_boxes import PURPOSE
from services.dispatch.sender import Sender
from services.kernel.settings import Settings, load_settings
from services.kernel.signing import new_secret, parse_secret, verify
from services.kernel.vault import Vault, context, derive, key_name, seal

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def accept(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=202)


async def hang(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


def answering(status: int, **headers: str) -> Behaviour:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers=headers)

    return answer


def bare_settings(**changes: object) -> Settings:
    """Settings of an installation without a database: what only speaks HTTP needs none."""
    return load_settings(
        database_url="postgresql://u:p@127.0.0.1:1/x",
        kafka_bootstrap_servers="127.0.0.1:1",
        master_key="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        **changes,
    )


@dataclass
class Seen:
    """One request as a partner saw it, when it came in."""

    headers: dict[str, str]
    body: bytes

    @property
    def revision(self) -> int:
        return int(json.loads(self.body)["data"]["revision"])

    @property
    def type(self) -> str:
        return str(json.loads(self.body)["type"])


@dataclass
class Partner:
    """A receiver on loopback."""

    behaviour: Behaviour = accept
    seen: list[Seen] = field(default_factory=list)
    url: str = ""
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(Seen({k.lower(): v for k, v in request.headers.items()}, await request.read()))
        async with self.arrived:
            self.arrived.notify_all()
        return await self.behaviour(request)

    async def until(self, holds: Callable[[list[Seen]], bool], within: float = 30) -> None:
        async with asyncio.timeout(within), self.arrived:
            await self.arrived.wait_for(lambda: holds(self.seen))


@asynccontextmanager
async def partners(count: int = 1) -> AsyncIterator[list[Partner]]:
    """Receivers, each with a port of its own."""
    runners, made = [], []
    try:
        for _ in range(count):
            partner = Partner()
            app = web.Application()
            app.router.add_route("*", "/hook", partner.handle)
            runner = web.AppRunner(app, shutdown_timeout=0.01, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            partner.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
            runners.append(runner)
            made.append(partner)
        yield made
    finally:
        for runner in runners:
            await runner.cleanup()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Alert:
    alert_id: UUID
    case_id: UUID
    campaign_id: UUID
    recipients: list[UUID]
    expires_at: datetime | None = None
    revision: int = 0


@dataclass
class Ground:
    """Puts recipients and alerts into the tables."""

    pool: Any
    vault: Vault
    settings: Settings
    secrets: dict[UUID, str] = field(default_factory=dict)
    alerts: dict[UUID, Alert] = field(default_factory=dict)

    async def recipient(self, url: str, state: str = "active", cap: int = 4, rotating: bool = False) -> UUID:
        recipient, secret = uuid4(), new_secret()
        self.secrets[recipient] = secret
        previous = self._sealed(recipient, new_secret()) if rotating else None
        await self.pool.execute(
            "insert into dispatch.recipient (recipient_id, name, url, format, content, areas, languages, contact,"
            " audience, exercise, state, secret, previous_secret, previous_until, in_flight_cap) values ($1, $2, $3,"
            " 'json', 'full', '{BE}', '{nl}', 'desk', 'display', false, $4, $5, $6,"
            " clock_timestamp() + interval '1 day', $7)",
            recipient,
            f"Partner {recipient.hex[:6]}",
            url,
            state,
            self._sealed(recipient, secret),
            previous,
            cap,
        )
        return recipient

    def _sealed(self, recipient: UUID, secret: str) -> str:
        key = derive(self.settings.master_key_bytes, PURPOSE)
        return seal("partner-secrets", key, secret, str(recipient).encode()).model_dump_json()

    async def alert(
        self, recipients: list[UUID], expires_in: timedelta | None = None, kind: str = "public"
    ) -> Alert:
        alert = Alert(uuid4(), uuid4(), uuid4(), recipients)
        self.alerts[alert.alert_id] = alert
        if expires_in is not None:
            alert.expires_at = await self.pool.fetchval("select clock_timestamp() + $1::interval", expires_in)
        await self.pool.execute(
            "insert into dispatch.alert (alert_id, kind, case_id, campaign_id, mode, areas, head_revision, issued_at,"
            " expires_at) values ($1, $2, $3, $4, 'actual', '{BE}', 0, clock_timestamp(), $5)",
            alert.alert_id,
            kind,
            alert.case_id,
            alert.campaign_id,
            alert.expires_at,
        )
        await self.revise(alert, "issued")
        return alert

    async def revise(self, alert: Alert, content: str, recipients: list[UUID] | None = None) -> int:
        """Publishes the next revision: supersedes what waits, makes the lanes due."""
        alert.revision += 1
        to, number, dark = recipients or alert.recipients, alert.revision, content == "withdrawn"
        body = orjson.dumps(
            {"type": f"alert.{content}", "data": {"alert_id": str(alert.alert_id), "revision": number}}
        ).decode()
        box = None if dark else await self._box(alert, body)
        async with self.pool.acquire() as connection, connection.transaction():
            run = connection.execute
            one, every = (alert.alert_id, number), [str(r) for r in to]
            await run(
                "insert into dispatch.alert_revision (alert_id, revision, content, expires_at) values ($1, $2, $3, $4)",
                *one,
                content,
                None if dark else alert.expires_at,
            )
            await run(
                "update dispatch.alert set head_revision = $2, withdrawn = $3 where alert_id = $1", *one, dark
            )
            await run(
                "insert into dispatch.body (alert_id, revision, variant, box, clear) values ($1, $2, 'json', $3, $4)",
                *one,
                box,
                body if dark else None,
            )
            await run(
                "select from dispatch.lane where alert_id = $1 and recipient_id = any($2::uuid[])"
                " order by recipient_id, alert_id for update",
                alert.alert_id,
                every,
            )
            await run(
                "update dispatch.delivery set state = 'superseded', finished_at = clock_timestamp() where alert_id = $1"
                " and recipient_id = any($2::uuid[]) and state = 'pending'",
                alert.alert_id,
                every,
            )
            await run(
                "insert into dispatch.lane (recipient_id, alert_id, due_at, withdrawal) select r, $1, clock_timestamp(),"
                " $3 from unnest($2::uuid[]) r order by r on conflict (recipient_id, alert_id) do update"
                " set due_at = excluded.due_at, withdrawal = excluded.withdrawal, failures = 0",
                alert.alert_id,
                every,
                dark,
            )
            await run(
                "insert into dispatch.delivery (delivery_id, recipient_id, alert_id, revision, content, variant, state)"
                " select gen_random_uuid(), r, $1, $2, $4, 'json', 'pending' from unnest($3::uuid[]) r order by r",
                *one,
                every,
                content,
            )
            await run("notify dispatch_lane")
        return number

    async def _box(self, alert: Alert, body: str) -> str:
        name = key_name("alert", alert.alert_id)
        key = (await self.vault.ensure([name]))[name]
        place = context(f"alert-{alert.alert_id}", alert.alert_id, f"body.{alert.revision}.json")
        return seal(name, key, body, place).model_dump_json()

    async def stop(self, alert: Alert, kind: str = "campaign", version: int = 1) -> None:
        await self.pool.execute(
            "insert into eventlog.stop (kind, id, case_id, version, event_id, mode) values ($1, $2, $3, $4, $5, 'actual')",
            kind,
            alert.campaign_id if kind == "campaign" else alert.case_id,
            alert.case_id,
            version,
            uuid4(),
        )

    async def states(self, alert: Alert) -> list[tuple[int, str]]:
        rows = await self.pool.fetch(
            "select revision, state from dispatch.delivery where alert_id = $1 order by revision, state",
            alert.alert_id,
        )
        return [(row["revision"], row["state"]) for row in rows]

    async def attempts(self, alert: Alert) -> list[dict[str, Any]]:
        rows = await self.pool.fetch(
            "select d.revision, t.status, t.error_class, t.ended_at, t.size, t.head, t.started_at from dispatch.attempt t"
            " join dispatch.delivery d using (delivery_id) where d.alert_id = $1 order by t.attempt_id",
            alert.alert_id,
        )
        return [dict(row) for row in rows]

    async def lane(self, alert: Alert) -> dict[str, Any]:
        row = await self.pool.fetchrow(
            "select l.*, extract(epoch from l.due_at - clock_timestamp())::float as due_in from dispatch.lane l"
            " where alert_id = $1",
            alert.alert_id,
        )
        return dict(row)

    async def matters(self) -> list[str]:
        rows = await self.pool.fetch("select matter from kernel.page order by matter")
        return [row["matter"].partition(":")[0] for row in rows]

    async def key(self, alert: Alert) -> bytes:
        name = key_name("alert", alert.alert_id)
        return (await self.vault.find([name]))[name]

    def check(self, recipient: UUID, seen: Seen) -> None:
        """The signature holds, as the receiver checks it."""
        now = int(seen.headers["webhook-timestamp"])
        verify([parse_secret(self.secrets[recipient])], seen.headers, seen.body, now)


@asynccontextmanager
async def sending(sender: Sender) -> AsyncIterator[Sender]:
    """A sender at work."""
    stop = asyncio.Event()
    task = asyncio.create_task(sender.run(stop, asyncio.Event(), poll_s=0.02))
    try:
        yield sender
    finally:
        stop.set()
        await task


@asynccontextmanager
async def recording(sender: Sender) -> AsyncIterator[Sender]:
    """A sender whose steps the test takes one by one; what they lead to is recorded."""
    task = asyncio.create_task(sender.recorder.run())
    try:
        yield sender
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sender.transport.close()


async def until(holds: Callable[[], Awaitable[bool]], within: float = 30) -> None:
    """Asks again until it holds."""
    async with asyncio.timeout(within):
        while not await holds():  # noqa: ASYNC110 - the database is what is asked
            await asyncio.sleep(0.02)
