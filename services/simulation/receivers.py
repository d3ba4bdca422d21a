"""Partners as they should be, and as they sometimes are: real HTTP servers that keep what they were told.

What a conformant receiver believes, shows and confirms is what the reference receiver for partners does. Each one here
also notes whatever came, so that a test can prove afterwards that nothing came too late or twice.
"""

import asyncio
import base64
import json
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

import aiohttp
import structlog
from aiohttp import web

from services.partnerkit.receiver import Displays, authentic

HANG_S = 25.0
FIRST_FAILURES = 2
RECEIPT_ATTEMPTS = 8
_SECRET_WITHIN_S = 5.0
_WITHDRAWN = "alert.withdrawn"
_ALERTS = ("alert.issued", "alert.updated", _WITHDRAWN)

log = structlog.get_logger()


class Behaviour(StrEnum):
    """How a receiver behaves."""

    NORMAL = "normal"
    SLOW = "slow"
    """Answers after one to three seconds."""
    FAILING = "failing"
    """Answers its first messages with 500."""
    HANGING = "hanging"
    """Does not answer its first message at all."""
    STUBBORN = "stubborn"
    """Takes withdrawals, leaves its displays on and confirms nothing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One message. Times in seconds of the monotonic clock; `at` is the moment of the decision."""

    arrived: float
    at: float
    alert_id: str
    kind: str
    revision: int
    type: str
    accepted: bool
    webhook_id: str
    status: int


@dataclass(slots=True)
class Receiver:
    """One partner. `secret` and `token` are known once it is registered; until then messages wait a little."""

    number: int
    name: str
    behaviour: Behaviour = Behaviour.NORMAL
    audience: str = "display"
    areas: Sequence[str] = ("BE",)
    languages: Sequence[str] = ("nl", "fr")
    partner_id: str | None = None
    token: str | None = None
    history: list[Seen] = field(default_factory=list)
    displays: Displays = field(default_factory=Displays)
    _arrived: list[tuple[str, int, str]] = field(default_factory=list)
    _keys: list[bytes] = field(default_factory=list)
    _registered: asyncio.Event = field(default_factory=asyncio.Event)
    _messages: int = 0

    def know(self, partner_id: str, secret: str, token: str) -> None:
        """Takes note of what the registration answered."""
        self.partner_id, self.token = partner_id, token
        self._keys = [base64.b64decode(secret.removeprefix("whsec_"))]
        self._registered.set()

    async def answer(self, headers: Mapping[str, str], body: bytes) -> int:
        """Works on one message; returns the HTTP status."""
        arrived = time.monotonic()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._registered.wait(), _SECRET_WITHIN_S)
        if not authentic(self._keys, headers, body, time.time()):
            return 401
        message, stamp = json.loads(body), int(headers["webhook-timestamp"])
        if message["type"] not in _ALERTS:
            self.displays.take(message, stamp, time.time())
            return 200
        alert_id, revision = message["data"]["alert_id"], int(message["data"]["revision"])
        self._arrived.append((alert_id, revision, headers["webhook-id"]))
        status = await self._misbehave()
        accepted = status == 200 and self._accept(message, stamp)  # noqa: PLR2004 - OK
        now = time.monotonic()
        self.history.append(
            Seen(
                arrived,
                now,
                alert_id,
                message["data"]["kind"],
                revision,
                message["type"],
                accepted,
                headers["webhook-id"],
                status,
            )
        )
        return status

    async def _misbehave(self) -> int:
        self._messages += 1
        match self.behaviour:
            case Behaviour.SLOW:
                await asyncio.sleep(random.uniform(1, 3))  # noqa: S311 - a simulation
            case Behaviour.FAILING if self._messages <= FIRST_FAILURES:
                return 500
            case Behaviour.HANGING if self._messages == 1:
                await asyncio.sleep(HANG_S)
                return 503
        return 200

    def _accept(self, message: Mapping[str, Any], stamp: int) -> bool:
        alerts, alert_id = self.displays.state["alerts"], message["data"]["alert_id"]
        before = dict(alerts.get(alert_id, {}))
        accepted = self.displays.take(message, stamp, time.time())
        if accepted and self.behaviour is Behaviour.STUBBORN and message["type"] == _WITHDRAWN:
            alerts[alert_id] |= {name: before[name] for name in ("data", "until") if before}
            self.displays.state["receipts"].clear()
        return accepted

    @property
    def shown(self) -> dict[str, int]:
        """What is on the displays now, by alert, with its revision."""
        return {alert_id: one["revision"] for alert_id, one in self.displays.shown(time.time()).items()}

    def lit(self, alert_id: str, now: datetime | None = None) -> bool:
        """Whether the displays show the alert: a lease that was not renewed ends by itself."""
        return alert_id in self.displays.shown(now.timestamp() if now else time.time())

    def accepted_at(self, alert_id: str, *kinds: str) -> float | None:
        """When it first accepted a message of these types about the alert."""
        moments = [s.at for s in self.history if s.accepted and s.alert_id == alert_id and s.type in kinds]
        return min(moments, default=None)

    @property
    def violations(self) -> list[dict[str, Any]]:
        """Older revisions that arrived after a newer one: what must never happen."""
        newest: dict[str, int] = {}
        found = []
        for alert_id, revision, webhook_id in self._arrived:
            if revision < newest.get(alert_id, 0):
                found.append(
                    {
                        "receiver": self.number,
                        "alert_id": alert_id,
                        "revision": revision,
                        "after": newest[alert_id],
                        "webhook_id": webhook_id,
                    }
                )
            newest[alert_id] = max(revision, newest.get(alert_id, 0))
        return found

    @property
    def repeats(self) -> list[Seen]:
        """Messages that came again although they had been answered with 2xx."""
        answered: set[tuple[str, int]] = set()
        found = []
        for seen in self.history:
            if (seen.alert_id, seen.revision) in answered:
                found.append(seen)
            if seen.status == 200:  # noqa: PLR2004 - OK
                answered.add((seen.alert_id, seen.revision))
        return found


class Field:
    """Many receivers on one port of this machine, each under `/partner/<number>`; `GET /sim/log` tells everything."""

    def __init__(self, receivers: Sequence[Receiver], port: int = 0) -> None:
        self.receivers = {receiver.number: receiver for receiver in receivers}
        self.port = port
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._receipts: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Listens. Raises OSError when the port is taken."""
        app = web.Application(client_max_size=4 * 1024 * 1024)
        app.router.add_post("/partner/{number:\\d+}", self._receive)
        app.router.add_get("/sim/log", self._log)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        return self

    async def __aexit__(self, *_: object) -> None:
        # First: what still comes in would begin another receipt.
        if self._runner is not None:
            await self._runner.cleanup()
        for task in self._receipts:
            task.cancel()
        await asyncio.gather(*self._receipts, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def url(self, receiver: Receiver) -> str:
        """Where a receiver listens."""
        return f"http://127.0.0.1:{self.port}/partner/{receiver.number}"

    async def _receive(self, request: web.Request) -> web.Response:
        receiver = self.receivers.get(int(request.match_info["number"]))
        if receiver is None:
            return web.Response(status=404)
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        status = await receiver.answer(headers, body)
        self._confirm(receiver)
        return web.Response(status=status)

    def _confirm(self, receiver: Receiver) -> None:
        due, receiver.displays.state["receipts"] = receiver.displays.state["receipts"], []
        for one in due if receiver.audience == "display" else ():
            screens = 1 + receiver.number if one["body"]["state"] == "displayed" else 0
            if one["url"]:
                receipt = {**one["body"], "screens": screens}
                task = asyncio.create_task(self._send_receipt(receiver, one["url"], receipt))
                self._receipts.add(task)
                task.add_done_callback(self._receipts.discard)

    async def _send_receipt(self, receiver: Receiver, url: str, receipt: Mapping[str, Any]) -> None:
        if self._session is None:
            return
        headers = {"Authorization": f"Bearer {receiver.token}"}
        for attempt in range(RECEIPT_ATTEMPTS):
            try:
                async with self._session.post(url, json=receipt, headers=headers) as answer:
                    if answer.status < 500:  # noqa: PLR2004 - what is refused stays refused
                        return
            except (aiohttp.ClientError, TimeoutError) as error:
                log.info("receipt waits", receiver=receiver.number, error_class=type(error).__name__)
            await asyncio.sleep(min(0.2 * 2**attempt, 10))

    async def _log(self, _request: web.Request) -> web.Response:
        """Everything that every receiver saw, for machines; times of the monotonic clock of this process."""
        return web.json_response(
            {
                "now": time.monotonic(),
                "violations": [v for one in self.receivers.values() for v in one.violations],
                "receivers": [
                    {
                        "number": one.number,
                        "name": one.name,
                        "behaviour": one.behaviour,
                        "audience": one.audience,
                        "partner_id": one.partner_id,
                        "shown": one.shown,
                        "repeats": len(one.repeats),
                        "history": [asdict(seen) for seen in one.history],
                    }
                    for one in self.receivers.values()
                ],
            }
        )
