"""Batches of a stream: whole as far as messages keep coming, never more than a transaction should hold, nothing lost."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from services.kernel import streaming
from services.kernel.messages import Message

TURNS_A_MESSAGE = 5
"""Faust takes a few turns of the event loop for each message."""


def event(number: int) -> Any:
    return SimpleNamespace(
        message=SimpleNamespace(topic="t", partition=0, offset=number, key=b"k", value=b"v", headers=[])
    )


async def trickling(count: int, *, pause_after: int | None = None) -> AsyncIterator[Any]:
    for number in range(count):
        for _ in range(TURNS_A_MESSAGE):
            await asyncio.sleep(0)
        if number == pause_after:
            await asyncio.sleep(0.05)
        yield event(number)


async def batches(events: AsyncIterator[Any]) -> list[list[int]]:
    found = []
    async for batch in streaming._batches(events, lambda message: message.offset):
        found.append([letter for _, letter in batch])
        assert [e.message.offset for e, _ in batch] == found[-1]
    return found


async def test_messages_that_keep_coming_are_one_batch() -> None:
    assert await batches(trickling(30)) == [list(range(30))]


async def test_what_pauses_is_not_waited_for() -> None:
    assert await batches(trickling(4, pause_after=3)) == [[0, 1, 2], [3]]


async def test_a_batch_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MAX_BATCH", 8)
    found = await batches(trickling(20))
    assert [len(batch) for batch in found] == [8, 8, 4]
    assert [number for batch in found for number in batch] == list(range(20))


async def test_the_next_is_read_while_a_batch_is_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "MAX_BATCH", 3)
    read: list[int] = []

    def note(message: Message) -> int:
        read.append(message.offset)
        return message.offset

    stream = streaming._batches(trickling(6), note)
    assert len(await anext(stream)) == 3
    await asyncio.sleep(0.02)
    assert read == [0, 1, 2, 3, 4, 5]
    assert [letter for _, letter in await anext(stream)] == [3, 4, 5]
    await stream.aclose()


async def test_a_message_that_comes_at_once_does_not_wait_for_the_next() -> None:
    async def quick() -> AsyncIterator[Any]:
        yield event(0)
        await asyncio.Event().wait()

    stream = streaming._batches(quick(), lambda message: message.offset)
    async with asyncio.timeout(5):
        assert [letter for _, letter in await anext(stream)] == [0]
    await stream.aclose()


async def test_an_error_of_the_source_comes_after_what_came_before_it() -> None:
    async def broken() -> AsyncIterator[Any]:
        yield event(0)
        raise EOFError

    stream = streaming._batches(broken(), lambda message: message.offset)
    assert [letter for _, letter in await anext(stream)] == [0]
    with pytest.raises(EOFError):
        await anext(stream)
