"""Ends a process that is stuck, so that whoever keeps it running can start it again.

A hung process is worse than a dead one: nobody restarts it. Faust runs its consumer in a thread of its own and waits
for the end of that thread without a limit, sometimes with the event loop held; no timeout of asyncio helps there.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

STUCK = 70
"""The exit code of a process that ended itself because it was stuck (`EX_SOFTWARE` of sysexits.h)."""
LOOK_S = 5.0
LOOKS = 12
"""Looks in a row without a turn of the event loop after which the process is stuck: a minute."""


def _end(reason: str) -> None:
    sys.stderr.write(f"{reason}; ending this process so that it is started again\n")
    sys.stderr.flush()
    os._exit(STUCK)


class Deadline:
    """Ends the process unless it is cancelled, or its block left, within `seconds`. It needs no event loop: a thread waits."""

    def __init__(self, seconds: float, what: str, end: Callable[[str], None] = _end) -> None:
        self._timer = threading.Timer(seconds, end, [f"{what} took longer than {seconds:g} s"])
        self._timer.daemon = True

    def start(self) -> None:
        """From now on the time runs."""
        self._timer.start()

    def cancel(self) -> None:
        """It was in time; harmless when the time never ran."""
        self._timer.cancel()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()


class LoopWatch:
    """Ends the process when its event loop stands still.

    It counts its own looks instead of comparing times: a process that was itself suspended has not missed any.
    """

    def __init__(self, look_s: float = LOOK_S, looks: int = LOOKS, end: Callable[[str], None] = _end) -> None:
        self._look_s = look_s
        self._looks = looks
        self._end = end
        self._turns = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop-watch", daemon=True)

    async def run(self) -> None:
        """Turns with the loop until cancelled."""
        self._thread.start()
        try:
            while True:
                self._turns += 1
                await asyncio.sleep(self._look_s / 5)
        finally:
            self._over.set()

    def _watch(self) -> None:
        seen, still = -1, 0
        while not self._over.wait(self._look_s):
            still = still + 1 if self._turns == seen else 0
            seen = self._turns
            if still >= self._looks:
                self._end(f"the event loop did not turn for {self._look_s * self._looks:g} s")
                return
