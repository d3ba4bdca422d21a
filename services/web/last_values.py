"""The last value of each thing on the board, and what changed since any moment: all that a live stream needs.

A viewer is a number: the last change it has seen. Whoever is slow gets the newest values, not every one in between, so a
viewer that reads nothing costs no memory, and two hundred that saw the same get the same bytes.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from uuid import uuid4

import orjson

KEPT_DROPS = 1000
"""How many things that went away are remembered; who has not heard of an older one gets everything again."""


class LastValues:
    """Values by key, each with the number of the change that brought it. Values are JSON, encoded once."""

    def __init__(self) -> None:
        self._life = uuid4().hex[:12]
        self._values: dict[str, tuple[int, bytes]] = {}
        self._drops: OrderedDict[str, int] = OrderedDict()
        self._sequence = 0
        self._floor = 0
        self._answers: dict[int, bytes] = {}
        self._changed = asyncio.Event()
        self.closed = False

    @property
    def sequence(self) -> int:
        """The number of the last change."""
        return self._sequence

    def publish(self, state: Mapping[str, bytes]) -> None:
        """The whole state as it is now; what is equal to before is no change."""
        put = {key: value for key, value in state.items() if self._value(key) != value}
        dropped = [key for key in self._values if key not in state]
        if not put and not dropped:
            return
        self._sequence += 1
        for key, value in put.items():
            self._values[key] = self._sequence, value
            self._drops.pop(key, None)
        for key in dropped:
            del self._values[key]
            self._drops[key] = self._sequence
        while len(self._drops) > KEPT_DROPS:
            self._floor = max(self._floor, self._drops.popitem(last=False)[1])
        self._answers.clear()
        self._wake()

    def _value(self, key: str) -> bytes | None:
        found = self._values.get(key)
        return found[1] if found else None

    def number(self, event_id: str | None) -> int:
        """The change that an event id names; 0, which is before all, when it is of another life or too old."""
        life, _, number = (event_id or "").partition("-")
        if life != self._life or not number.isdecimal() or len(number) > 18:  # noqa: PLR2004 - digits of a bigint
            return 0
        found = int(number)
        return found if self._floor <= found <= self._sequence else 0

    def event_id(self) -> str:
        """The id of the newest state."""
        return f"{self._life}-{self._sequence}"

    def since(self, number: int) -> bytes:
        """What changed after this change, as JSON: `id`, `put`, `drop`, and `whole` when it replaces all there was."""
        if number < self._floor:
            number = 0
        answer = self._answers.get(number)
        if answer is None:
            answer = self._answers[number] = self._answer(number)
        return answer

    def _answer(self, number: int) -> bytes:
        put = b",".join(
            orjson.dumps(key) + b":" + value for key, (at, value) in self._values.items() if at > number
        )
        drop = [key for key, at in self._drops.items() if at > number] if number else []
        whole = b"true" if number == 0 else b"false"
        name = orjson.dumps(self.event_id())
        return b'{"id":%b,"whole":%b,"drop":%b,"put":{%b}}' % (name, whole, orjson.dumps(drop), put)

    async def changed(self, number: int, within_s: float) -> bool:
        """Waits until there is something after this change; False when nothing came in time, or nothing will."""
        try:
            async with asyncio.timeout(within_s):
                while self._sequence <= number and not self.closed:
                    await self._changed.wait()
        except TimeoutError:
            return False
        return self._sequence > number

    def close(self) -> None:
        """No more changes: whoever waits is let go."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        # A new event for whoever comes next: those who wait now keep the one that is set.
        self._changed, changed = asyncio.Event(), self._changed
        changed.set()
