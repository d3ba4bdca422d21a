"""`zoeklicht run`: the whole system on one machine, from nothing to ready, and back to nothing."""

import asyncio
import os
import secrets
import signal
import socket
import time
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.error import HTTPError

from rich.console import Console

from schemas.events import TOPICS
from services.cli import processes
from services.cli.database import migrate_all
from services.cli.local import environment, forget_heartbeats, given, settings_for
from services.cli.place import Place, Running, read_json, write_secret
from services.cli.servers import Servers
from services.cli.terminal import fetching
from services.kernel.embedded import EmbeddedError
from services.kernel.embedded.jars import JarProgress
from services.kernel.errors import ZoeklichtError
from services.kernel.kafka import create_topics
from services.kernel.postgres import create_pool
from services.kernel.principals import Role, adopt_token
from services.kernel.settings import Settings
from services.kernel.supervisor import Status, Supervisor

READY_WITHIN_S = 120.0
SERVICES_FILE = "ZOEKLICHT_SERVICES_FILE"
"""Tells the service web where the supervisor keeps its notes."""
_LOOK_S = 0.1
ROLES = (Role.OPERATOR, Role.COORDINATOR, Role.ADMIN, Role.VIEWER)

console = Console(highlight=False, soft_wrap=True)


class RunError(ZoeklichtError):
    """The system cannot run; the message says what to do."""


class StoppedError(EmbeddedError):
    """Somebody asked to stop while the servers were still on their way."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for."""

    place: Place
    host: str
    port: int
    allow_loopback_partners: bool


Scenario = Callable[[Path, asyncio.Event], Awaitable[None]]


async def run(wish: Wish, scenario: Scenario | None = None) -> int:
    """Runs the system until SIGINT or SIGTERM; returns the exit code.

    Raises InUseError, RunError, EmbeddedError, SettingsError; whatever had started by then is stopped again.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        async with AsyncExitStack() as stack:
            stack.enter_context(wish.place.owned())
            await _run(wish, scenario, stop, stack)
    except StoppedError:
        pass
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    console.print("stopped")
    return 0


async def _run(wish: Wish, scenario: Scenario | None, stop: asyncio.Event, stack: AsyncExitStack) -> None:
    began = time.monotonic()
    port = free_port(wish.host, wish.port)
    settings = await _foundations(wish, port, stop, stack)
    await _access(wish.place, settings)
    supervisor = Supervisor(
        processes.programs(processes.ALL),
        logs=wish.place.logs,
        env=_environment(wish, settings),
        on_change=_Notes(wish.place, stop),
    )
    supervisor.start()
    # Called last in, first out: the services end before the servers they stand on.
    stack.push_async_callback(supervisor.stop)
    await _until_ready(settings, supervisor, stop)
    if stop.is_set():
        return
    _say_ready(wish.place, settings, time.monotonic() - began)
    if scenario is not None:
        await _play(scenario, wish.place, stop)
    await stop.wait()
    console.print("stopping …")


async def _foundations(wish: Wish, port: int, stop: asyncio.Event, stack: AsyncExitStack) -> Settings:
    """Servers, schemas and topics; a stop ends the waiting for them."""
    named = given()
    if "ZOEKLICHT_MASTER_KEY" not in os.environ:
        wish.place.master_key()
    with fetching() as progress:
        servers = await stack.enter_async_context(
            Servers(
                wish.place,
                database_url=named.database_url or None,
                kafka_bootstrap_servers=named.kafka_bootstrap_servers,
                progress=_stoppable(progress, stop),
            )
        )
    if stop.is_set():
        raise StoppedError
    addresses = servers.addresses
    settings = settings_for(
        wish.place,
        addresses,
        make_key=True,
        host=wish.host,
        port=port,
        allow_loopback_partners=wish.allow_loopback_partners,
    )
    await migrate_all(settings)
    if not named.database_url:
        await forget_heartbeats(settings)
    await create_topics(settings, TOPICS)
    running = Running("run", os.getpid(), addresses.database_url, addresses.kafka_bootstrap_servers)
    stack.enter_context(wish.place.announced(running))
    keeper = asyncio.create_task(servers.keep(console.print))
    stack.push_async_callback(_cancelled, keeper)
    return settings


def _stoppable(progress: JarProgress, stop: asyncio.Event) -> JarProgress:
    """A download ends with the next piece when somebody asked to stop."""

    def show(done: int, total: int, name: str) -> None:
        if stop.is_set():
            raise StoppedError
        progress(done, total, name)

    return show


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def free_port(host: str, port: int) -> int:
    """The port itself when it can be listened on, any free one for 0. Raises RunError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            found: int = probe.getsockname()[1]
    except OSError as error:
        raise RunError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another --host or --port"
        ) from error
    return found


async def _access(place: Place, settings: Settings) -> None:
    """Tokens of this folder, made once and kept: scripts go on working after a restart."""
    tokens = (read_json(place.access_file) or {}).get("tokens", {})
    for role in ROLES:
        tokens.setdefault(role.value, f"zl_{secrets.token_urlsafe(32)}")
    write_secret(place.access_file, {"base_url": reachable(settings), "tokens": tokens})
    pool = await create_pool(settings.database_url.get_secret_value(), size=1)
    try:
        async with pool.acquire() as connection:
            for role in ROLES:
                await adopt_token(connection, tokens[role.value], role.value, role)
    finally:
        await pool.close()


def reachable(settings: Settings) -> str:
    """The address from this machine: a server that listens everywhere is reached on loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - compared only
    return f"http://[{host}]:{settings.port}" if ":" in host.strip("[]") else f"http://{host}:{settings.port}"


def _environment(wish: Wish, settings: Settings) -> dict[str, str]:
    found = {
        **environment(settings),
        "ZOEKLICHT_HOST": settings.host,
        "ZOEKLICHT_PORT": str(settings.port),
        SERVICES_FILE: str(wish.place.services_file.absolute()),
    }
    if settings.public_url is None:
        found["ZOEKLICHT_PUBLIC_URL"] = reachable(settings)
    if wish.allow_loopback_partners:
        found["ZOEKLICHT_ALLOW_LOOPBACK_PARTNERS"] = "true"
    return found


class _Notes:
    """Writes down what the supervisor does, and tells the terminal when something had to be started again."""

    def __init__(self, place: Place, stop: asyncio.Event) -> None:
        self._place = place
        self._stop = stop
        self._restarts: dict[str, int] = {}

    def __call__(self, status: Mapping[str, Status]) -> None:
        write_secret(self._place.services_file, {name: asdict(one) for name, one in status.items()})
        for name, one in status.items():
            if one.restarts > self._restarts.get(name, 0) and not self._stop.is_set():
                console.print(
                    f"{name} ended with code {one.exit_code}; starting it again (restart {one.restarts},"
                    f" see {self._place.logs / name}.log)"
                )
            self._restarts[name] = one.restarts


async def _until_ready(settings: Settings, supervisor: Supervisor, stop: asyncio.Event) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    address = f"{reachable(settings)}/readyz"
    with console.status("starting the services …") if console.is_terminal else nullcontext():
        while not stop.is_set():
            if await asyncio.to_thread(_answers, address):
                return
            if time.monotonic() > deadline:
                down = ", ".join(name for name, one in supervisor.status.items() if one.restarts) or "none"
                raise RunError(
                    f"not ready within {READY_WITHIN_S:.0f} s (started again: {down});"
                    f" {address} and the files in the folder logs say why"
                )
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _LOOK_S)


def _answers(address: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=5) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004 - OK
    except (HTTPError, OSError):
        return False


def _say_ready(place: Place, settings: Settings, seconds: float) -> None:
    base = reachable(settings)
    console.print(f"[bold green]ready[/] after {seconds:.1f} s: {base}")
    console.print(f"  API docs   {base}/docs")
    console.print(f"  access     {place.access_file}  (tokens of operator, coordinator, admin, viewer)")
    console.print(f"  logs       {place.logs}")
    console.print("  Ctrl-C ends it in order")


async def _play(scenario: Scenario, place: Place, stop: asyncio.Event) -> None:
    """A demonstration that fails says so and leaves the system up."""
    play = asyncio.ensure_future(scenario(place.access_file, stop))
    asked = asyncio.ensure_future(stop.wait())
    await asyncio.wait({play, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not play.done():
        play.cancel()
    try:
        await play
    except asyncio.CancelledError:
        return
    except Exception as error:  # the system is what people rely on, the demonstration is not
        console.print(f"[bold red]the demonstration failed[/]: {type(error).__name__}: {error}")
        console.print("the system itself is up")
