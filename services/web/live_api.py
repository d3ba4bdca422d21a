"""`GET /v1/live`: the board as server-sent events, and the same by asking again where streams do not get through."""

import asyncio
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response

from services.kernel.auth import caller_now, require
from services.kernel.principals import EVERYONE_INSIDE, Principal
from services.kernel.problems import UnavailableError
from services.web.board import Board
from services.web.last_values import LastValues

HEARTBEAT_S = 10.0
"""How often a stream says that it is alive, and looks whether its viewer still may watch."""
STUCK_S = 30.0
"""A viewer that takes nothing for so long is let go; it comes back by itself and goes on where it was."""
MOST_VIEWERS = 2000
RETRY_MS = 1000

Caller = Annotated[Principal, Depends(require(*EVERYONE_INSIDE))]
EventId = Annotated[str | None, Query(max_length=100)]
LastEventId = Annotated[str | None, Header(max_length=100)]


def router(board: Board) -> APIRouter:
    """The routes of the live board."""
    routes = APIRouter(tags=["live"])

    @routes.get("/v1/live", summary="The board as server-sent events", response_class=EventStream)
    async def live(
        request: Request, caller: Caller, after: EventId = None, last_event_id: LastEventId = None
    ) -> Response:
        """Values by key as they change: `{id, whole, put: {key: value}, drop: [key]}`; with `whole` it is all there is.

        Goes on after `Last-Event-ID` (or `after`). An event `heartbeat` comes every 10 s; `signed-out` ends it.
        """
        if board.watch.viewers >= MOST_VIEWERS:
            raise UnavailableError(
                "viewers", "too many viewers here: ask GET /v1/live/changes", headers={"Retry-After": "5"}
            )
        return Stream(board, await board.seen_by(caller), last_event_id or after, request)

    @routes.get("/v1/live/changes", summary="The board, or what changed on it")
    async def changes(caller: Caller, after: EventId = None) -> Response:
        """What changed after the `id` of an earlier answer; everything without one."""
        values = await board.seen_by(caller)
        body = values.since(values.number(after))
        return Response(body, headers={"Cache-Control": "no-store"}, media_type="application/json")

    return routes


class EventStream(Response):
    """An answer that goes on."""

    media_type = "text/event-stream"


class Stream(EventStream):
    """One viewer's stream. All it holds is the number of the last change that it sent."""

    def __init__(
        self,
        board: Board,
        values: LastValues,
        event_id: str | None,
        request: Request,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._board = board
        self._values = values
        self._sent = values.number(event_id)
        self._request = request

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        """Streams until the viewer goes, may not watch any more, is stuck, or the service stops."""
        self._board.watch.viewers += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            sending = asyncio.create_task(self._send_all(send))
            leaving = asyncio.create_task(_left(receive))
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            for task in (sending, leaving):
                task.cancel()
                with suppress(asyncio.CancelledError, TimeoutError, OSError):
                    await task
        finally:
            self._board.watch.viewers -= 1

    async def _send_all(self, send: Any) -> None:
        first = True
        while not self._values.closed:
            self._board.want()
            if first or await self._values.changed(self._sent, HEARTBEAT_S):
                await self._put(send, self._news(retry=first))
                first = False
                continue
            if not await self._may_watch():
                await self._put(send, b"event: signed-out\ndata: {}\n\n")
                break
            await self._put(send, b"event: heartbeat\ndata: {}\n\n")
        async with asyncio.timeout(STUCK_S):
            await send({"type": "http.response.body", "body": b""})

    def _news(self, *, retry: bool) -> bytes:
        data = self._values.since(self._sent)
        self._sent = self._values.sequence
        wait = b"retry: %d\n" % RETRY_MS if retry else b""
        return b"%bid: %b\ndata: %b\n\n" % (wait, self._values.event_id().encode(), data)

    async def _put(self, send: Any, event: bytes) -> None:
        async with asyncio.timeout(STUCK_S):
            await send({"type": "http.response.body", "body": event, "more_body": True})

    async def _may_watch(self) -> bool:
        """As of now, and as the one who began: another role sees another board."""
        began: Principal = self._request.state.principal
        return await caller_now(self._request) == began


async def _left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
