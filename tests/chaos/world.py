"""A whole way of an alert made of real processes: PostgreSQL, Kafka, relay, dispatch, senders; partners at its end."""

import asyncio
import glob
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
from facts import Facts
from receivers import Receivers
from sender_ground import Ground

from schemas.events import TOPICS
from services.cli.database import OPENING_USERS, SERVICE_USERS, grant_roles, make_users, migrate_all
from services.kernel.embedded import EmbeddedKafka, EmbeddedPostgres
from services.kernel.kafka import create_topics
from services.kernel.orphans import SUPERVISOR_PID
from services.kernel.postgres import create_pool
from services.kernel.settings import Settings, load_settings
from services.kernel.vault import Vault, ring_of

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
WEAKENED = Path(__file__).with_name("weakened.py")
MASTER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
TIMEOUT_S, LEASE_S = 1.0, 3.0
RENEW_EVERY_S = 10.0
PASSWORD = "of-every-service-here"
SENDERS = ("sender-1", "sender-2", "sender-3")
RECEIVERS, NAIVE = 12, 4
AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


def faketime() -> str | None:
    """The library that gives a process a clock of its own; None where it is not installed."""
    return next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)  # noqa: PTH207 - a fixed pattern


def as_user(user: str, url: str) -> str:
    """The address of a database, for one of the users that `World.rights` made."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}:{PASSWORD}@{parts.hostname}:{parts.port}"))


async def until(holds: Callable[[], Awaitable[Any]], within: float, what: str) -> Any:
    """Asks again until the answer is true; a database that is away has said no."""
    end = asyncio.get_running_loop().time() + within
    while True:
        with suppress(*AWAY):
            if answer := await holds():
                return answer
        assert asyncio.get_running_loop().time() < end, f"did not come to hold within {within} s: {what}"
        await asyncio.sleep(0.03)


class Servers:
    """The two servers, ours alone: they are stopped and killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = EmbeddedPostgres(folder / "postgres", log_file=folder / "postgres.log", fsync=False)
        self.kafka = EmbeddedKafka(folder / "kafka", log_file=folder / "kafka.log")
        self.bootstrap = ""

    async def start(self) -> None:
        _, self.bootstrap = await asyncio.gather(
            asyncio.to_thread(self._start_postgres), asyncio.to_thread(self.kafka.start)
        )

    def _start_postgres(self) -> None:
        """With the moment of each commit noted: the judge asks for it."""
        asyncio.run(self._note_commits(self.postgres.start()))
        self.postgres.stop()
        self.postgres.start()

    @staticmethod
    async def _note_commits(dsn: str) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute("alter system set track_commit_timestamp = on")
        finally:
            await connection.close()

    async def stop(self) -> None:
        await asyncio.gather(asyncio.to_thread(self.kafka.stop), asyncio.to_thread(self.postgres.stop))

    async def databases(self, *names: str) -> list[str]:
        connection = await asyncpg.connect(self.postgres.dsn("postgres"))
        try:
            for name in names:
                await connection.execute(f'create database "{name}" template template0')
        finally:
            await connection.close()
        return [self.postgres.dsn(name) for name in names]


@dataclass
class Service:
    """A process that is started again whenever it ends, as the supervisor does."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: asyncio.subprocess.Process | None = None
    starts: int = 0
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.wanted.set()
        self.keeper = self.keeper or asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            await self.wanted.wait()
            with self.log.open("ab") as log:
                self.process = await asyncio.create_subprocess_exec(
                    *self.command, env=dict(self.environment), cwd=ROOT, stdout=log, stderr=log
                )
            self.starts += 1
            await self.process.wait()
            await asyncio.sleep(0.1)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def send(self, number: int) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    async def rest(self) -> None:
        """Ends it in order and leaves it."""
        self.wanted.clear()
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        if self.process is not None:
            await asyncio.wait_for(self.process.wait(), 120)

    async def end(self) -> None:
        self.wanted.clear()
        if self.keeper is not None:
            self.keeper.cancel()
            await asyncio.gather(self.keeper, return_exceptions=True)
        self.send(signal.SIGCONT)
        self.send(signal.SIGKILL)
        if self.process is not None:
            await self.process.wait()


class World:
    """An installation on the servers: databases and topics of its own. `weak`: service name → guard that is off."""

    def __init__(
        self, servers: Servers, name: str, chance: Random, weak: Mapping[str, str] | None = None
    ) -> None:
        self.servers, self.name, self.chance = servers, name, chance
        self.weak = weak or {}
        self.services: dict[str, Service] = {}
        self.receivers = Receivers(chance)
        self.clock_file = servers.folder / f"{name}.clock"
        self.settings: Settings
        self.pool: Any
        self.keys: Any
        self.vault: Vault

    async def __aenter__(self) -> Self:
        main, vault = await self.servers.databases(self.name, f"{self.name}_vault")
        self.settings = load_settings(
            database_url=main,
            vault_database_url=vault,
            kafka_bootstrap_servers=self.servers.bootstrap,
            topic_prefix=f"{self.name}-",
            topic_partitions=3,
            master_key=MASTER_KEY,
            allow_loopback_partners=True,
            delivery_timeout_s=TIMEOUT_S,
            lease_s=LEASE_S,
            renew_every_s=RENEW_EVERY_S,
        )
        await migrate_all(self.settings)
        await self.rights()
        await create_topics(self.settings, TOPICS)
        await self.open()
        await self.receivers.start(RECEIVERS, NAIVE)
        ground = Ground(self.pool, self.vault, self.settings)
        for receiver in self.receivers.all:
            url = f"http://127.0.0.1:{receiver.link.port}/{receiver.number}"
            receiver.recipient_id = await ground.recipient(url)
            receiver.secret = ground.secrets[receiver.recipient_id]
        self.clock_file.write_text("+0\n")
        self.services = {name: self._service(name) for name in ("relay", "dispatch", *SENDERS)}
        await self.start()
        return self

    async def start(self) -> None:
        for service in self.services.values():
            service.start()
        await until(self._ready, 240, "every service is ready")

    async def rest(self) -> None:
        """Ends every process in order."""
        await asyncio.gather(*(service.rest() for service in self.services.values()))

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(service.end() for service in self.services.values()))
        await self.receivers.stop()
        await self.close()

    async def open(self) -> None:
        """Pools of this test, made anew when the databases are other ones."""
        self.pool = await create_pool(
            self.settings.database_url.get_secret_value(), size=6, application="chaos"
        )
        self.keys = await create_pool(self.settings.vault_url, size=2, application="chaos-vault")
        self.vault = Vault(self.keys, ring_of(self.settings))

    async def rights(self) -> None:
        """The users of the services, and what each may do in the databases of this moment."""
        await grant_roles(self.settings)
        await make_users(self.settings, dict.fromkeys(SERVICE_USERS, PASSWORD))

    async def close(self) -> None:
        for pool in (self.pool, self.keys):
            pool.terminate()

    def _service(self, name: str) -> Service:
        kind = name.partition("-")[0]
        guard = self.weak.get(kind)
        command = [sys.executable, str(WEAKENED), guard, kind] if guard else _plain(kind)
        return Service(
            name, command, self._environment(name), self.servers.folder / f"{self.name}-{name}.log"
        )

    def _environment(self, name: str) -> Mapping[str, str]:
        """What the process is told: also that it works as its own user of the databases, with no right too many."""
        kind = name.partition("-")[0]
        own = {
            "DATABASE_URL": as_user(kind, self.settings.database_url.get_secret_value()),
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers,
            "ZOEKLICHT_TOPIC_PREFIX": self.settings.topic_prefix,
            "ZOEKLICHT_MASTER_KEY": MASTER_KEY,
            "ZOEKLICHT_ALLOW_LOOPBACK_PARTNERS": "true",
            "ZOEKLICHT_DELIVERY_TIMEOUT_S": str(TIMEOUT_S),
            "ZOEKLICHT_LEASE_S": str(LEASE_S),
            "ZOEKLICHT_RENEW_EVERY_S": str(RENEW_EVERY_S),
            SUPERVISOR_PID: str(os.getpid()),
        }
        if kind in OPENING_USERS:
            own["ZOEKLICHT_VAULT_DATABASE_URL"] = as_user(kind, self.settings.vault_url)
        library = faketime()
        if name == SENDERS[0] and library:
            own |= {
                "LD_PRELOAD": library,
                "FAKETIME_TIMESTAMP_FILE": str(self.clock_file),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        return os.environ | own

    async def _ready(self) -> bool:
        names = await self.pool.fetchval(
            "select count(*) from kernel.heartbeat where ready and beat_at > clock_timestamp() - interval '3 s'"
        )
        return bool(names >= len(self.services))

    def facts(self) -> Facts:
        """A new case."""
        return Facts(self.pool, self.vault, self.settings)

    async def insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Does it as a client does whose server is restarted: again, until it is done."""
        end = asyncio.get_running_loop().time() + 120
        while True:
            try:
                return await work()
            except AWAY:
                assert asyncio.get_running_loop().time() < end, "the database did not come back"
                await asyncio.sleep(0.2)

    def of_pid(self, pid: int) -> Service | None:
        """The service that runs under this number now."""
        return next((s for s in self.services.values() if s.process is not None and s.pid == pid), None)

    async def claimants(self, alert_id: UUID, recipient: UUID | None = None) -> list[Service]:
        """The senders that have begun an attempt of an alert and not reported it."""
        rows = await self.pool.fetch(
            "select distinct t.owner from dispatch.attempt t join dispatch.delivery d using (delivery_id)"
            " where d.alert_id = $1 and t.ended_at is null and ($2::uuid is null or d.recipient_id = $2)",
            alert_id,
            recipient,
        )
        found = [self.of_pid(int(row["owner"].split(":")[1])) for row in rows]
        return [service for service in found if service is not None]

    async def claims_since(self, since: Any) -> set[tuple[str, UUID]]:
        """Senders and campaigns: appeals that were claimed since then and are not reported."""
        rows = await self.pool.fetch(
            "select distinct t.owner, a.campaign_id from dispatch.attempt t join dispatch.delivery d using (delivery_id)"
            " join dispatch.alert a using (alert_id)"
            " where t.ended_at is null and t.started_at > $1 and d.content <> 'withdrawn'",
            since,
        )
        found = [(self.of_pid(int(row["owner"].split(":")[1])), row["campaign_id"]) for row in rows]
        return {(service.name, campaign) for service, campaign in found if service is not None}


def _plain(kind: str) -> list[str]:
    return [sys.executable, "-m", "services.cli.service", kind]
