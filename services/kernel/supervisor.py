"""Keeps processes running: starts them, starts again what dies, stops them in order, leaves no orphan."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby
from pathlib import Path

from services.kernel.orphans import SUPERVISOR_PID

FIRST_DELAY_S = 0.2
MAX_DELAY_S = 10.0
STEADY_S = 30.0
"""A process that lived this long had started well: the next delay is the first one again."""
STOP_PATIENCE_S = 10.0
_KILL_WAIT_S = 5.0
_LOG_KEPT_BYTES = 16 * 1024 * 1024


class Life(StrEnum):
    """Where a process is."""

    RUNNING = "running"
    WAITING = "waiting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. Programs of the lowest `stop_rank` are stopped first; those of one rank together."""

    name: str
    command: Sequence[str]
    stop_rank: int = 0
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """What a program does now. `exit_code` is that of its last end, negative for a signal."""

    name: str
    life: Life = Life.STOPPED
    pid: int | None = None
    restarts: int = 0
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Delays:
    """How long to wait before a restart, in seconds: doubling from `first` to `longest`."""

    first: float = FIRST_DELAY_S
    longest: float = MAX_DELAY_S
    steady: float = STEADY_S

    def after(self, before: float | None, lived: float) -> float:
        """The delay after a life of `lived` seconds, when the delay before that life was `before`."""
        if before is None or lived >= self.steady:
            return self.first
        return min(2 * before, self.longest)


OnChange = Callable[[Mapping[str, Status]], None]


class Supervisor:
    """Runs programs, each with its log file `<logs>/<name>.log`, until it is told to stop.

    `on_change` is told the status of all of them at every change. It must be used from the main thread: the end
    of the thread that started a process is the end of that process.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        logs: Path,
        env: Mapping[str, str] | None = None,
        on_change: OnChange | None = None,
        delays: Delays | None = None,
        patience: float = STOP_PATIENCE_S,
    ) -> None:
        self._programs = tuple(programs)
        self._logs = logs
        self._env = dict(os.environ if env is None else env)
        self._on_change = on_change
        self._delays = delays or Delays()
        self._patience = patience
        self._stopping = asyncio.Event()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._status = {program.name: Status(program.name) for program in programs}

    @property
    def status(self) -> dict[str, Status]:
        """What each program does now."""
        return dict(self._status)

    def start(self) -> None:
        """Starts all of them; returns at once."""
        self._logs.mkdir(parents=True, exist_ok=True)
        for program in self._programs:
            self._keepers[program.name] = asyncio.create_task(self._keep(program))

    async def stop(self) -> None:
        """Stops all of them in order: SIGTERM, then SIGKILL when one takes longer than its patience."""
        self._stopping.set()
        ranked = sorted(self._programs, key=lambda program: program.stop_rank)
        for _, together in groupby(ranked, key=lambda program: program.stop_rank):
            await asyncio.gather(*(self._end(program.name) for program in together))
        await asyncio.gather(*self._keepers.values())

    async def run(self, stop: asyncio.Event) -> None:
        """Starts them and keeps them until `stop` is set."""
        self.start()
        try:
            await stop.wait()
        finally:
            await self.stop()

    async def _keep(self, program: Program) -> None:
        delay: float | None = None
        while not self._stopping.is_set():
            born = time.monotonic()
            code = await self._live(program)
            if self._stopping.is_set():
                return
            delay = self._delays.after(delay, time.monotonic() - born)
            before = self._status[program.name]
            self._note(
                replace(before, life=Life.WAITING, pid=None, exit_code=code, restarts=before.restarts + 1)
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)
        self._note(replace(self._status[program.name], life=Life.STOPPED, pid=None))

    async def _live(self, program: Program) -> int:
        process = self._spawn(program)
        self._processes[program.name] = process
        self._note(replace(self._status[program.name], life=Life.RUNNING, pid=process.pid))
        code = await _ended(process)
        if self._stopping.is_set():
            self._note(replace(self._status[program.name], life=Life.STOPPED, pid=None, exit_code=code))
        return code

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        log_file = self._logs / f"{program.name}.log"
        if log_file.exists() and log_file.stat().st_size > _LOG_KEPT_BYTES:
            log_file.replace(log_file.with_name(log_file.name + ".1"))
        handle = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            return subprocess.Popen(  # noqa: S603 - our own command line, no shell
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=handle,
                env={**self._env, **program.env, SUPERVISOR_PID: str(os.getpid())},
                start_new_session=True,  # Ctrl-C in a terminal reaches the supervisor alone, which knows the order
            )
        finally:
            os.close(handle)

    async def _end(self, name: str) -> None:
        process = self._processes.get(name)
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(_ended(process), self._patience)
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            await asyncio.wait_for(_ended(process), _KILL_WAIT_S)

    def _note(self, status: Status) -> None:
        if self._status[status.name] != status:
            self._status[status.name] = status
            if self._on_change is not None:
                self._on_change(self.status)


async def _ended(process: subprocess.Popen[bytes]) -> int:
    """Waits for the end without a thread and without a child watcher; returns the exit code."""
    if not hasattr(os, "pidfd_open"):
        while process.poll() is None:  # noqa: ASYNC110 - the portable way
            await asyncio.sleep(0.05)
        return process.returncode
    loop = asyncio.get_running_loop()
    while process.poll() is None:
        handle = os.pidfd_open(process.pid)
        over = asyncio.Event()
        loop.add_reader(handle, over.set)
        try:
            await over.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)
    return process.returncode
