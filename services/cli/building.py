"""Waiting for a version that is being built: a bar with the time left in a terminal, plain lines elsewhere."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from schemas.events import TOPICS
from services.cli.terminal import err
from services.kernel.kafka import end_offsets
from services.kernel.postgres import Pool
from services.kernel.settings import Settings
from services.projections import versions
from services.projections.errors import ProjectionStoppedError
from services.projections.projection import Version
from services.projections.status import Status, status

_LOOK_S = 0.2
LINE_EVERY_S = 5.0
Tell = Callable[[str, int, int], None]
"""Called with what is done, how much of it, of how much."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What is waited for, and where to look."""

    settings: Settings
    pool: Pool
    client: AIOKafkaConsumer
    version: Version


async def until_built(wait: Wait, console: Console = err) -> None:
    """Waits until the version has read the store and has caught up with Kafka.

    Raises ProjectionStoppedError when an event stopped it, NoSuchVersionError when somebody dropped it.
    """
    label = wait.version.label
    with telling(console) as tell:
        most = 0
        while True:
            state = await versions.state_of(wait.pool, wait.version.name, wait.version.number)
            now = await _status(wait)
            if now.stopped is not None:
                raise ProjectionStoppedError(
                    f"{label} was stopped at {now.stopped}: mend the cause, then"
                    f" `zoeklicht projections resume {label}`"
                )
            if state.built_at is None:
                tell(f"building {label}", state.read, max(state.total or 0, state.read))
            else:
                lag = now.lag or 0
                most = max(most, lag)
                tell(f"{label} follows", most - lag, most)
                if lag == 0:
                    return
            await asyncio.sleep(_LOOK_S)


async def _status(wait: Wait) -> Status:
    ends = await end_offsets(wait.client, [wait.settings.topic(name) for name in TOPICS])
    return next(s for s in await status(wait.pool, ends) if s.label == wait.version.label)


@contextmanager
def telling(console: Console, clock: Callable[[], float] = time.monotonic) -> Iterator[Tell]:
    """Shows how far something is: a bar in a terminal, else a line every few seconds."""
    if not console.is_terminal:
        yield _Lines(console, clock)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        yield tell


class _Lines:
    """A line when something new begins, and then every few seconds."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._what = ""
        self._began = (0.0, 0)
        self._said = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = self._clock()
        if what != self._what:
            self._what, self._began, self._said = what, (now, done), now
            self._console.print(f"{what} …" if not total else f"{what}: {done:,} of {total:,}")
        elif now - self._said >= LINE_EVERY_S:
            self._said = now
            self._console.print(f"{what}: {done:,} of {total:,}{self._left(now, done, total)}")

    def _left(self, now: float, done: int, total: int) -> str:
        began, first = self._began
        if done <= first:
            return ""
        return f", about {(now - began) / (done - first) * (total - done):.0f} s left"
