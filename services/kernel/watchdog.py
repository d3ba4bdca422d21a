"""Ends a process that is stuck, so that whoever keeps it running can start it again.

A hung process is worse than a dead one: nobody restarts it. Faust runs its consumer in a thread of its own and waits
for the end of that thread without a limit, sometimes with the event loop held; no timeout of asyncio helps there.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

STUCK = 70
"""The exit code of a process that ended itself because it was stuck (`EX_SOFTWARE` of sysexits.h)."""
LOOK_S = 5.0
LOOKS = 12
"""Looks in a row without a turn of the event loop after which the process is stuck: a minute."""
WORK_WITHIN_S = 300.0
"""Longer than any single piece of work takes: each query and each request has a shorter limit of its own."""

Doing = Callable[[str], AbstractContextManager[object]]
"""Says what is being worked on until the block is left; `nullcontext` when nobody watches."""


def end_process(reason: str) -> None:
    """Now, whatever is going on; says why."""
    sys.stderr.write(f"{reason}; ending this process so that it is started again\n")
    sys.stderr.flush()
    os._exit(STUCK)


class Deadline:
    """Ends the process unless it is cancelled, or its block left, within `seconds`. It needs no event loop: a thread waits."""

    def __init__(self, seconds: float, what: str, end: Callable[[str], None] = end_process) -> None:
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

    def __init__(
        self, look_s: float = LOOK_S, looks: int = LOOKS, end: Callable[[str], None] = end_process
    ) -> None:
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


@dataclass(slots=True)
class _Work:
    what: str
    within_s: float
    looks: int = 0


class WorkWatch:
    """Ends the process when a piece of its work does not end although the database answers.

    The last net: nothing should come to this. Work that cannot get on because the database is away is left alone, and
    begins anew once it is back; so is a process that was suspended, since looks are counted and times not compared.
    """

    def __init__(
        self, look_s: float = LOOK_S, looks: int = LOOKS, end: Callable[[str], None] = end_process
    ) -> None:
        self._look_s = look_s
        self._looks = looks
        self._end = end
        self._works: dict[int, _Work] = {}
        self._answers = 0

    @contextmanager
    def doing(self, what: str, within_s: float = WORK_WITHIN_S) -> Iterator[None]:
        """From now on until the block is left this is being worked on, for `within_s` at most."""
        work = _Work(what, within_s)
        self._works[id(work)] = work
        try:
            yield
        finally:
            del self._works[id(work)]

    def working_on(self, what: str) -> bool:
        """Whether that is being worked on now."""
        return any(work.what == what for work in self._works.values())

    async def run(self, answers: Callable[[], Awaitable[bool]]) -> None:
        """Looks until cancelled. `answers` tells whether the database does; it is asked when something seems stuck."""
        while True:
            await asyncio.sleep(self._look_s)
            await self._look(answers)

    async def _look(self, answers: Callable[[], Awaitable[bool]]) -> None:
        late = None
        for work in self._works.values():
            work.looks += 1
            if work.looks * self._look_s >= work.within_s:
                late = late or work
        if late is None:
            self._answers = 0
        elif not await answers():
            self._answers = 0
            for work in self._works.values():
                work.looks = 0
        elif (answered := self._answers + 1) < self._looks:
            self._answers = answered
        else:
            self._end(f"{late.what} did not end, while the database answered")
