"""A whole installation as its users start it: `zoeklicht run`, real processes, HTTP from outside."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import aiohttp
import psutil

COMMAND = [sys.executable, "-m", "services.cli.main"]
READY_WITHIN_S = 240.0
"""Ten processes at once on two slow cores; whoever does not wait in vain does not wait for this."""
DISPLAYS = 31
HELPERS = {
    "unit": {"audience": "missing_persons_unit"},
    "team": {"audience": "mobile_team"},
}


def displays(count: int = DISPLAYS) -> dict[str, dict]:
    return {f"display-{n:02d}": {} for n in range(count)}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Installation:
    """Started on a folder; speaks to its API."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None
        self.tokens: dict[str, str] = {}
        self.session: aiohttp.ClientSession | None = None

    async def start(self, *arguments: str, environment: dict[str, str] | None = None) -> float:
        """Starts and waits for readyz; returns the seconds it took."""
        began = time.monotonic()
        command = [*COMMAND, "run", "--data", str(self.folder), "--port", str(self.port), *arguments]
        output = (self.folder.parent / f"{self.folder.name}.out").open("ab")
        self.process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        output.close()
        self.session = aiohttp.ClientSession()
        while not await self.ready():
            assert self.process.poll() is None, f"run ended: {self.output()}"
            assert time.monotonic() - began < READY_WITHIN_S, f"not ready: {self.output()}"
            await asyncio.sleep(0.1)
        self.tokens = json.loads((self.folder / "access.json").read_text())["tokens"]
        return time.monotonic() - began

    async def ready(self) -> bool:
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with self.session.get(f"{self.url}/readyz", timeout=aiohttp.ClientTimeout(5)) as answer:
                return answer.status == 200
        return False

    async def until_ready(self, seconds: float = READY_WITHIN_S) -> None:
        end = time.monotonic() + seconds
        while not await self.ready():
            assert time.monotonic() < end, "not ready again in time"
            await asyncio.sleep(0.1)

    async def stop(self) -> int:
        if self.session:
            await self.session.close()
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else 0
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, 180)

    def output(self) -> str:
        return (self.folder.parent / f"{self.folder.name}.out").read_text()[-4000:]

    def members(self) -> list[psutil.Process]:
        """Every process of the installation, servers included."""
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    async def service(self, name: str, seconds: float = READY_WITHIN_S) -> psutil.Process:
        """The process of a service, or of the broker (`kafka`), as soon as there is one."""
        end = time.monotonic() + seconds
        while (found := self._find(name)) is None:
            assert time.monotonic() < end, f"no process {name} came"
            await asyncio.sleep(0.1)
        return found

    def _find(self, name: str) -> psutil.Process | None:
        for process in self.members():
            with suppress(psutil.Error):
                command = process.cmdline()
                if name == "kafka" and command and Path(command[0]).name == "java":
                    return process
                if "services.cli.service" in command and command[-1] == name:
                    return process
        return None

    async def call(
        self,
        method: str,
        path: str,
        role: str | None = "operator",
        body: object = None,
        *,
        expect: int | None = None,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
        token: str | None = None,
    ) -> tuple[int, dict, dict]:
        """(status, JSON, headers). `expect` asserts the status."""
        sent = dict(headers or {})
        if token or role:
            sent["Authorization"] = f"Bearer {token or self.tokens[role]}"
        data = raw if raw is not None else (json.dumps(body).encode() if body is not None else None)
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(method, self.url + path, data=data, headers=sent) as answer:
            text = await answer.text()
            if expect is not None:
                assert answer.status == expect, f"{method} {path}: {answer.status} {text}"
            found = json.loads(text) if "json" in answer.content_type and text else {"text": text}
            return answer.status, found, dict(answer.headers)

    async def post(self, path: str, body: object, role: str = "operator", **more) -> dict:
        """201 when it made something, 200 when it changed something."""
        status, found, _ = await self.call("POST", path, role, body, **more)
        assert status in {200, 201}, f"POST {path}: {status} {found}"
        return found

    async def get(self, path: str, role: str = "operator", expect: int = 200) -> dict:
        return (await self.call("GET", path, role, expect=expect))[1]

    async def eventually(self, path: str, condition, role: str = "operator", seconds: float = 120) -> dict:
        """Reads until the condition holds: lists, assessments and displays follow."""
        end = time.monotonic() + seconds
        while True:
            found = await self.get(path, role)
            if condition(found):
                return found
            assert time.monotonic() < end, f"{path} did not come to hold: {json.dumps(found)[:2000]}"
            await asyncio.sleep(0.05)


CASE = {
    "kind": "runaway",
    "reported_by": "parent",
    "disappeared_at": "2026-03-04T17:30:00+01:00",
    "last_seen": {"postal_code": "3000", "place": "station Voorbeeldplein", "lat": 50.88, "lon": 4.71},
    "children": [
        {
            "given_name": "Lou",
            "family_name": "Voorbeeldkind",
            "date_of_birth": "2011-07-01",
            "gender": "girl",
            "nationality": "BE",
            "description": "rode jas Kenteken",
        }
    ],
    "circumstances": [
        {"criterion": "medication_dependent", "value": "yes", "child": 0, "note": "insuline Geheimnis"}
    ],
    "details": {},
}
PARTIES = ("police", "public_prosecutor", "child_focus", "parents")


def consents() -> list[dict]:
    return [
        {
            "party": p,
            "given_by": "Jo Voorbeeldtekenaar",
            "reference": "PV-1",
            "decision": "given",
            "at": "2026-03-04T18:00:00+01:00",
        }
        for p in PARTIES
    ]


async def register(site: Installation, server, names: dict[str, dict]) -> None:
    """Registers partners through the API and waits until each is active."""
    from partners import Partner

    for name, extra in names.items():
        partner = server.partners.setdefault(name, Partner(name))
        body = {
            "name": name, "url": f"{server.url}/{name}", "format": "json", "content": "full", "areas": ["BE"],
            "languages": ["nl", "fr"], "contact": "duty desk", **extra,
        }  # fmt: skip
        answer = await site.post("/v1/partners", body, "admin")
        partner.partner_id, partner.secret, partner.token = (
            answer["partner_id"],
            answer["secret"],
            answer["token"],
        )

    def active(found: dict) -> bool:
        mine = [p for p in found["items"] if p["name"] in names]
        return len(mine) == len(names) and all(p["state"] == "active" for p in mine)

    await site.eventually("/v1/partners", active, "admin")


async def release(site: Installation, case_id: str, areas: list[str] | None = None) -> str:
    """Requests a public campaign as operator and releases it as coordinator."""
    campaign = await site.post(
        f"/v1/cases/{case_id}/campaigns",
        {"kind": "public", "areas": areas or ["24062"], "consents": consents()},
    )
    await site.post(f"/v1/campaigns/{campaign['campaign_id']}/release", {}, "coordinator")
    return campaign["campaign_id"]
