"""NOTIFY as a hint that there is work; polling is the guarantee."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from services.kernel.postgres import connect

_AGAIN_S = 1.0


class Hints:
    """Listens on its own connection, and again after it was lost. Use `async with`; wait on `of(channel)`."""

    def __init__(self, url: str, channels: Sequence[str]) -> None:
        self._url = url
        self._events = {channel: asyncio.Event() for channel in channels}
        self._task: asyncio.Task[None] | None = None

    def of(self, channel: str) -> asyncio.Event:
        """Set when somebody notified the channel; the waiter clears it."""
        return self._events[channel]

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            with suppress(Exception):  # whatever it was: without a hint the work is found by polling
                await self._listen()
            await asyncio.sleep(_AGAIN_S)

    async def _listen(self) -> None:
        lost = asyncio.Event()
        connection = await connect(self._url, application="zoeklicht-listen")
        try:
            connection.add_termination_listener(lambda _: lost.set())
            for channel, event in self._events.items():
                await connection.add_listener(channel, lambda *_, event=event: event.set())
                event.set()  # what was notified while nobody listened
            await lost.wait()
        finally:
            connection.terminate()
