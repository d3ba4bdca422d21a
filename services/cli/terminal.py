"""Progress for people, on standard error: standard output carries results alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from services.kernel.embedded.jars import JarProgress

err = Console(highlight=False, soft_wrap=True, stderr=True)


@contextmanager
def fetching() -> Iterator[JarProgress]:
    """Shows the download of the broker's jars; a warm cache shows nothing at all, a file one line."""
    bar = Progress(
        TextColumn("fetching Apache Kafka"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )
    task = bar.add_task("jars", total=None)
    begun = threading.Event()

    def show(done: int, total: int, name: str) -> None:
        if not begun.is_set():
            begun.set()
            if err.is_terminal:
                bar.start()
            else:
                err.print(f"fetching Apache Kafka: {total / 1e6:.0f} MB, the first time only")
        bar.update(task, completed=done, total=total, jar=name)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()
