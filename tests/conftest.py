"""Real servers for the whole run, a fresh database and fresh topics for each test that asks."""

import asyncio
import base64
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from schemas.events import TOPICS
from services.cli.database import migrate_all
from services.kernel.embedded import EmbeddedKafka, EmbeddedPostgres
from services.kernel.kafka import create_topics
from services.kernel.postgres import create_pool
from services.kernel.settings import Settings, load_settings
from services.kernel.vault import Vault, ring_of

MASTER_KEY = base64.b64encode(bytes(range(32))).decode()
_numbers = itertools.count(1)
_run = f"{os.getpid()}"


@dataclass(frozen=True)
class Servers:
    """Where the servers of this run are. `TEST_DATABASE_URL` and `TEST_KAFKA` name servers that run already."""

    directory: Path
    stack: ExitStack

    def postgres(self) -> str:
        running = os.environ.get("TEST_DATABASE_URL")
        if running:
            return running
        server = EmbeddedPostgres(
            self.directory / "postgres", log_file=self.directory / "postgres.log", fsync=False
        )
        return self.stack.enter_context(server).dsn("zoeklicht")

    def kafka(self) -> str:
        running = os.environ.get("TEST_KAFKA")
        if running:
            return running
        server = EmbeddedKafka(self.directory / "kafka", log_file=self.directory / "kafka.log")
        self.stack.callback(server.stop)
        return server.start()


@pytest.fixture(scope="session")
def master_key() -> str:
    """The key every vault of these tests is sealed with."""
    return MASTER_KEY


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The servers of this run, started by whoever needs one first, stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="zoeklicht-test-") as folder, ExitStack() as stack:
        yield Servers(Path(folder), stack)


@pytest.fixture(scope="session")
def postgres_url(servers: Servers) -> str:
    """A real PostgreSQL."""
    return servers.postgres()


@pytest.fixture(scope="session")
def kafka(servers: Servers) -> str:
    """A real Apache Kafka."""
    return servers.kafka()


def _with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def _create(url: str, name: str, template: str) -> None:
    connection = await asyncpg.connect(_with_database(url, "postgres"))
    try:
        # Copied as files: the default writes every page to the log as well, 18 MB a test.
        await connection.execute(f'create database "{name}" template "{template}" strategy file_copy')
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def templates(postgres_url: str) -> Iterator[tuple[str, str]]:
    """Two migrated databases to copy from: copying is much faster than migrating."""
    names = f"zl_{_run}_main", f"zl_{_run}_vault"

    async def build() -> None:
        for name in names:
            await _create(postgres_url, name, "template0")
        await migrate_all(
            load_settings(
                database_url=_with_database(postgres_url, names[0]),
                vault_database_url=_with_database(postgres_url, names[1]),
                kafka_bootstrap_servers="127.0.0.1:1",
                master_key=MASTER_KEY,
            )
        )

    asyncio.run(build())
    yield names
    asyncio.run(_drop(postgres_url, *names))


async def _drop(url: str, *names: str) -> None:
    connection = await asyncpg.connect(_with_database(url, "postgres"))
    try:
        for name in names:
            await connection.execute(f'drop database if exists "{name}" with (force)')
    finally:
        await connection.close()


@asynccontextmanager
async def _installation(postgres_url: str, templates: tuple[str, str]) -> AsyncIterator[Settings]:
    number = next(_numbers)
    main, vault = f"zl_{_run}_{number}", f"zl_{_run}_{number}_vault"
    await _create(postgres_url, main, templates[0])
    await _create(postgres_url, vault, templates[1])
    yield load_settings(
        database_url=_with_database(postgres_url, main),
        vault_database_url=_with_database(postgres_url, vault),
        kafka_bootstrap_servers="127.0.0.1:1",
        topic_prefix=f"t{_run}-{number}-",
        topic_partitions=3,
        master_key=MASTER_KEY,
        allow_loopback_partners=True,
    )
    # Two databases a test would fill a disk within a few runs.
    await _drop(postgres_url, main, vault)


async def _with_kafka(settings: Settings, kafka: str) -> Settings:
    joined = settings.model_copy(update={"kafka_bootstrap_servers": kafka})
    await create_topics(joined, TOPICS)
    return joined


@pytest.fixture
async def settings(postgres_url: str, templates: tuple[str, str]) -> AsyncIterator[Settings]:
    """Settings of an installation with databases of its own; Kafka is away."""
    async with _installation(postgres_url, templates) as installed:
        yield installed


@pytest.fixture
async def settings_with_kafka(settings: Settings, kafka: str) -> Settings:
    """The same, with topics of its own on the real Kafka."""
    return await _with_kafka(settings, kafka)


@pytest.fixture(scope="module")
async def shared_settings(
    postgres_url: str, templates: tuple[str, str], kafka: str
) -> AsyncIterator[Settings]:
    """The same once for all tests of a module, which only read what they find."""
    async with _installation(postgres_url, templates) as installed:
        yield await _with_kafka(installed, kafka)


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    """A pool on the test's own database."""
    pool = await create_pool(settings.database_url.get_secret_value(), size=10, application="test")
    yield pool
    await pool.close()


@pytest.fixture
async def vault(settings: Settings) -> AsyncIterator[Vault]:
    """The keys of the test's own installation."""
    pool = await create_pool(settings.vault_url, size=4, application="test-vault")
    yield Vault(pool, ring_of(settings))
    await pool.close()
