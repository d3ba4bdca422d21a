"""The circuit breaker of one partner: pure. It delays, never discards, and burns no attempts."""

from dataclasses import dataclass, replace

OPEN_AFTER = 5
_RATE, _RATE_OF_AT_LEAST = 0.7, 10
FIRST_PROBE_S = 15
LAST_PROBE_S = 45
"""After a probe that failed; the claim doubles the wait up to here. A partner that returns just then is to have
everything within 60 s."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """`failures` in a row, `total` and `failed` of the last 5 min; `allowed` in flight while it recovers (None: all)."""

    failures: int = 0
    total: int = 0
    failed: int = 0
    is_open: bool = False
    allowed: int | None = None

    @property
    def healthy(self) -> bool:
        """Nothing to remember."""
        return self == Breaker()


def succeeded(breaker: Breaker, cap: int) -> Breaker:
    """After a success: an open breaker closes and lets 1, 2, 4 … attempts through, then all."""
    if breaker.is_open:
        return Breaker(allowed=1)
    if breaker.allowed is not None:
        doubled = breaker.allowed * 2
        return Breaker(allowed=doubled if doubled < cap else None)
    failing = breaker.failed > 0
    return replace(breaker, failures=0, total=breaker.total + 1) if failing else Breaker()


def failed(breaker: Breaker) -> Breaker:
    """After a failure: 5 in a row, 70 % of at least 10, or one while it recovers, open it."""
    if breaker.is_open:
        return breaker
    now = replace(breaker, failures=breaker.failures + 1, total=breaker.total + 1, failed=breaker.failed + 1)
    too_often = now.total >= _RATE_OF_AT_LEAST and now.failed >= _RATE * now.total
    opens = now.failures >= OPEN_AFTER or too_often or now.allowed is not None
    return replace(now, is_open=opens, allowed=None if opens else now.allowed)
