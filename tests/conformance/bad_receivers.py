"""Receivers with one fault each, around the reference receiver's own rules."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from services.cap import Verdict, read, verify
from services.dispatch.transport import CONTENT_TYPES
from services.partnerkit.receiver import Displays, authentic
from services.partnerkit.trial import cap_key_of, keys_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TOKEN = "token-of-this-partner"
TICK_S = 0.1
SLOW_S = 5.0
KEYS = keys_of(SECRET).secrets
CAP_CERTIFICATE = cap_key_of(SECRET).certificate
KINDS = {"Alert": "alert.issued", "Update": "alert.updated", "Cancel": "alert.withdrawn"}


class BadDisplays(Displays):
    """Rules that are broken in one place."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def take(self, message: Mapping[str, Any], stamp: int, now: float) -> bool:  # noqa: C901, PLR0912 - a list
        data, kind = message["data"], message["type"]
        known = self.state["alerts"].get(data.get("alert_id"))
        withdrawn = kind == "alert.withdrawn"
        match self.fault:
            case "shows nothing" if kind.startswith("alert."):
                return False
            case "ignores updates" if kind == "alert.updated" and known:
                return False
            case "shows any revision" if known and known["data"] and not withdrawn:
                known["revision"] = 0
            case "shows again after the end" if known and known["data"] is None:
                known["revision"] = 0
            case "forgets what it does not know" if withdrawn and not known:
                return True
            case "ignores withdrawals" if withdrawn and known:
                known["revision"] = data["revision"]
                return True
            case "counts the lease from arrival":
                stamp = int(now)
            case "ignores the lease" if kind in ("alert.issued", "alert.updated"):
                message = {**message, "data": {**data, "display_for_s": None, "expires_at": None}}
            case "ends too early" if kind == "alert.issued" and now - stamp > 30:
                message = {**message, "data": {**data, "display_for_s": int(now) - stamp + 2}}
            case "ignores renewals" if kind == "display.renewed":
                return False
            case "a renewal lights anything" if kind == "display.renewed":
                for one in data["alerts"]:
                    if entry := self.state["alerts"].get(one["alert_id"]):
                        entry["data"] = {**one}
                        entry["until"] = stamp + one["display_for_s"]
        return super().take(message, stamp, now)


class BadReceiver:
    """An HTTP receiver with one fault; none with an empty one."""

    def __init__(self, fault: str, session: aiohttp.ClientSession) -> None:
        self.fault = fault
        self.displays = BadDisplays(fault)
        self._session = session
        self._tasks: set[asyncio.Task[None]] = set()
        self._ids: set[str] = set()
        self._receipts_url: str | None = None

    async def tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.displays.refresh(time.time())
            self._confirm()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if not self._believes({name.lower(): value for name, value in request.headers.items()}, body):
            return web.Response(status=200 if self.fault == "never says no" else 401)
        message = self._from_cap(body) if request.content_type == CONTENT_TYPES["cap"] else json.loads(body)
        message_id = request.headers.get("webhook-id", "")
        if self.fault == "refuses a repeat" and message_id in self._ids:
            return web.Response(status=409)
        self._ids.add(message_id)
        if self.fault == "is slow" and message["data"].get("revision", 0) == 7:
            await asyncio.sleep(SLOW_S)
        if self.fault == "refuses what is late":
            known = self.displays.state["alerts"].get(message["data"].get("alert_id"), {"revision": 0})
            if message["type"].startswith("alert.") and message["data"]["revision"] < known["revision"]:
                return web.Response(status=409)
        self.displays.take(message, int(request.headers.get("webhook-timestamp", 0)), time.time())
        self._confirm()
        return web.Response(status=204)

    async def state(self, _request: web.Request) -> web.Response:
        shown = self.displays.shown(time.time())
        return web.json_response(
            {"alerts": [{"alert_id": k, "revision": v["revision"]} for k, v in shown.items()]}
        )

    def _believes(self, headers: dict[str, str], body: bytes) -> bool:
        now = time.time()
        match self.fault:
            case "believes everybody":
                return abs(now - int(headers.get("webhook-timestamp", now))) < 300
            case "believes any time":
                now = int(headers.get("webhook-timestamp", now))
            case "believes without headers" if "webhook-signature" not in headers:
                return True
            case "verifies parsed json":
                body = json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode()
            case "leaves out the time" if "webhook-timestamp" in headers:
                stamp = int(headers["webhook-timestamp"])
                near = [headers | {"webhook-timestamp": str(stamp + shift)} for shift in (-1, 0, 1)]
                return any(authentic(KEYS, one, body, now) for one in near)
            case "reads one signature":
                headers["webhook-signature"] = headers.get("webhook-signature", "").split(" ")[0]
        return authentic(KEYS, headers, body, now)

    def _from_cap(self, body: bytes) -> dict[str, Any]:
        """What a CAP message says, in the words of the other format."""
        said = read(body)
        if verify(body, certificate=CAP_CERTIFICATE) is not Verdict.VALID:
            raise web.HTTPBadRequest(text="not rightly signed inside")
        alert_id, revision = said.identifier.split(".")[:2]
        data: dict[str, Any] = {"alert_id": alert_id, "revision": int(revision)}
        for info in said.infos[:1]:  # a Cancel has none: its receipts go where those of the alert went
            self._receipts_url = str(info.parameter("receipts_url"))
            data["display_for_s"] = int(str(info.parameter("display_for_s")))
            data["expires_at"] = info.expires.isoformat() if info.expires else None
        return {"type": KINDS[said.msg_type], "data": data | {"receipts_url": self._receipts_url}}

    def _confirm(self) -> None:
        due, self.displays.state["receipts"] = self.displays.state["receipts"], []
        for one in due:
            body, headers = one["body"], {"Authorization": f"Bearer {TOKEN}"}
            match self.fault:
                case "sends no receipts":
                    continue
                case "confirms another revision":
                    body = body | {"revision": body["revision"] + 1}
                case "confirms without its token":
                    headers = {}
                case "confirms without an offset":
                    body = body | {"at": "2026-01-01T12:00:00"}
            task = asyncio.create_task(self._send(one["url"], body, headers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, url: str, body: dict[str, Any], headers: dict[str, str]) -> None:
        try:
            async with self._session.post(url, json=body, headers=headers):
                pass
        except aiohttp.ClientError:
            pass  # the kit is gone: nobody is there to be told


@asynccontextmanager
async def bad_receiver(fault: str) -> AsyncIterator[str]:
    """Its address; what it shows is at `/state` below it."""
    async with aiohttp.ClientSession() as session:
        receiver = BadReceiver(fault, session)
        app = web.Application()
        app.router.add_post("/", receiver.take)
        app.router.add_get("/state", receiver.state)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ticking = asyncio.create_task(receiver.tick())
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
        finally:
            ticking.cancel()
            await runner.cleanup()
