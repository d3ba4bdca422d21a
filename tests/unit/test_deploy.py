"""What is deployed is what is written here: the compose file is whole, has no default secret, and runs our commands."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from services.kernel.service import OPEN_NOTHING
from services.kernel.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = {
    "intake",
    "relay",
    "criteria",
    "dispatch",
    "sender",
    "volunteers",
    "auditor",
    "projections",
    "web",
}

ELSEWHERE = {
    "ZOEKLICHT_ALLOW_LOOPBACK_PARTNERS",  # for demonstrations and tests
    "ZOEKLICHT_TOPIC_PREFIX",  # a cluster of its own needs none
}
LISTENING = {"ZOEKLICHT_HOST", "ZOEKLICHT_PORT"}
"""Only web listens, and where is not for the installation to choose: ports are published by compose."""
WEB_ONLY = {
    f"ZOEKLICHT_OIDC_{name}"
    for name in ("ISSUER", "AUDIENCE", "CLIENT_ID", "CLIENT_SECRET", "ROLE_CLAIM", "NAME_CLAIM")
} | {"ZOEKLICHT_CALLS_PER_MINUTE", "ZOEKLICHT_SIGN_INS_PER_MINUTE"}
"""Who signs in with an account of the organisation does so at the web service; others need not know its secret."""
PAGING_ONLY = {
    "ZOEKLICHT_SMTP_URL",
    "ZOEKLICHT_SMTP_FROM",
    "ZOEKLICHT_DEAD_MAN_URL",
    "ZOEKLICHT_EMERGENCY_PACK",
    "ZOEKLICHT_EMERGENCY_RECIPIENTS",
    "ZOEKLICHT_EMERGENCY_EVERY_S",
    "ZOEKLICHT_EMERGENCY_KEPT",
}
OWN_ADDRESSES = {"DATABASE_URL", "ZOEKLICHT_VAULT_DATABASE_URL"}
"""Each service's own, with its user."""
OPENING_ONLY = {
    "ZOEKLICHT_MASTER_KEY",
    "ZOEKLICHT_WRAPPING_KEYS",
    "ZOEKLICHT_WRAPPING_KEYS_FILE",
    "ZOEKLICHT_KEY_SERVICE_TOKEN_FILE",
    "ZOEKLICHT_KEY_SERVICE_CA_FILE",
}
"""What wraps the keys: for those who open data."""
VOLUNTEERS_ONLY = {"ZOEKLICHT_SMS_URL", "ZOEKLICHT_SMS_TOKEN", "ZOEKLICHT_SMS_SIGNING_KEY"}
"""For whoever sends text messages, and for web, which takes the reports about them."""


def _compose(*arguments: str) -> subprocess.CompletedProcess[str]:
    docker = shutil.which("docker")
    command = [docker or "docker", "compose"]
    works = docker and subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0
    if not works:
        if os.environ.get("CI"):
            pytest.fail("install a docker client with the compose plugin: this check is required in CI")
        pytest.skip("skipped: install a docker client with the compose plugin")
    environment = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "DOCKER_CONFIG"}}
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_compose_file_is_whole():
    """Docker Compose itself accepts the file with the example's environment."""
    done = _compose("--env-file", "deploy/example.env", "config", "-q")
    assert done.returncode == 0, done.stderr


def test_no_secret_has_a_default(tmp_path):
    """Without an environment the start is refused with the name of what is missing."""
    empty = tmp_path / "empty.env"
    empty.write_text("")
    done = _compose("--env-file", str(empty), "config", "-q")
    assert done.returncode != 0
    assert "set " in done.stderr


def test_every_service_has_its_container_and_a_health_check():
    """One container per service, each watched; three brokers; the keys in a database of their own."""
    services = COMPOSE["services"]
    assert services.keys() == SERVICES | {"postgres", "vault", "migrate", "kafka-1", "kafka-2", "kafka-3"}
    for name in services.keys() - {"migrate"}:
        assert "test" in services[name]["healthcheck"], name
    assert all(services[name]["command"] == [name] for name in SERVICES)


def test_every_variable_is_in_the_example():
    """Whatever the compose file demands, the example shows."""
    demanded = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    shown = set(re.findall(r"^(\w+)=", (ROOT / "deploy/example.env").read_text(), re.MULTILINE))
    assert demanded <= shown


def test_every_setting_reaches_every_container_and_is_shown():
    """What one service is told and another is not, such as how long a display is leased, would break promises."""
    given = set().union(*(COMPOSE["services"][name]["environment"] for name in SERVICES))
    names = {
        name.upper() if one.validation_alias else f"ZOEKLICHT_{name.upper()}"
        for name, one in Settings.model_fields.items()
    }
    assert names - given == ELSEWHERE
    shared = COMPOSE["x-service"]["environment"]
    assert (
        names
        - ELSEWHERE
        - OWN_ADDRESSES
        - LISTENING
        - OPENING_ONLY
        - PAGING_ONLY
        - VOLUNTEERS_ONLY
        - WEB_ONLY
        <= shared.keys()
    )
    assert all(COMPOSE["services"][name]["environment"].items() >= shared.items() for name in SERVICES)
    optional = {name for name, value in shared.items() if str(value).startswith(f"${{{name}:-")}
    optional |= OPENING_ONLY | PAGING_ONLY | VOLUNTEERS_ONLY | WEB_ONLY
    example = (ROOT / "deploy/example.env").read_text()
    assert {name for name in optional if f"{name}=" not in example} == set()


def _who_knows(word: str) -> set[str]:
    return {
        name
        for name, one in COMPOSE["services"].items()
        if any(word in value for value in map(str, (one.get("environment") or {}).values()))
    }


def test_who_opens_nothing_does_not_know_where_the_keys_are():
    """The relay, criteria and projections work on what is sealed: neither the keys nor what opens them is theirs."""
    opening = SERVICES - OPEN_NOTHING | {"migrate"}
    assert _who_knows("{VAULT_ADDRESS") == opening
    assert _who_knows("{ZOEKLICHT_MASTER_KEY") == opening
    assert _who_knows("VAULT_PASSWORD") == {"vault", "migrate"}


def test_each_service_works_as_a_user_of_its_own():
    """Nobody but the migration is the owner of the databases, and each password is known to one user's containers alone."""
    assert _who_knows("POSTGRES_PASSWORD") == {"postgres", "migrate"}
    for name in SERVICES:
        assert _who_knows(f"{{{name.upper()}_PASSWORD") == {name, "migrate"}
        told = COMPOSE["services"][name]["environment"]
        assert f"//{name}:" in told["DATABASE_URL"]
        assert name in OPEN_NOTHING or f"//{name}:" in told["ZOEKLICHT_VAULT_DATABASE_URL"]


def test_locks_carry_hashes_and_no_address():
    """Every locked package has a hash, and no line names a host."""
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        pins = [line for line in text.splitlines() if re.match(r"^[a-z0-9]", line)]
        assert pins
        assert all(line.rstrip().endswith("\\") for line in pins), name
