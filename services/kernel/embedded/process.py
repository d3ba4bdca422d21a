"""What both embedded servers share: one owner per data folder, a free port, a start that is waited for, an end."""

import fcntl
import os
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, ClassVar, Self

import psutil

from services.kernel.embedded.errors import EmbeddedError

HOST = "127.0.0.1"
_POLL_S = 0.02
_LOG_KEPT_BYTES = 16 * 1024 * 1024
_KILL_WAIT_S = 10.0
_START_ATTEMPTS = 3
_MAX_PORT = 65535
_PORTS = range(20_000, 32_000)
"""Below the ports that systems hand out for outgoing connections and for port 0 (Linux: 32768 and up).

A port from up there could be anybody's while a killed server is on its way back, and its clients would wait for ever.
"""
PORT_PATIENCE_S = 2.0
"""At a first start nobody knows the old address yet: a server that somebody else stands in the place of moves soon."""
RETURN_PATIENCE_S = 30.0
"""A server that comes back has clients at its address; where they do not find it, somebody has to start them again."""


def is_free(port: int) -> bool:
    """Tell whether nobody listens on this loopback port; closed connections in TIME_WAIT do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose_port(memory: Path, patience_s: float = PORT_PATIENCE_S) -> int:
    """Give the port remembered in this file when it is free, or gets free in time, else another one, which is remembered.

    Clients keep the address they were given, so a restart should not move the server. Raises `EmbeddedError` when
    no port is free.
    """
    remembered = read_port(memory)
    deadline = time.monotonic() + patience_s
    while remembered is not None:
        if is_free(remembered):
            return remembered
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_S)
    port = next((port for port in random.sample(_PORTS, len(_PORTS)) if is_free(port)), None)
    if port is None:
        raise EmbeddedError(
            f"No port of {HOST} from {_PORTS[0]} to {_PORTS[-1]} is free: end what listens there."
        )
    memory.write_text(f"{port}\n", encoding="ascii")
    return port


def read_port(memory: Path) -> int | None:
    """Read a remembered port; None when there is none or the file is damaged."""
    try:
        port = int(memory.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return port if 0 < port <= _MAX_PORT else None


def end_leftovers(processes: Iterable[psutil.Process], first: signal.Signals, patience_s: float) -> None:
    """End processes that an owner left behind when it was killed: first politely, then for certain."""
    left = list(processes)
    for number, wait_s in ((first, patience_s), (signal.SIGKILL, _KILL_WAIT_S)):
        for process in left:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        _, left = psutil.wait_procs(left, timeout=wait_s)
        if not left:
            return
    raise EmbeddedError(
        f"Process {left[0].pid} of an earlier run does not end: end it by hand, then start again."
    )


class EmbeddedServer(ABC):
    """A server process that belongs to one data folder and to one owner, this process.

    The owner holds a lock on the folder, which the system drops even when the owner is killed. The server is
    the leader of a session of its own, so that Ctrl-C in the terminal reaches the owner alone, who then ends
    its servers in order.
    """

    _name: ClassVar[str]
    _replacement: ClassVar[str]
    _end_signal: ClassVar[signal.Signals]
    _end_patience_s: ClassVar[float]
    _ready_within_s: ClassVar[float]

    def __init__(self, data_dir: Path, *, log_file: Path) -> None:
        self._dir = data_dir.absolute()
        self._log_file = log_file.absolute()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner_lock: int | None = None
        self._has_clients = False
        self._stopped = False

    @property
    def pid(self) -> int | None:
        """The server's process id; None when it does not run as a child of this object."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> str:
        """Start the server and give its address, once it answers."""

    def stop(self) -> None:
        """End the server in order, by force when it takes too long; nothing happens when it does not run."""
        self._stopped, self._has_clients = True, False
        self._give_up()

    def _give_up(self) -> None:
        process, self._process = self._process, None
        try:
            if process is not None:
                self._end(process)
        finally:
            self._release()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.send_signal(self._end_signal)
        try:
            process.wait(self._end_patience_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(_KILL_WAIT_S)

    @abstractmethod
    def _leftovers(self) -> list[psutil.Process]:
        """Find the processes of this data folder that an earlier owner left behind."""

    def _claim(self) -> None:
        """Become the owner of the folder, and end what a killed owner left running in it."""
        self._stopped = False
        self._dir.mkdir(parents=True, exist_ok=True)
        if self._owner_lock is None:
            lock = os.open(self._dir / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                raise EmbeddedError(
                    f"{self._name} in {self._dir} is in use by another running process: stop that one first, "
                    "or use another --data folder."
                ) from None
            self._owner_lock = lock
        end_leftovers(self._leftovers(), self._end_signal, self._end_patience_s)

    def _release(self) -> None:
        if self._owner_lock is not None:
            os.close(self._owner_lock)
            self._owner_lock = None

    def _port(self, memory: Path) -> int:
        """Give the port to listen on, the old one if at all possible once there are clients."""
        return choose_port(memory, RETURN_PATIENCE_S if self._has_clients else PORT_PATIENCE_S)

    def _launch(self, prepare: Callable[[], int], is_ready: Callable[[int], bool]) -> int:
        """Run `prepare` (which spawns the server on a port and gives that port) until the server is ready.

        Another program can take the port between our probe and the server's bind: then once more, elsewhere.
        """
        for _ in range(_START_ATTEMPTS):
            port = prepare()
            if self._wait_until(is_ready, port):
                self._has_clients = True
                return port
            if is_free(port):
                break
        raise self._failure()

    def _wait_until(self, is_ready: Callable[[int], bool], port: int) -> bool:
        """Wait for readiness; False when the process ended instead."""
        deadline = time.monotonic() + self._ready_within_s
        while self.pid is not None:
            if is_ready(port):
                return True
            if time.monotonic() > deadline:
                raise self._failure()
            time.sleep(_POLL_S)
        return False

    def _failure(self) -> EmbeddedError:
        code = self._process.poll() if self._process is not None else None
        how = (
            f"was not ready within {self._ready_within_s:.0f} s"
            if code is None
            else f"ended with code {code}"
        )
        return EmbeddedError(
            f"{self._name} {how}: the reason is at the end of {self._log_file} (last line: {self._last_line()}). "
            f"Mend it and start again, or set {self._replacement} to a server of your own."
        )

    def _last_line(self) -> str:
        with self._log_file.open("rb") as log:
            log.seek(max(0, self._log_file.stat().st_size - 4096))
            lines = log.read().decode(errors="replace").splitlines()
        # Indented lines only go on: stack frames, continued statements.
        telling = [line.strip() for line in lines if line.strip() and not line[0].isspace()]
        return telling[-1][:300] if telling else "none"

    def _spawn(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path = Path("/"),
        user: int | None = None,
        group: int | None = None,
    ) -> None:
        if self._stopped:  # by another thread, while this one waited: nobody would end what is started now
            raise EmbeddedError(f"{self._name} was stopped while it was on its way.")
        with self._open_log() as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd,
                env=env,
                user=user,
                group=group,
                extra_groups=None if user is None else [],
                umask=0o077,
                start_new_session=True,
            )

    def _open_log(self) -> BinaryIO:
        """Append to the log, readable by its owner alone; a long one makes room for a new one first."""
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        if self._log_file.exists() and self._log_file.stat().st_size > _LOG_KEPT_BYTES:
            self._log_file.replace(self._log_file.with_name(self._log_file.name + ".1"))
        return os.fdopen(os.open(self._log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")
