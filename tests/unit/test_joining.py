"""A consumer that does not get into its group, or is brought nothing: nobody else would notice that nothing comes."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from services.kernel import streaming
from services.kernel.streaming import StreamingError, run_stream
from services.kernel.watchdog import WorkWatch


class App:
    """As much of Faust's as is looked at. `rebalancing_count`: how often a rebalance began."""

    def __init__(self, *, rebalancing: bool, rebalancing_count: int) -> None:
        self.rebalancing, self.rebalancing_count = rebalancing, rebalancing_count
        self.consumer = SimpleNamespace(assignment=lambda: {0, 1})
        self.conf = SimpleNamespace(datadir="/nowhere")
        self.crash_reason = None
        self._crashed, self._stopped = asyncio.Event(), asyncio.Event()
        self.stopped = False

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self.stopped = True


async def never() -> bool:
    return False


def runtime() -> Any:
    return SimpleNamespace(stop=asyncio.Event(), ready=False, progress={}, works=WorkWatch())


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_LOOK_S", 0.001)
    monkeypatch.setattr(streaming, "JOIN_WITHIN_S", 0.02)


@pytest.mark.parametrize(("rebalancing", "count"), [(False, 0), (True, 1), (True, 7)])
async def test_consumer_that_is_not_taken_in_begins_anew(rebalancing: bool, count: int) -> None:
    """Neither the first join nor a rebalance is waited for without an end; the app is stopped, whoever runs it begins anew."""
    app, where = App(rebalancing=rebalancing, rebalancing_count=count), runtime()
    with pytest.raises(StreamingError, match="did not take this consumer in"):
        await asyncio.wait_for(run_stream(app, where, never), 5)  # type: ignore[arg-type]
    assert (app.stopped, where.ready) == (True, False)


async def test_consumer_that_is_taken_in_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wait counts for itself: many short rebalances are no long one."""
    monkeypatch.setattr(streaming, "JOIN_WITHIN_S", 0.05)
    app, where = App(rebalancing=False, rebalancing_count=1), runtime()
    running = asyncio.create_task(run_stream(app, where, never))  # type: ignore[arg-type]
    for _ in range(12):
        app.rebalancing = True
        await asyncio.sleep(0.008)
        app.rebalancing = False
        await asyncio.sleep(0.008)
    assert (running.done(), where.ready, where.progress) == (False, True, {"partitions": 2})
    where.stop.set()
    await asyncio.wait_for(running, 5)
    assert app.stopped


async def test_consumer_that_is_brought_nothing_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its partitions and knows of nothing, though events were sent: at each look, for so long."""
    monkeypatch.setattr(streaming, "ARRIVES_LOOK_S", 0.001)
    monkeypatch.setattr(streaming, "ARRIVES_WITHIN_S", 0.01)
    app, looks = App(rebalancing=False, rebalancing_count=1), 0

    async def overdue() -> bool:
        nonlocal looks
        looks += 1
        return looks != 5

    with pytest.raises(StreamingError, match="brought nothing"):
        await asyncio.wait_for(run_stream(app, runtime(), overdue), 5)  # type: ignore[arg-type]
    assert (app.stopped, looks) == (True, 15)


async def test_batch_that_takes_long_is_not_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is worked on nothing comes on, and events are sent meanwhile."""
    monkeypatch.setattr(streaming, "ARRIVES_LOOK_S", 0.001)
    monkeypatch.setattr(streaming, "ARRIVES_WITHIN_S", 0.01)
    app, where = App(rebalancing=False, rebalancing_count=1), runtime()

    async def always() -> bool:
        return True

    with where.works.doing("a batch"):
        running = asyncio.create_task(run_stream(app, where, always))  # type: ignore[arg-type]
        await asyncio.sleep(0.1)
        assert not running.done()
    with pytest.raises(StreamingError, match="brought nothing"):
        await asyncio.wait_for(running, 5)
