"""Partners of these tests: one HTTP server, one path per recipient, signatures checked by an independent library."""

import asyncio
import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError


@dataclass
class Arrival:
    """One accepted call: when (monotonic seconds), and what."""

    at: float
    type: str
    alert_id: str
    revision: int
    webhook_id: str
    body: dict


@dataclass
class Partner:
    """A recipient that behaves as the contract says and remembers everything."""

    name: str
    partner_id: str = ""
    secret: str = ""
    token: str = ""
    arrivals: list[Arrival] = field(default_factory=list)
    forged: int = 0
    pings: int = 0
    shows: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    answer: int = 200
    hang: bool = False

    def of(self, alert_id: str) -> list[Arrival]:
        return [a for a in self.arrivals if a.alert_id == alert_id]

    def relit(self) -> list[Arrival]:
        """Older revisions that came after a newer one was accepted."""
        highest: dict[str, int] = defaultdict(int)
        found = []
        for arrival in self.arrivals:
            if arrival.revision < highest[arrival.alert_id]:
                found.append(arrival)
            highest[arrival.alert_id] = max(highest[arrival.alert_id], arrival.revision)
        return found


class PartnerServer:
    """Hosts partners under /<name> and sends their receipts."""

    def __init__(self) -> None:
        self.partners: dict[str, Partner] = {}
        self.changed = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task] = set()
        self.url = ""

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/{name}", self._receive)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)  # one that hangs does so to the end
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._session = aiohttp.ClientSession()

    async def stop(self) -> None:
        await self._runner.cleanup()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    async def _receive(self, request: web.Request) -> web.Response:
        partner = self.partners[request.match_info["name"]]
        raw = await request.read()
        if partner.hang:
            await asyncio.sleep(30)
        if partner.answer != 200:
            return web.Response(status=partner.answer)
        try:
            if partner.secret:
                Webhook(partner.secret).verify(raw, dict(request.headers))
        except WebhookVerificationError:
            partner.forged += 1
            return web.Response(status=401)
        body = json.loads(raw)
        if body["type"] == "ping":
            partner.pings += 1
            return web.Response(status=204)
        self._accept(partner, request.headers["webhook-id"], body)
        return web.Response(status=200)

    def _accept(self, partner: Partner, webhook_id: str, body: dict) -> None:
        data = body["data"]
        if "alert_id" not in data:
            return
        alert, revision = data["alert_id"], data["revision"]
        partner.arrivals.append(Arrival(time.monotonic(), body["type"], alert, revision, webhook_id, body))
        if revision > partner.seen.get(alert, 0):
            partner.seen[alert] = revision
            if body["type"] == "alert.withdrawn":
                partner.shows.pop(alert, None)
                self._receipt(partner, data, "removed")
            else:
                partner.shows[alert] = revision
                self._receipt(partner, data, "displayed")
        self.changed.set()

    def _receipt(self, partner: Partner, data: dict, state: str) -> None:
        if "receipts_url" not in data:
            return
        task = asyncio.create_task(self._send_receipt(partner, data, state))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_receipt(self, partner: Partner, data: dict, state: str) -> None:
        body = {
            "alert_id": data["alert_id"],
            "revision": data["revision"],
            "state": state,
            "screens": 3,
            "at": datetime.now(UTC).isoformat(),
        }
        headers = {"Authorization": f"Bearer {partner.token}"}
        for _ in range(60):
            try:
                async with self._session.post(data["receipts_url"], json=body, headers=headers) as answer:
                    if answer.status < 500:
                        return
            except aiohttp.ClientError:
                pass
            await self.pause()

    async def pause(self, seconds: float = 0.5) -> None:
        """A partner waits before it tries its receipt again."""
        await asyncio.sleep(seconds)

    async def until(self, condition, seconds: float = 120) -> None:
        """Waits until the condition holds; looks again at every arrival and twice a second."""
        end = time.monotonic() + seconds
        while not condition():
            left = end - time.monotonic()
            assert left > 0, "the condition did not come to hold in time"
            self.changed.clear()
            try:
                await asyncio.wait_for(self.changed.wait(), min(left, 0.5))
            except TimeoutError:
                continue
