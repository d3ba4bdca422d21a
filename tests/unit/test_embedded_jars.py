"""The broker's jars: what is used is what the lock says, and nothing else."""

import functools
import gc
import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from services.kernel.embedded.errors import EmbeddedError
from services.kernel.embedded.jars import LOCK_FILE, cache_dir, ensure_jars, read_lock, rich_progress

JARS = {"lamp": b"light " * 40_000, "oil": b"fuel"}


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        """Keep the test output clean."""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A Maven repository over real HTTP, given to jgo the way a company's mirror is, and an empty cache."""
    root = tmp_path / "repository"
    for name, content in JARS.items():
        folder = root / "org" / "voorbeeld" / name / "1.0"
        folder.mkdir(parents=True)
        (folder / f"{name}-1.0.jar").write_bytes(content)
    handler = functools.partial(QuietHandler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        config = tmp_path / "jgo.conf"
        config.write_text(f"[repositories]\ncentral = http://127.0.0.1:{server.server_port}\n")
        monkeypatch.setenv("JGO_CONFIG_FILE", str(config))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("ZOEKLICHT_CACHE", str(tmp_path / "cache"))
        yield root
        server.shutdown()
        thread.join()
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()  # jgo leaves the answer of a 404 open until it is collected


@pytest.fixture
def lock(tmp_path):
    lines = [
        f"org.voorbeeld:{name}:1.0 {len(content)} {hashlib.sha256(content).hexdigest()}"
        for name, content in JARS.items()
    ]
    file = tmp_path / "test.lock"
    file.write_text("# two jars\n" + "\n".join(lines) + "\n")
    return file


def served(root, name):
    return root / "org" / "voorbeeld" / name / "1.0" / f"{name}-1.0.jar"


def test_jars_are_fetched_once_and_then_need_no_repository(repository, lock):
    """The first call fetches what the lock names; later calls live from the cache alone."""
    first = ensure_jars(lock_file=lock)
    for name in JARS:
        served(repository, name).unlink()

    again = ensure_jars(lock_file=lock)

    assert first == again
    assert [path.read_bytes() for path in again] == list(JARS.values())
    assert sorted(path.name for path in cache_dir().iterdir()) == ["lamp-1.0.jar", "oil-1.0.jar"]


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("damage", [b"", b"LIGHT " * 40_000])
def test_a_damaged_jar_is_fetched_again(lock, damage):
    """A cached jar of another size, or of the same size with another content, is replaced before use."""
    lamp = ensure_jars(lock_file=lock)[0]
    lamp.write_bytes(damage)

    assert ensure_jars(lock_file=lock)[0].read_bytes() == JARS["lamp"]


def test_a_repository_that_serves_another_content_is_refused(repository, lock):
    """A jar that differs from the lock never enters the cache, and the error names it."""
    served(repository, "lamp").write_bytes(b"other " * 40_000)

    with pytest.raises(EmbeddedError, match=r"lamp-1\.0\.jar .*not the locked one"):
        ensure_jars(lock_file=lock)

    assert not (cache_dir() / "lamp-1.0.jar").exists()


def test_a_jar_that_is_not_in_the_repository_stops_with_what_to_do(repository, lock):
    """A missing jar gives one line that names the three ways out."""
    served(repository, "oil").unlink()

    with pytest.raises(EmbeddedError) as caught:
        ensure_jars(lock_file=lock)

    assert "\n" not in str(caught.value)
    for way in ("network", "copy that folder", "KAFKA_BOOTSTRAP_SERVERS"):
        assert way in str(caught.value)


@pytest.mark.usefixtures("repository")
def test_progress_counts_all_bytes_and_never_falls(lock):
    """Progress ends at the total of the lock, and a warm cache reports nothing."""
    seen = []
    ensure_jars(lambda done, total, name: seen.append((done, total, name)), lock_file=lock)
    total = sum(len(content) for content in JARS.values())

    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1][:2] == (total, total)
    assert {name for _, _, name in seen} == {"lamp-1.0.jar", "oil-1.0.jar"}

    seen.clear()
    ensure_jars(lambda done, total, name: seen.append((done, total, name)), lock_file=lock)
    assert seen == []


@pytest.mark.usefixtures("repository")
def test_the_progress_bar_shows_the_download(lock, capsys):
    """The bar for terminals names what is fetched; with a warm cache it prints nothing."""
    with rich_progress() as show:
        ensure_jars(show, lock_file=lock)
    assert "Fetching Apache Kafka" in capsys.readouterr().out

    with rich_progress() as show:
        ensure_jars(show, lock_file=lock)
    assert "Fetching" not in capsys.readouterr().out


def test_without_network_and_cache_one_clear_line_says_what_to_do(tmp_path):
    """Offline with an empty cache, the real lock gives one line, quickly, and leaves no half file."""
    unreachable = "http://127.0.0.1:9"
    env = {**os.environ, "HTTPS_PROXY": unreachable, "HTTP_PROXY": unreachable, "NO_PROXY": ""}
    env |= {"ZOEKLICHT_CACHE": str(tmp_path), "JGO_CONFIG_FILE": str(tmp_path / "none.conf")}
    code = (
        "from services.kernel.embedded.jars import ensure_jars, EmbeddedError\n"
        "try:\n    ensure_jars()\nexcept EmbeddedError as error:\n    print(error)\n"
    )

    ran = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=30, check=True
    )

    assert ran.stderr == ""
    assert len(ran.stdout.splitlines()) == 1
    assert str(tmp_path) in ran.stdout
    assert "KAFKA_BOOTSTRAP_SERVERS" in ran.stdout
    assert list((tmp_path / "kafka").iterdir()) == []


def test_the_committed_lock_names_the_broker_and_a_log_binding_by_hash():
    """The lock holds every jar once, with a sha256, and no host."""
    jars = read_lock()

    assert len({jar.filename for jar in jars}) == len(jars) > 40
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) and jar.size > 0 for jar in jars)
    assert {("kafka_2.13", "4.3.1"), ("slf4j-simple", "1.7.36")} <= {
        (jar.artifact, jar.version) for jar in jars
    }
    assert "://" not in Path(LOCK_FILE).read_text(encoding="utf-8")
