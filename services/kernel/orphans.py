"""Nothing outlives its supervisor: children end with it, and a guard ends the servers it leaves behind."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import psutil

SUPERVISOR_PID = "ZOEKLICHT_SUPERVISOR_PID"
"""In the environment of a supervised process: whose end is also its own."""
_PR_SET_PDEATHSIG = 1
_POLL_S = 0.2
_PATIENCE_S = 15.0
_KILL_WAIT_S = 5.0
_ORPHANED = 70


def die_with_supervisor(*, by_kernel: bool = sys.platform == "linux") -> None:
    """Ties the life of this process to its supervisor's; to be called first, from the main thread.

    A supervisor that is killed cannot say goodbye, so its end is SIGKILL here too: every service survives that.
    Without `by_kernel` (other systems than Linux) a thread watches instead. Nothing happens when no supervisor
    is named in the environment.
    """
    text = os.environ.pop(SUPERVISOR_PID, "")
    if not text.isdecimal():
        return
    supervisor = int(text)
    if by_kernel:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_watch, args=(supervisor,), daemon=True, name="supervisor-watch").start()
    if os.getppid() != supervisor:  # it ended before we asked to be told
        os._exit(_ORPHANED)


def _watch(supervisor: int) -> None:
    while os.getppid() == supervisor:
        time.sleep(_POLL_S)
    os.kill(os.getpid(), signal.SIGKILL)


class Guard:
    """A small process that ends the given servers when this process is killed and cannot do so itself.

    It notices by the end of a pipe, which the system closes whatever happens.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.kernel.orphans"],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.dismiss()

    def watch(self, pid: int, number: signal.Signals) -> None:
        """Has this process ended, politely with `number` first, when we are gone."""
        self._say(f"{pid} {number.value}")

    def dismiss(self) -> None:
        """Ends the guard: we have ended the servers ourselves."""
        if self._process.poll() is None:
            self._say("dismissed")
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(_PATIENCE_S)

    def _say(self, line: str) -> None:
        pipe = self._process.stdin
        if pipe is not None:
            pipe.write(line + "\n")
            pipe.flush()


def guard(lines: Sequence[str] | None = None) -> None:
    """The guard's whole life: hear whom to watch, wait for the pipe's end, end them."""
    watched: list[tuple[psutil.Process, int]] = []
    for line in lines if lines is not None else sys.stdin:
        if line.strip() == "dismissed":
            return
        pid, number = line.split()
        try:
            watched.append((psutil.Process(int(pid)), int(number)))
        except psutil.NoSuchProcess:
            continue
    _end(watched)


def _end(watched: Sequence[tuple[psutil.Process, int]]) -> None:
    for process, number in watched:
        _signal(process, number)
    _, left = psutil.wait_procs([process for process, _ in watched], timeout=_PATIENCE_S)
    for process in left:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(left, timeout=_KILL_WAIT_S)


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)  # psutil compares the start time: a number given anew is left alone
    except psutil.NoSuchProcess:
        return


if __name__ == "__main__":
    guard()
