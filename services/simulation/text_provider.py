"""A simulated provider of text messages and calls: takes each message once, and does everything else that providers do.

It delays, rejects, breaks off, and reports late, twice, out of order, or never; what reached which number it remembers.
"""

import asyncio
import random
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from aiohttp import web

from services.kernel import signing

Behaviour = Callable[[Mapping[str, Any]], Awaitable[web.Response | None]]
"""What the provider does with a message before it takes it; an answer that it gives instead of taking it."""


@dataclass(frozen=True, slots=True)
class Mischief:
    """How reports go wrong: the chance that one is lost or comes twice, and at most how many seconds late."""

    lost: float = 0.0
    twice: float = 0.0
    late_s: float = 0.0


@dataclass(slots=True)
class TextProvider:
    """Listens on loopback. Use `async with`; `url` is where messages are handed over."""

    secret: str = field(default_factory=signing.new_secret)
    behaviour: Behaviour | None = None
    reports: bool = False
    mischief: Mischief = Mischief()
    seed: int = 116
    url: str = ""
    requests: list[Mapping[str, Any]] = field(default_factory=list)
    taken: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    taken_at: dict[str, float] = field(default_factory=dict)
    _runner: web.AppRunner | None = None
    _session: aiohttp.ClientSession | None = None
    _reporting: set[asyncio.Task[None]] = field(default_factory=set)
    _chance: random.Random = field(default_factory=random.Random)

    async def __aenter__(self) -> Self:
        self._chance.seed(self.seed)
        app = web.Application()
        app.router.add_post("/messages", self._take)
        app.router.add_get("/messages", self._tell)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/messages"
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._reporting:
            task.cancel()
        await asyncio.gather(*self._reporting, return_exceptions=True)
        if self._session:
            await self._session.close()
        if self._runner:
            await self._runner.cleanup()

    def texts(self, number: str) -> list[str]:
        """What reached a telephone, in order."""
        return [str(one["text"]) for one in self.taken.values() if one["to"] == number]

    def by_number(self) -> dict[str, list[Mapping[str, Any]]]:
        """What reached each telephone."""
        found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for one in self.taken.values():
            found[one["to"]].append(one)
        return dict(found)

    async def _take(self, request: web.Request) -> web.Response:
        message = await request.json()
        self.requests.append(message)
        if self.behaviour is not None and (answer := await self.behaviour(message)) is not None:
            return answer
        if message["id"] in self.taken:
            return web.json_response({"id": message["id"]}, status=200)
        self.taken[message["id"]] = message
        self.taken_at[message["id"]] = time.monotonic()
        if self.reports:
            self._set_out(message)
        return web.json_response({"id": message["id"]}, status=202)

    async def _tell(self, _: web.Request) -> web.Response:
        return web.json_response(self.taken_at)

    def _set_out(self, message: Mapping[str, Any]) -> None:
        for state in ("accepted", "delivered"):
            if self._chance.random() < self.mischief.lost:
                continue
            for _ in range(2 if self._chance.random() < self.mischief.twice else 1):
                task = asyncio.create_task(self._late(message, state))
                self._reporting.add(task)
                task.add_done_callback(self._reporting.discard)

    async def _late(self, message: Mapping[str, Any], state: str) -> None:
        await asyncio.sleep(self._chance.random() * self.mischief.late_s)
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            await self.report(message["report_to"], {"id": message["id"], "state": state})

    async def report(self, to: str, report: Mapping[str, Any]) -> int:
        """Sends a signed report; returns how it was answered."""
        assert self._session is not None  # noqa: S101 - `async with` made it
        body = orjson.dumps(report)
        async with self._session.post(to, data=body, headers=self.signed(body)) as answer:
            return answer.status

    def signed(self, body: bytes) -> dict[str, str]:
        """The headers that make a report believable."""
        number, now = f"msg_{random.Random(body).getrandbits(64):x}", int(time.time())  # noqa: S311 - an id
        signature = signing.sign(signing.parse_secret(self.secret), number, now, body)
        return {
            "content-type": "application/json",
            "webhook-id": number,
            "webhook-timestamp": str(now),
            "webhook-signature": signature,
        }


async def _alone() -> None:
    """The provider as a process of its own: prints its address; `GET` there says when it took which message."""
    async with TextProvider() as provider:
        sys.stdout.write(f"{provider.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_alone())
