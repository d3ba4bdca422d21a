"""What the software is made of: told whole by the bill of materials, and asked about where advisories are known."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[2]


def sbom(folder: Path) -> str:
    out = folder / "sbom.json"
    subprocess.run(
        [sys.executable, ROOT / "tools" / "sbom.py", "--out", out], check=True, capture_output=True
    )
    return out.read_text()


def test_the_bill_of_materials_is_valid_whole_and_the_same_each_time(tmp_path):
    """CycloneDX 1.6 by its own schema; every locked package and jar with its version; nothing of this machine."""
    text = sbom(tmp_path)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert text == sbom(tmp_path)
    purls = {one["purl"] for one in json.loads(text)["components"]}
    lock = (ROOT / "requirements.lock").read_text()
    pinned = re.findall(r"^([\w.-]+)(?:\[.*\])?==([\w.!+-]+)", lock, re.MULTILINE)
    assert {f"pkg:pypi/{name.lower()}@{version}" for name, version in pinned} <= purls
    jars = [
        line
        for line in (ROOT / "services/kernel/embedded/kafka.lock").read_text().splitlines()
        if ":" in line and line[0] != "#"
    ]
    assert len(purls) == len(pinned) + len(jars)
    assert all(line.split()[2] in text for line in jars)
    assert str(ROOT) not in text


def test_what_needs_what_is_told(tmp_path):
    """Everything is needed by something, up to the application itself."""
    found = {one["ref"]: set(one["dependsOn"]) for one in json.loads(sbom(tmp_path))["dependencies"]}
    reached, waiting = set(), ["zoeklicht"]
    while waiting:
        reached.add(one := waiting.pop())
        waiting += found[one] - reached
    assert reached == found.keys()


@contextmanager
def osv(known: dict[str, list[str]], status: int = 200) -> Iterator[tuple[str, list[dict]]]:
    """A service that answers as OSV does."""
    asked: list[dict] = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            queries = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
            asked.extend(queries)
            found = [known.get(one["package"]["purl"].partition("@")[0], ()) for one in queries]
            results = [{"vulns": [{"id": i} for i in ids]} if ids else {} for ids in found]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps({"results": results}).encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def audit(service: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / "audit.py", "--service", service]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_advisory_is_told_with_its_address():
    """One about a package and one about a jar; every component is asked about, and nothing else is said."""
    known = {"pkg:pypi/aiohttp": ["PYSEC-1"], "pkg:maven/org.apache.kafka/kafka_2.13": ["GHSA-x", "GHSA-y"]}
    with osv(known) as (service, asked):
        done = audit(service)
    assert done.returncode == 1
    assert "https://osv.dev/vulnerability/PYSEC-1" in done.stdout
    assert "https://osv.dev/vulnerability/GHSA-y" in done.stdout
    assert f"{len(asked)} packages asked about, 2 with advisories" in done.stdout
    assert all(set(one) == {"package"} and set(one["package"]) == {"purl"} for one in asked)


def test_nothing_known_and_nobody_to_ask_are_two_things():
    """0: none; 3, with what to do: it cannot be known."""
    with osv({}) as (service, _):
        assert audit(service).returncode == 0
    with osv({}, status=503) as (service, _):
        assert audit(service).returncode == 3
    done = audit(service)
    assert done.returncode == 3
    assert "nobody knows" in done.stderr
