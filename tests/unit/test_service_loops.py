"""What a service does beside each other ends together, whatever one of it makes of being cancelled."""

import asyncio
from types import SimpleNamespace

import pytest

from services.kernel import service
from services.kernel.service import LoopLostError, Loops


@pytest.fixture
def runtime():
    return SimpleNamespace(name="some", stop=asyncio.Event())


async def fails():
    await asyncio.sleep(0.01)
    raise ConnectionError("the database went")


async def goes_on(runtime, until):
    """A loop that takes what came of its cancellation for a database that is away."""
    for _ in range(200):  # so that a test fails where it would hang
        if until.is_set() or (runtime and runtime.stop.is_set()):
            return
        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            continue


async def test_a_failure_ends_a_loop_that_lost_its_cancellation(runtime):
    """It is told to stop as well, which it looks at; the first reason comes out."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(ExceptionGroup) as found:
        async with Loops(runtime) as loops:
            loops.create_task(goes_on(runtime, asyncio.Event()))
            loops.create_task(fails())
    assert [type(one) for one in found.value.exceptions] == [ConnectionError]
    assert runtime.stop.is_set()
    assert asyncio.get_running_loop().time() - began < 2


async def test_a_loop_that_never_ends_has_a_limit(runtime, monkeypatch):
    """The process ends, so that it is started again: with a plain task group it would live on with half of its loops."""
    monkeypatch.setattr(service, "END_WITHIN_S", 0.1)
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    reasons = []

    def end(reason):
        reasons.append(reason)
        loop.call_soon_threadsafe(ended.set)

    with pytest.raises(ExceptionGroup):
        async with Loops(runtime, end) as loops:
            loops.create_task(goes_on(None, ended))
            loops.create_task(fails())
    assert reasons == ["the end of some after a failure took longer than 0.1 s"]


async def test_a_failure_beside_the_tasks_counts_too(runtime):
    with pytest.raises(ExceptionGroup):
        async with Loops(runtime) as loops:
            loops.create_task(goes_on(runtime, asyncio.Event()))
            await asyncio.sleep(0.01)
            raise ConnectionError
    assert runtime.stop.is_set()


async def test_an_end_in_order_and_a_task_that_is_cancelled_are_no_failure(runtime, monkeypatch):
    """Nobody is told to stop, and no time runs."""
    monkeypatch.setattr(service, "END_WITHIN_S", 0.05)
    reasons = []
    async with Loops(runtime, reasons.append) as loops:
        left = loops.create_task(asyncio.sleep(10))
        loops.create_task(asyncio.sleep(0.2))
        left.cancel()
    assert not runtime.stop.is_set()
    assert reasons == []


async def test_a_loop_that_a_library_cancels_from_inside_is_a_failure(runtime):
    """What it waited for was cancelled, as aiokafka does with the requests of a connection that ends; nobody wished it."""

    async def waits():
        gone = asyncio.get_running_loop().create_future()
        gone.get_loop().call_later(0.01, gone.cancel)
        await gone

    with pytest.raises(LoopLostError, match="cancelled by nobody"):
        async with Loops(runtime) as loops:
            loops.create_task(goes_on(runtime, asyncio.Event()))
            loops.create_task(waits())
    assert runtime.stop.is_set()
