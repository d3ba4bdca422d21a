"""The whole system as one command: from nothing to ready, and nothing left afterwards."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil
import pytest

READY_WITHIN_S = 240
"""Ten processes start at once, on a slow machine with two cores; whoever waits in vain waits for nothing else."""
SERVICES = {"intake", "relay", "criteria", "dispatch", "sender", "volunteers", "auditor", "projections"}

CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("ZOEKLICHT_", "DATABASE_URL", "KAFKA_")) or name == "ZOEKLICHT_CACHE"
}
LINES = [
    {
        "ref": "a",
        "type": "case.opened",
        "at": "2020-03-04T12:00:00+01:00",
        "data": {
            "kind": "undefined",
            "reported_by": "parent",
            "disappeared_at": "2020-03-04T08:00:00+01:00",
            "children": [{"given_name": "Noor", "family_name": "Verzonnen", "date_of_birth": "2001-01-01"}],
        },
    },
    {"ref": "b", "type": "case.closed", "at": "2020-03-05T12:00:00+01:00", "data": {"outcomes": []}},
]


class System:
    """One `zoeklicht run`."""

    def __init__(self, data):
        self.data = data
        self.process = None

    def start(self, *words):
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "services.cli.main",
                "run",
                "--data",
                str(self.data),
                "--port",
                "0",
                *words,
            ],
            env=CLEAN,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until_ready(self):
        deadline, answer = time.monotonic() + READY_WITHIN_S, None
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.stdout.read()
            try:
                status, answer = self.get("/readyz")
                if status == 200:
                    return
            except OSError as error:
                answer = error
            time.sleep(0.1)
        self.process.kill()
        pytest.fail(f"not ready in time: {answer!r}\n{self.process.stdout.read()}\n{self.ends_of_logs()}")

    def ends_of_logs(self):
        ends = {path.name: path.read_text().splitlines()[-5:] for path in (self.data / "logs").glob("*.log")}
        return "\n".join(f"{name}: {line[:300]}" for name, lines in sorted(ends.items()) for line in lines)

    @property
    def access(self):
        return json.loads((self.data / "access.json").read_text())

    def get(self, path, role=None):
        headers = {"Authorization": f"Bearer {self.access['tokens'][role]}"} if role else {}
        request = urllib.request.Request(  # noqa: S310 - our own address
            self.access["base_url"] + path, headers=headers
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def family(self):
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process is not None:
            self.process.stdout.close()


@pytest.fixture
def system(tmp_path):
    found = System(tmp_path / "data")
    yield found
    found.end()


def gone(processes, within_s):
    _, left = psutil.wait_procs(processes, timeout=within_s)
    return [process for process in left if process.status() != psutil.STATUS_ZOMBIE]


def zoeklicht(*words):
    return subprocess.run(
        [sys.executable, "-m", "services.cli.main", *words],
        env=CLEAN,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.timeout(900)
def test_one_command_is_the_whole_system_and_leaves_nothing(system):
    """Ready with every service; commands use it; SIGTERM ends every process; a restart keeps data and tokens."""
    system.start()
    system.until_ready()
    status, body = system.get("/readyz")
    dependencies = json.loads(body)["dependencies"]
    assert status == 200
    assert set(dependencies) == SERVICES | {"database", "kafka"}
    assert (system.data / "access.json").stat().st_mode & 0o777 == 0o600
    assert set(system.access["tokens"]) == {"operator", "coordinator", "admin", "viewer"}
    assert system.get("/v1/cases")[0] == 401
    assert system.get("/v1/cases", "viewer")[0] == 200
    assert {path.stem for path in (system.data / "logs").glob("*.log")} >= SERVICES | {"web"}

    second = zoeklicht("run", "--data", str(system.data), "--port", "0")
    assert second.returncode == 1
    assert f"is in use by process {system.process.pid}" in second.stderr
    assert zoeklicht("verify", "--data", str(system.data)).returncode == 0

    family = system.family()
    nice = {p.cmdline()[-1]: p.nice() for p in family if "services.cli.service" in p.cmdline()}
    assert nice["projections"] > nice["sender"], "figures do not go before alerts"
    assert nice["auditor"] > nice["dispatch"]
    system.process.send_signal(signal.SIGTERM)
    assert system.process.wait(180) == 0
    assert gone(family, 20) == []
    assert not (system.data / "run.json").exists()

    before = system.access["tokens"]
    system.process.stdout.close()
    system.start()
    system.until_ready()
    assert system.access["tokens"] == before
    assert system.get("/v1/cases", "admin")[0] == 200
    family = system.family()
    assert len(family) > 10
    system.process.kill()
    system.process.wait()
    assert gone(family, 60) == [], "a killed supervisor leaves orphans"


@pytest.mark.timeout(900)
def test_a_dead_service_and_dead_servers_come_back(system):
    """`kill -9` of a service, of PostgreSQL and of Kafka: all are started again and the system gets ready again."""
    system.start()
    system.until_ready()
    children = psutil.Process(system.process.pid).children()
    web = next(process for process in children if process.cmdline()[-1] == "web")
    servers = [process for process in children if process.name() in ("postgres", "java")]
    assert len(servers) == 2
    for process in (web, *servers):
        process.kill()
    assert gone([web, *servers], 60) == []
    system.until_ready()
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        notes = json.loads((system.data / "services.json").read_text())
        names = {process.name() for process in psutil.Process(system.process.pid).children()}
        if notes["web"]["restarts"] >= 1 and names >= {"postgres", "java"}:
            break
        time.sleep(0.1)
    assert notes["web"]["restarts"] >= 1
    assert names >= {"postgres", "java"}


@pytest.mark.timeout(900)
def test_a_file_goes_in_and_comes_out_as_figures_without_a_running_system(tmp_path):
    """`import` and `report` start what they need and end it; bad lines are named; twice changes nothing."""
    data, file = tmp_path / "data", tmp_path / "history.ndjson"
    file.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    first = zoeklicht("import", str(file), "--data", str(data))
    assert first.returncode == 1
    assert first.stderr.startswith("line 2: ")
    assert "1 lines taken in, 0 known already, 1 bad" in first.stdout
    assert "1 open worrying cases" in first.stdout
    again = zoeklicht("import", str(file), "--data", str(data))
    assert again.returncode == 1
    assert "0 lines taken in, 1 known already, 1 bad" in again.stdout
    report = zoeklicht("report", "annual", "2020", "--format", "json", "--data", str(data))
    assert report.returncode == 0, report.stderr
    assert report.stdout.startswith("{"), "standard output carries the result alone"
    figures = json.loads(report.stdout)
    assert figures["new_cases"]["undefined"] == 1
    assert figures["worrying"] == 1
    assert not (data / "run.json").exists()
    assert [
        p for p in psutil.process_iter(["cmdline"]) if str(data) in " ".join(p.info["cmdline"] or [])
    ] == []
