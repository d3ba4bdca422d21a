"""Partners that keep a strict record: what came, who signed it when, and what they showed."""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any

from aiohttp import web
from proxy import Link
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

RENEWED = "display.renewed"
WITHDRAWN = "alert.withdrawn"
TOLERANCE_S = 300


class Mood(Enum):
    """How the partner's own software behaves."""

    WELL = auto()
    HANGS = auto()
    """Takes it and never answers."""
    BROKEN = auto()
    """500, and takes nothing."""
    BUSY = auto()
    """429 with Retry-After, and takes nothing."""
    FLAPS = auto()
    """Every other answer is a 503, though it took it."""


@dataclass(frozen=True)
class Arrival:
    """A message that was whole and signed. `signed_at`: its signed time; `at`: seconds since 1970."""

    at: float
    alert_id: str
    revision: int
    type: str
    webhook_id: str
    signed_at: int
    digest: str


@dataclass
class Receiver:
    """A partner. A conforming one takes only what is newer than what it saw; a naive one shows what came last."""

    number: int
    conforming: bool
    link: Link
    recipient_id: Any = None
    secret: str = ""
    mood: Mood = Mood.WELL
    arrivals: list[Arrival] = field(default_factory=list)
    shown: list[tuple[float, str, int, str | None]] = field(default_factory=list)
    """When, alert, revision, and the marker of what it showed from then on (None: dark)."""
    refused: list[str] = field(default_factory=list)
    late: list[tuple[str, int, int]] = field(default_factory=list)
    """Alert, revision and signed time of what was refused because it was on its way for more than five minutes."""
    seen: dict[str, int] = field(default_factory=dict)
    shows: dict[str, tuple[str, datetime | None]] = field(default_factory=dict)
    calls: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.calls += 1
        if self.mood is Mood.BROKEN:
            return web.Response(status=500)
        if self.mood is Mood.BUSY:
            return web.Response(status=429, headers={"Retry-After": "1"})
        try:
            Webhook(self.secret).verify(raw, dict(request.headers))
        except WebhookVerificationError as error:
            if not self._came_late(raw, request.headers):
                self.refused.append(str(error))
            return web.Response(status=401)
        self.take(raw, request.headers["webhook-id"], int(request.headers["webhook-timestamp"]))
        if self.mood is Mood.HANGS:
            await asyncio.sleep(60)
        flaps = self.mood is Mood.FLAPS and self.calls % 2
        return web.Response(status=503 if flaps else 200)

    def _came_late(self, raw: bytes, headers: Mapping[str, str]) -> bool:
        """Whether it is rightly signed and only too old; the judge asks whether it was as old when it was sent."""
        signed_at = int(headers.get("webhook-timestamp", "0"))
        age_s = time.time() - signed_at
        if age_s < TOLERANCE_S or signed_at == 0:
            return False
        sent = datetime.fromtimestamp(signed_at, UTC)
        ours = Webhook(self.secret).sign(headers["webhook-id"], sent, raw.decode())
        if ours not in headers["webhook-signature"].split(" "):
            return False
        message = json.loads(raw)
        if message["type"] != RENEWED:
            self.late.append((message["data"]["alert_id"], message["data"]["revision"], signed_at))
        return True

    def take(self, raw: bytes, webhook_id: str, signed_at: int) -> None:
        body = json.loads(raw)
        if body["type"] == RENEWED:  # these displays are not leased: they go on until they are told otherwise
            return
        data = body["data"]
        alert, revision, kind = data["alert_id"], data["revision"], body["type"]
        digest = hashlib.sha256(raw).hexdigest()
        self.arrivals.append(Arrival(time.time(), alert, revision, kind, webhook_id, signed_at, digest))
        if self.conforming and revision <= self.seen.get(alert, 0):
            return
        self.seen[alert] = max(revision, self.seen.get(alert, 0))
        if kind == WITHDRAWN:
            self.shows.pop(alert, None)
            self.shown.append((time.time(), alert, revision, None))
            return
        marker = data["texts"]["nl"]["headline"]
        until = data.get("expires_at")
        self.shows[alert] = (marker, datetime.fromisoformat(until) if until else None)
        self.shown.append((time.time(), alert, revision, marker))

    def lit(self, alert_id: str) -> str | None:
        """The marker of what it shows of an alert now; None: dark."""
        marker, until = self.shows.get(alert_id, (None, None))
        return None if until is not None and until <= datetime.now(UTC) else marker


class Receivers:
    """Every partner of a run behind one listener, each with a link of its own."""

    def __init__(self, chance: Any) -> None:
        self._chance = chance
        self._runner: web.AppRunner | None = None
        self.all: list[Receiver] = []

    async def start(self, count: int, naive: int) -> None:
        app = web.Application()
        app.router.add_post("/{number}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port = self._runner.addresses[0][1]
        for number in range(count):
            link = Link(port, self._chance)
            await link.start()
            self.all.append(Receiver(number, number >= naive, link))

    async def stop(self) -> None:
        for one in self.all:
            await one.link.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        return await self.all[int(request.match_info["number"])].handle(request)
