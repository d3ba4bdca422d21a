"""Finding the system a command is about: given addresses first, then what runs in the folder, then our own servers."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from schemas.events import TOPICS
from services.cli.database import migrate_all
from services.cli.place import InUseError, Place, PlaceError, Running
from services.cli.processes import programs
from services.cli.servers import Addresses, Servers
from services.cli.terminal import err, fetching
from services.kernel.errors import ZoeklichtError
from services.kernel.kafka import create_topics
from services.kernel.postgres import Pool, create_pool
from services.kernel.service import services_ready
from services.kernel.settings import Settings, load_settings
from services.kernel.supervisor import Supervisor

DEFAULT_DATA = Path(".zoeklicht")
WAIT_FOR_OWNER_S = 120.0
READY_WITHIN_S = 60.0
_LOOK_S = 0.2
NO_KAFKA = "127.0.0.1:9"
"""Stands in the settings of a command that speaks with PostgreSQL alone."""


def _status(text: str) -> AbstractContextManager[object]:
    return err.status(text) if err.is_terminal else nullcontext()


class NotReadyError(ZoeklichtError):
    """A service that a command needs does not get ready."""


@dataclass(frozen=True, slots=True)
class System:
    """What a command works with. `owned`: nobody else uses these servers now."""

    settings: Settings
    place: Place
    owned: bool


def given() -> Addresses:
    """The addresses that the environment names; they win over everything."""
    return Addresses(os.environ.get("DATABASE_URL", ""), os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or None)


def settings_for(place: Place, addresses: Addresses, *, make_key: bool, **rest: object) -> Settings:
    """Settings of this installation; the folder's master key where the environment has none.

    With `make_key` false a folder without a key makes none: data on given servers belong to a given key.
    """
    values: dict[str, object] = {
        "database_url": addresses.database_url,
        "kafka_bootstrap_servers": addresses.kafka_bootstrap_servers or NO_KAFKA,
        **rest,
    }
    if "ZOEKLICHT_MASTER_KEY" not in os.environ and (make_key or place.key_file.exists()):
        values["master_key"] = place.master_key()
    return load_settings(opens=True, **values)


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which a service of this installation is started."""
    return {
        **os.environ,
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "ZOEKLICHT_MASTER_KEY": settings.master_key.get_secret_value(),
    }


@asynccontextmanager
async def system(place: Place, *, with_kafka: bool = True) -> AsyncIterator[System]:
    """The system of a folder, for as long as a command needs it.

    Raises InUseError when another command keeps the folder for too long, EmbeddedError, SettingsError.
    """
    named = given()
    if named.database_url and (named.kafka_bootstrap_servers or not with_kafka):
        yield System(settings_for(place, named, make_key=False), place, owned=False)
        return
    running = await _running_or_none(place)
    if running is not None:
        addresses = Addresses(
            named.database_url or running.database_url,
            named.kafka_bootstrap_servers or running.kafka_bootstrap_servers,
        )
        yield System(settings_for(place, addresses, make_key=False), place, owned=False)
        return
    async with _own_servers(place, named, with_kafka=with_kafka) as own:
        yield own


async def _running_or_none(place: Place) -> Running | None:
    """The whole system that runs here; None when the folder is free. Waits for another command to finish."""
    deadline = asyncio.get_running_loop().time() + WAIT_FOR_OWNER_S
    while True:
        try:
            with place.owned():
                return None
        except InUseError:
            running = place.running()
            if running is not None and running.kind == "run":
                return running
            if asyncio.get_running_loop().time() > deadline:
                raise
        with _status("waiting for another command on this folder …"):
            await asyncio.sleep(_LOOK_S)


@asynccontextmanager
async def bare(place: Place) -> AsyncIterator[System]:
    """The database of an installation that nobody uses, as it is: nothing is migrated, no key and no topic is made.

    Raises InUseError while the system runs there, PlaceError without a master key, EmbeddedError.
    """
    named = given()
    if "ZOEKLICHT_MASTER_KEY" not in os.environ and not place.key_file.exists():
        raise PlaceError(
            f"a backup does not hold the master key: put it back as {place.key_file}, or set ZOEKLICHT_MASTER_KEY"
        )
    if named.database_url:
        yield System(settings_for(place, named, make_key=False), place, owned=False)
        return
    with place.owned():
        servers = Servers(
            place,
            database_url=None,
            kafka_bootstrap_servers=named.kafka_bootstrap_servers,
            with_kafka=False,
        )
        async with servers:
            addresses = servers.addresses
            with place.announced(Running("command", os.getpid(), addresses.database_url, None)):
                yield System(settings_for(place, addresses, make_key=False), place, owned=True)


@asynccontextmanager
async def _own_servers(place: Place, named: Addresses, *, with_kafka: bool) -> AsyncIterator[System]:
    with place.owned(), fetching() as progress:
        make_key = not named.database_url
        if make_key and "ZOEKLICHT_MASTER_KEY" not in os.environ:
            place.master_key()  # before the servers: data without a key would be refused the next time
        servers = Servers(
            place,
            database_url=named.database_url or None,
            kafka_bootstrap_servers=named.kafka_bootstrap_servers,
            with_kafka=with_kafka,
            progress=progress,
        )
        async with servers:
            addresses = servers.addresses
            settings = settings_for(place, addresses, make_key=make_key)
            await migrate_all(settings)
            await forget_heartbeats(settings)
            if with_kafka:
                await create_topics(settings, TOPICS)
            owner = Running("command", os.getpid(), addresses.database_url, addresses.kafka_bootstrap_servers)
            with place.announced(owner):
                yield System(settings, place, owned=True)


async def forget_heartbeats(settings: Settings) -> None:
    """Nobody runs here but us: heartbeats are of processes that were killed."""
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    try:
        await connection.execute("delete from kernel.heartbeat")
    finally:
        await connection.close()


@asynccontextmanager
async def with_services(found: System, names: Sequence[str]) -> AsyncIterator[None]:
    """Runs those of these services that nobody runs, for as long as a command needs them, and waits for all.

    Raises NotReadyError.
    """
    pool = await create_pool(found.settings.database_url.get_secret_value(), size=1)
    try:
        missing = sorted(set(names) if found.owned else set(names) - await _ready(pool))
        supervisor = Supervisor(programs(missing), logs=found.place.logs, env=environment(found.settings))
        supervisor.start()
        try:
            await _until_ready(pool, set(names), found.place)
            yield
        finally:
            await supervisor.stop()
    finally:
        await pool.close()


async def _ready(pool: Pool) -> set[str]:
    return {name for name, ready in (await services_ready(pool)).items() if ready}


async def _until_ready(pool: Pool, names: set[str], place: Place) -> None:
    deadline = asyncio.get_running_loop().time() + READY_WITHIN_S
    with _status("starting the services …"):
        while missing := names - await _ready(pool):
            if asyncio.get_running_loop().time() > deadline:
                raise NotReadyError(
                    f"{', '.join(sorted(missing))} did not get ready within {READY_WITHIN_S:.0f} s:"
                    f" the files in {place.logs} say why"
                )
            await asyncio.sleep(_LOOK_S)
