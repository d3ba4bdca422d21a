"""The broker's jars: named and hashed in `kafka.lock`, fetched by jgo, verified before every use."""

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import platformdirs
from jgo.config import GlobalSettings
from jgo.maven import MavenContext, PythonResolver
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from services.kernel.embedded.errors import EmbeddedError

LOCK_FILE = Path(__file__).with_name("kafka.lock")
_CENTRAL = "central"
_PARALLEL = 6
_ATTEMPTS = 3
_TIMEOUT_S = 15


class JarProgress(Protocol):
    """Told after every piece: bytes done and bytes in all of this download, and the jar's file name."""

    def __call__(self, done: int, total: int, name: str) -> None:
        """Take note of the progress; called from several threads, never from two at once."""


@dataclass(frozen=True)
class LockedJar:
    """One line of the lock: what the jar is, how many bytes, and the only content that is accepted."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        """The name in a Maven repository and in our cache."""
        return f"{self.artifact}-{self.version}.jar"


def read_lock(lock_file: Path = LOCK_FILE) -> list[LockedJar]:
    """Read `group:artifact:version size sha256` lines; `#` starts a comment line."""
    lines = lock_file.read_text(encoding="utf-8").splitlines()
    return [_parse(line) for line in lines if line.strip() and not line.startswith("#")]


def _parse(line: str) -> LockedJar:
    coordinate, size, sha256 = line.split()
    group, artifact, version = coordinate.split(":")
    return LockedJar(group, artifact, version, int(size), sha256)


def cache_dir() -> Path:
    """Where the jars are kept: `ZOEKLICHT_CACHE`, else the platform's cache folder of this user."""
    chosen = os.environ.get("ZOEKLICHT_CACHE")
    base = Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("zoeklicht")
    return base / "kafka"


def ensure_jars(progress: JarProgress | None = None, *, lock_file: Path = LOCK_FILE) -> list[Path]:
    """Give the paths of the locked jars, each with exactly the locked content.

    What is missing or altered in the cache is fetched (again). The full hash is computed at every call:
    44 MB take a tenth of a second, and a marker file could not tell a bad disk from a good one.

    Raises `EmbeddedError` when a jar can neither be found nor fetched, or when a repository serves
    another content than the locked one.
    """
    jars = read_lock(lock_file)
    cache = cache_dir()
    wanted = [jar for jar in jars if not _is_intact(cache / jar.filename, jar)]
    if wanted:
        _fetch_all(wanted, cache, progress)
    return [cache / jar.filename for jar in jars]


def sha256_of(path: Path) -> str:
    """Hash a file's content, as lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_intact(path: Path, jar: LockedJar) -> bool:
    return path.is_file() and path.stat().st_size == jar.size and sha256_of(path) == jar.sha256


def _fetch_all(jars: list[LockedJar], cache: Path, progress: JarProgress | None) -> None:
    """Fetch into a folder of our own and move whole, verified jars only, so that readers never see a half."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as staging:
            context = maven_context(Path(staging), _Meter(sum(jar.size for jar in jars), progress))
            _in_parallel(lambda jar: _fetch(jar, context, cache), jars)
    except EmbeddedError:
        raise
    except Exception as error:
        raise EmbeddedError(
            f"The Apache Kafka jars are not in {cache} and cannot be fetched ({_brief(error)}): run once with "
            "network access, or copy that folder from a machine that has it, or set KAFKA_BOOTSTRAP_SERVERS "
            "to a running broker."
        ) from error


def _brief(error: Exception) -> str:
    """Name the kind of failure only: the libraries' texts run over several lines."""
    return type(error).__name__


def _in_parallel(work: Callable[[LockedJar], None], jars: list[LockedJar]) -> None:
    pool = ThreadPoolExecutor(max_workers=_PARALLEL)
    try:
        for future in [pool.submit(work, jar) for jar in jars]:
            future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _fetch(jar: LockedJar, context: MavenContext, cache: Path) -> None:
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            fetched = Path(artifact.resolve())
        except Exception:
            _drop_half(artifact.cached_path)
            if attempt == _ATTEMPTS:
                raise
            continue
        if _is_intact(fetched, jar):
            fetched.replace(cache / jar.filename)
            return
        fetched.unlink()
    raise EmbeddedError(
        f"{jar.filename} as served by the Maven repository is not the locked one (sha256 differs): do not use it; "
        "check the repository or mirror that jgo is configured with, then run again."
    )


def _drop_half(path: Path | None) -> None:
    if path is not None:
        path.unlink(missing_ok=True)


def maven_context(repository: Path, meter: "_Meter | None" = None) -> MavenContext:
    """Point jgo at a local repository folder, with the mirrors of the user's own jgo configuration."""
    return MavenContext(
        resolver=PythonResolver(progress_callback=meter),
        repo_cache=repository,
        local_repos=[],
        remote_repos={**MavenContext().remote_repos, **GlobalSettings.load().repositories},
        timeout=_TIMEOUT_S,
    )


class _Meter:
    """Adds up jgo's per-file progress over all files; called from several threads."""

    def __init__(self, total: int, progress: JarProgress | None) -> None:
        self._total = total
        self._progress = progress
        self._done = 0
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self, name: str, _size: int) -> Iterator[Callable[[int], None]]:
        def advance(count: int) -> None:
            with self._lock:
                # A retried file is counted again; never show more than everything.
                self._done = min(self._done + count, self._total)
                if self._progress is not None:
                    self._progress(self._done, self._total, name)

        yield advance


@contextmanager
def rich_progress() -> Iterator[JarProgress]:
    """Show a progress bar in the terminal; it appears with the first byte, so a warm cache shows nothing."""
    bar = Progress(
        TextColumn("Fetching Apache Kafka"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[name]}"),
    )
    task = bar.add_task("jars", total=None, name="")
    started = threading.Event()

    def show(done: int, total: int, name: str) -> None:
        if not started.is_set():
            started.set()
            bar.start()
        bar.update(task, completed=done, total=total, name=name)

    try:
        yield show
    finally:
        bar.stop()
