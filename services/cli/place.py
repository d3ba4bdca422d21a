"""The data folder of an installation on one machine: who owns it, where its servers are, its secrets."""

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from services.kernel.errors import ZoeklichtError
from services.kernel.key_settings import KEY_BYTES

Kind = Literal["run", "command"]


class InUseError(ZoeklichtError):
    """Another process owns the data folder."""


class PlaceError(ZoeklichtError):
    """The data folder cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Running:
    """Who owns the folder now, and where its servers are. `kind`: the whole system, or a command for a while."""

    kind: Kind
    pid: int
    database_url: str
    kafka_bootstrap_servers: str | None


@dataclass(frozen=True, slots=True)
class Place:
    """A data folder. Every file with a secret has mode 0600."""

    directory: Path

    @property
    def logs(self) -> Path:
        """One log file per process."""
        return self.directory / "logs"

    @property
    def access_file(self) -> Path:
        """Address and tokens of this installation, for people and scripts."""
        return self.directory / "access.json"

    @property
    def services_file(self) -> Path:
        """What the supervisor knows: state and restarts of each process."""
        return self.directory / "services.json"

    @property
    def run_file(self) -> Path:
        """Where the servers are while somebody owns the folder."""
        return self.directory / "run.json"

    @property
    def key_file(self) -> Path:
        """The master key, when the environment gives none."""
        return self.directory / "master.key"

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Makes this process the owner; the system takes the lock back even from a killed one.

        Raises InUseError naming who owns it.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise PlaceError(
                f"{self.directory} cannot be used ({error.strerror}); choose another --data"
            ) from error
        try:
            self._lock(lock)
            self.run_file.unlink(missing_ok=True)  # left by a killed owner
            yield
        finally:
            os.close(lock)

    def _lock(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            running = self.running()
            who = f"process {running.pid}" if running else "a process that is starting or ending"
            raise InUseError(
                f"{self.directory} is in use by {who}: stop that one first, or choose another --data"
            ) from None

    def running(self) -> Running | None:
        """Who owns the folder and has its servers up; None while nobody says so."""
        found = read_json(self.run_file)
        try:
            return Running(**found) if found else None
        except TypeError:
            return None

    @contextmanager
    def announced(self, running: Running) -> Iterator[None]:
        """Says where the servers are, for as long as they are up."""
        write_secret(self.run_file, {name: getattr(running, name) for name in Running.__slots__})
        try:
            yield
        finally:
            self.run_file.unlink(missing_ok=True)

    def master_key(self) -> str:
        """The key of this folder, made once.

        Raises PlaceError when it is gone while there are data that only it opens.
        """
        try:
            return self.key_file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            pass
        if (self.directory / "postgres" / "cluster").exists():
            raise PlaceError(
                f"{self.key_file} is missing and the data cannot be opened without it: put it back from a copy,"
                " or set ZOEKLICHT_MASTER_KEY"
            )
        key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        with os.fdopen(os.open(self.key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key + "\n")
            file.flush()
            os.fsync(file.fileno())
        return key


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None when there is none or it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write_secret(path: Path, content: Mapping[str, Any]) -> None:
    """Replaces a file in one step; only its owner may read it, at no moment anybody else."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    draft.replace(path)
