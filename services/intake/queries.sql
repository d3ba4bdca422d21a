"""How often somebody may call: a bucket of calls for each caller that fills up again at a steady rate.

One process counts for itself: several web processes allow several times as much, which is enough against a program gone
wild, a stolen token that reads everything, or a password guessed.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_CALLERS = 10_000
"""Whoever called longest ago is forgotten first: memory stays bounded, whoever comes."""


class Limiter:
    """At most `per_minute` calls at once and in the long run, for each caller."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._per_second = per_minute / 60
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> float:
        """Takes one call; returns 0, or after how many seconds the next one is there."""
        now = self._clock()
        left, at = self._left.pop(caller, (self._most, now))
        left = min(self._most, left + (now - at) * self._per_second)
        wait = 0.0 if left >= 1 else (1 - left) / self._per_second
        self._left[caller] = (left - 1 if wait == 0 else left, now)
        if len(self._left) > MOST_CALLERS:
            self._left.popitem(last=False)
        return wait
