"""The network between us and one partner, and what can be wrong with it."""

import asyncio
from contextlib import suppress
from enum import Enum, auto
from random import Random

LINGER_S = 2.0
"""A server does not begin with a request whose connection ended before it looked."""


class Net(Enum):
    """How the network behaves."""

    FINE = auto()
    SLOW = auto()
    CUT = auto()
    """Connections break and nobody listens."""
    SWALLOWS = auto()
    """Requests leave and never arrive."""
    LOSES_ANSWERS = auto()
    """Requests arrive; the connection breaks before the answer is through."""


class Link:
    """A TCP proxy before one partner."""

    def __init__(self, target: int, chance: Random) -> None:
        self.net = Net.FINE
        self.port = 0
        self.caught = asyncio.Event()
        """Set when a request that `hold` waits for has left and is held on its way."""
        self._target = target
        self._chance = chance
        self._holding: bytes | None = None
        self._every = False
        self._let_go = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self._break()
        self._let_go.set()
        await asyncio.sleep(0)

    async def become(self, net: Net) -> None:
        """Changes how the network behaves; a cut ends what is open, and whatever follows begins anew."""
        was, self.net = self.net, net
        if net is Net.CUT and self._server is not None:
            self._server.close()
        self._break()
        if was is Net.CUT and net is not Net.CUT:
            await self.start()

    def hold(self, mark: str, *, every: bool = False) -> None:
        """From now on a request whose bytes contain `mark` is held on its way: the first, or every one."""
        self._holding, self._every, self._let_go = mark.encode(), every, asyncio.Event()
        self.caught.clear()

    def let_go(self) -> None:
        """What was held arrives now, late, even if its sender has given up."""
        self._holding = None
        self._let_go.set()

    def _break(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, back}
        pumps = [
            asyncio.ensure_future(self._there(reader, back)),
            asyncio.ensure_future(self._back(there, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._open -= {writer, back}
            for one in (writer, back):
                one.close()

    async def _there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65536):
                if self._holding is not None and self._holding in chunk:
                    self._holding = self._holding if self._every else None
                    self.caught.set()
                    await self._let_go.wait()
                elif self.net is Net.SLOW:
                    await asyncio.sleep(self._chance.uniform(0.05, 0.5))
                elif self.net is Net.SWALLOWS:
                    continue
                writer.write(chunk)
                await writer.drain()
            if self.caught.is_set():
                await asyncio.sleep(LINGER_S)

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65536):
                if self.net is Net.LOSES_ANSWERS:
                    writer.transport.abort()
                    return
                writer.write(chunk)
                await writer.drain()
