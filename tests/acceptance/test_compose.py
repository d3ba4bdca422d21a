"""The compose file's services, started by its own commands and environment against servers started by hand.

No container engine is needed: only the addresses of the servers differ, and with one broker the replication.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import yaml
from installation import CASE, Installation, free_port, register, release

from services.cli.database import SERVICE_USERS

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SERVICES = (
    "intake",
    "relay",
    "criteria",
    "dispatch",
    "sender",
    "volunteers",
    "auditor",
    "projections",
    "web",
)
DATABASES = {"DATABASE_URL", "ZOEKLICHT_VAULT_DATABASE_URL"}
SCRIPT = Path(sys.executable).with_name("zoeklicht")


EXAMPLE = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / "deploy/example.env").read_text(), re.MULTILINE))


def as_its_user(service: str, name: str, url: str) -> str:
    """The address of a database of this test, for the user as which the compose file has the service work."""
    user, secret = re.search(
        r"//([^:]+|\$\{[^}]+\}):\$\{(\w+):", COMPOSE[service]["environment"][name]
    ).groups()
    if "OWNER" in user:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}:{EXAMPLE[secret]}@{parts.hostname}:{parts.port}"))


def environment(service: str, here: dict[str, str]) -> dict[str, str]:
    """What the compose file gives a service, with the example's values and the addresses of this test."""

    def filled(text: str) -> str:
        return re.sub(r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda m: EXAMPLE.get(m[1], m[2] or ""), text)

    given = {name: filled(str(value)) for name, value in COMPOSE[service]["environment"].items()}
    # Where the keys are is told to those alone that open something.
    assert set(here) - set(given) <= {"ZOEKLICHT_VAULT_DATABASE_URL"}, (
        "overrides are what the compose file sets"
    )
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    told = {name: value for name, value in here.items() if name in given}
    told |= {name: as_its_user(service, name, url) for name, url in told.items() if name in DATABASES}
    return {**kept, **given, **told}


@pytest.fixture
async def nobody_left(settings):
    """Users belong to the server, not to a database."""
    yield
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    for user in SERVICE_USERS:
        await connection.execute(f"drop role if exists {user}")
    await connection.close()


HELPER = {
    "given_name": "An",
    "family_name": "Verzonnen",
    "team": "mobile",
    "languages": ["nl"],
    "postal_code": "3000",
    "channels": ["an@volunteers.example"],
    "consent": True,
}


async def a_life_of(site: Installation, partners, case: str) -> None:
    """What every service does in its turn: lit, somebody called, dark, stood down, erased, counted."""
    await register(site, partners, {"screen": {}})
    screen = partners.partners["screen"]
    await site.post("/v1/volunteers", HELPER, "admin")
    await release(site, case)
    await partners.until(lambda: screen.shows)
    asked = await site.post(f"/v1/cases/{case}/callouts", {"people": 1, "postal_code": "3000"}, "coordinator")
    path = f"/v1/callouts/{asked['callout_id']}"
    await site.eventually(path, lambda found: found["waves"], "coordinator")
    await site.post(
        f"/v1/cases/{case}/events", {"type": "closed", "outcomes": [{"child": 0, "outcome": "found_safe"}]}
    )
    await partners.until(lambda: not screen.shows)
    await site.eventually(path, lambda found: found["state"] == "over", "coordinator")
    why = {"case_id": case, "reason": "request_of_family", "reference": "AVG-2026/14"}
    erasure = (await site.post("/v1/erasures", why, "coordinator"))["erasure_id"]
    await site.post(f"/v1/erasures/{erasure}/approve", {}, "admin")
    await site.eventually(f"/v1/erasures/{erasure}", lambda found: found["executed_at"], "admin")
    await site.eventually("/v1/partners", lambda found: len(found["items"]) == 2, "admin")
    await site.get("/v1/audit", "admin")


@pytest.mark.timeout(600)
async def test_services_run_by_the_commands_of_the_compose_file(
    settings, kafka, partners, tmp_path, nobody_left
):
    """Prepared and started as the compose file says, each service as its own user, the system alerts the Unit."""
    main = settings.database_url.get_secret_value()
    port = free_port()
    here = {
        "DATABASE_URL": main,
        "ZOEKLICHT_VAULT_DATABASE_URL": settings.vault_url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "ZOEKLICHT_TOPIC_REPLICATION": "1",
        "ZOEKLICHT_PUBLIC_URL": f"http://127.0.0.1:{port}",
    }
    prefix = {"ZOEKLICHT_TOPIC_PREFIX": settings.topic_prefix, "ZOEKLICHT_ALLOW_LOOPBACK_PARTNERS": "true"}

    def run(service: str, *command: str) -> subprocess.CompletedProcess[str]:
        given = {**environment(service, here), **prefix}
        return subprocess.run(
            command, env=given, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=180
        )

    prepare = COMPOSE["migrate"]
    env_path = f"{SCRIPT.parent}:{os.environ['PATH']}"
    prefix["PATH"] = env_path
    done = run("migrate", *prepare["entrypoint"], *prepare["command"])
    assert done.returncode == 0, done.stderr
    assert "case-events" in done.stdout
    assert f"users: {', '.join(SERVICE_USERS)}" in done.stdout

    started = {}
    site = Installation(tmp_path)
    try:
        for name in SERVICES:
            given = {**environment(name, here), **prefix}
            if name == "web":
                given |= {"ZOEKLICHT_HOST": "127.0.0.1", "ZOEKLICHT_PORT": str(port)}
            with (tmp_path / f"{name}.log").open("wb") as log:
                started[name] = subprocess.Popen(
                    [SCRIPT, *COMPOSE[name]["command"]], env=given, cwd=tmp_path, stdout=log, stderr=log
                )
        site.port, site.url, site.process = port, f"http://127.0.0.1:{port}", started["web"]
        import aiohttp

        site.session = aiohttp.ClientSession()
        try:
            await site.until_ready(60)
        except AssertionError:
            shown = "".join(
                f"\n{name}: " + (tmp_path / f"{name}.log").read_text()[-300:] for name in SERVICES
            )
            pytest.fail(f"not ready: {shown}")
        for role in ("operator", "coordinator", "admin"):
            made = run("web", SCRIPT, "token", "create", f"person-{role}", "--role", role)
            assert made.returncode == 0, made.stderr
            site.tokens[role] = made.stdout.strip()
        await register(site, partners, {"unit": {"audience": "missing_persons_unit"}})
        case = (await site.post("/v1/cases", CASE))["case_id"]
        unit = partners.partners["unit"]
        await partners.until(lambda: unit.arrivals)
        await a_life_of(site, partners, case)
        assert run("relay", SCRIPT, *COMPOSE["relay"]["healthcheck"]["test"][2:]).returncode == 0
    finally:
        if site.session:
            await site.session.close()
        for process in started.values():
            process.send_signal(signal.SIGTERM)
        codes = {name: await asyncio.to_thread(p.wait, 30) for name, p in started.items()}
    assert set(codes.values()) == {0}, codes
    lines = {name: (tmp_path / f"{name}.log").read_text().splitlines() for name in SERVICES}
    refused = [(name, line[:500]) for name in SERVICES for line in lines[name] if "permission denied" in line]
    assert refused == [], "the role of each of these lacks a right"
