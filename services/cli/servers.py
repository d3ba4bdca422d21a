"""The embedded servers of a data folder: both started side by side, and ended even if this process is killed."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from services.cli.place import Place
from services.kernel.embedded import EmbeddedError, EmbeddedKafka, EmbeddedPostgres
from services.kernel.embedded.jars import JarProgress
from services.kernel.orphans import Guard

_LOOK_S = 0.05
_CHECK_S = 0.5

Server = EmbeddedPostgres | EmbeddedKafka


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where PostgreSQL and Kafka are. Kafka is None for work that does not need it."""

    database_url: str
    kafka_bootstrap_servers: str | None


class Servers:
    """PostgreSQL and Kafka of a folder, as far as the given addresses do not name others."""

    def __init__(
        self,
        place: Place,
        *,
        database_url: str | None,
        kafka_bootstrap_servers: str | None,
        with_kafka: bool = True,
        progress: JarProgress | None = None,
    ) -> None:
        self._database_url = database_url
        self._kafka = kafka_bootstrap_servers
        self._progress = progress
        self._servers: list[Server] = []
        if database_url is None:
            self._servers.append(
                EmbeddedPostgres(place.directory / "postgres", log_file=place.logs / "postgres.log")
            )
        if kafka_bootstrap_servers is None and with_kafka:
            self._servers.append(EmbeddedKafka(place.directory / "kafka", log_file=place.logs / "kafka.log"))
        self._guard: Guard | None = None

    async def __aenter__(self) -> Self:
        """Starts what is ours. Raises EmbeddedError; what had started by then is stopped again."""
        if self._servers:
            self._guard = Guard()
        starts = [asyncio.ensure_future(self._start(server)) for server in self._servers]
        try:
            await asyncio.gather(*starts)
        except BaseException:
            await asyncio.gather(*starts, return_exceptions=True)
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start(self, server: Server) -> None:
        watch = asyncio.create_task(self._tell_guard(server))
        try:
            address = await asyncio.to_thread(self._starter(server))
            if isinstance(server, EmbeddedKafka):
                self._kafka = address
            else:
                self._database_url = address
            await asyncio.sleep(_LOOK_S)  # the guard has heard of it
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    def _starter(self, server: Server) -> Callable[[], str]:
        if isinstance(server, EmbeddedKafka):
            return lambda: server.start(self._progress)
        return server.start

    async def _tell_guard(self, server: Server) -> None:
        """The guard hears of every process as soon as there is one: also of those that only prepare the folder."""
        end = signal.SIGTERM if isinstance(server, EmbeddedKafka) else signal.SIGINT
        told: set[int] = set()
        while self._guard is not None:
            pid = server.pid
            if pid is not None and pid not in told:
                told.add(pid)
                self._guard.watch(pid, end)
            await asyncio.sleep(_LOOK_S / 2)

    async def keep(self, tell: Callable[[str], None]) -> None:
        """Starts again what dies, at its old address, until cancelled; `tell` gets one line each time."""
        while True:
            await asyncio.sleep(_CHECK_S)
            for server in self._servers:
                if server.pid is not None:
                    continue
                name = "Apache Kafka" if isinstance(server, EmbeddedKafka) else "PostgreSQL"
                tell(f"{name} ended; starting it again")
                before = self.addresses
                try:
                    await self._start(server)
                except EmbeddedError as error:
                    tell(str(error))
                except Exception as error:  # whatever it was, nobody else would start the server again
                    tell(f"{name} could not be started ({type(error).__name__}: {error}); trying again")
                if self.addresses != before:
                    tell(
                        f"{name} had to move, its port is taken; the services look for it at the old one: stop and start"
                    )

    @property
    def addresses(self) -> Addresses:
        """Where they are, once started."""
        return Addresses(self._database_url or "", self._kafka)

    @property
    def pids(self) -> list[int]:
        """The processes of the servers that are ours."""
        return [server.pid for server in self._servers if server.pid is not None]

    async def stop(self) -> None:
        """Ends what is ours, Kafka first: the relay's checkpoint outlives the topics."""
        for server in reversed(self._servers):
            await asyncio.to_thread(server.stop)
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None
