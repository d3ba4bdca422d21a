"""What can be seen of a receiver from outside: the receipts it sends, and the state it tells when it has a page for that."""

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Self
from uuid import UUID

import aiohttp
from aiohttp import web
from pydantic import ValidationError

from schemas.commands import Receipt
from schemas.vocabulary import ReceiptState
from services.partnerkit.errors import FailedError, KitError

_LOOK_S = 0.05
_UNAUTHORIZED, _UNREADABLE, _CREATED = 401, 422, 201


@dataclass(slots=True)
class Witness:
    """Listens for receipts at `url`. With `state_url` that page says what is on display; else the receipts do.

    `token`: what the receiver must send as its bearer token; None takes any.
    """

    session: aiohttp.ClientSession
    token: str | None = None
    state_url: str | None = None
    public_url: str | None = None
    url: str = ""
    receipts: dict[UUID, list[Receipt]] = field(default_factory=lambda: defaultdict(list))
    faults: list[str] = field(default_factory=list)
    _runner: web.AppRunner | None = None

    async def listen(self, address: str) -> Self:
        """Begins to listen on HOST:PORT. Raises KitError when that cannot be."""
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise KitError("write --listen as HOST:PORT, for example 0.0.0.0:9000; port 0 takes a free one")
        app = web.Application()
        app.router.add_post("/v1/receipts", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host.strip("[]"), int(port)).start()
        except (OSError, OverflowError) as error:
            await self._runner.cleanup()
            raise KitError(
                f"cannot listen on {address} ({type(error).__name__}); choose another --listen"
            ) from error
        self.url = self.public_url or f"http://{host}:{self._runner.addresses[0][1]}/v1/receipts"
        return self

    async def close(self) -> None:
        """Ends listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or (self.token is not None and token != self.token):
            self.faults.append("a receipt came without `Authorization: Bearer` and your token")
            return web.Response(status=_UNAUTHORIZED)
        try:
            receipt = Receipt.model_validate_json(await request.read())
        except ValidationError as error:
            fields = sorted({str(one["loc"][0]) if one["loc"] else "body" for one in error.errors()})
            self.faults.append(f"a receipt is not as agreed: {', '.join(fields)}")
            return web.Response(status=_UNREADABLE)
        self.receipts[receipt.alert_id].append(receipt)
        return web.json_response(status=_CREATED, data={"alert_id": str(receipt.alert_id)})

    # ── what is on display ──────────────────────────────────────────────────────────────────────────────────

    async def on_display(self, alert_id: UUID) -> int | None:
        """The revision that is on display now, as far as can be seen; None when it is dark."""
        if self.state_url is not None:
            return await self._told(alert_id)
        # Clocks of receivers count milliseconds: of two revisions within one, the higher came later.
        newest = max(self.receipts[alert_id], key=lambda one: (one.at, one.revision), default=None)
        return newest.revision if newest is not None and newest.state is ReceiptState.DISPLAYED else None

    async def _told(self, alert_id: UUID) -> int | None:
        try:
            async with self.session.get(str(self.state_url)) as answer:
                found = await answer.json(content_type=None)
            shown = {str(one["alert_id"]): int(one["revision"]) for one in found["alerts"]}
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            raise FailedError(
                f'--state-url does not answer {{"alerts": [{{"alert_id", "revision"}}]}} ({type(error).__name__})'
            ) from error
        return shown.get(str(alert_id))

    async def until(self, alert_id: UUID, revision: int | None, within_s: float) -> float:
        """Waits until this revision is on display, or, with None, until it is dark; returns the seconds it took.

        Raises FailedError.
        """
        began = time.monotonic()
        while (seen := await self.on_display(alert_id)) != revision:
            if time.monotonic() - began > within_s:
                wanted = "dark" if revision is None else f"showing revision {revision}"
                raise FailedError(f"not {wanted} after {within_s:.1f} s: {self._is(seen)}")
            await asyncio.sleep(_LOOK_S)
        return time.monotonic() - began

    async def stays(self, alert_id: UUID, revision: int | None, for_s: float) -> None:
        """Looks for a while whether nothing changes. Raises FailedError when it does."""
        end = time.monotonic() + for_s
        while True:
            if (seen := await self.on_display(alert_id)) != revision:
                wanted = "stay dark" if revision is None else f"go on showing revision {revision}"
                raise FailedError(f"should {wanted}: {self._is(seen)}")
            if time.monotonic() >= end:
                return
            await asyncio.sleep(_LOOK_S)

    async def receipt(self, alert_id: UUID, revision: int, state: ReceiptState, within_s: float) -> None:
        """Waits for a receipt. Raises FailedError."""
        end = time.monotonic() + within_s
        while not any(one.revision == revision and one.state is state for one in self.receipts[alert_id]):
            if time.monotonic() > end:
                told = [f"{one.state.value} {one.revision}" for one in self.receipts[alert_id]]
                raise FailedError(
                    f"no receipt `{state.value}` of revision {revision} after {within_s:.1f} s;"
                    f" came: {', '.join(told) or 'none'}"
                )
            await asyncio.sleep(_LOOK_S)

    def _is(self, seen: int | None) -> str:
        source = "the state page" if self.state_url is not None else "its receipts"
        return f"{source} say{'s' if self.state_url else ''} {'dark' if seen is None else f'revision {seen}'}"
