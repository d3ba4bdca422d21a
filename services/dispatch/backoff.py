"""How long to wait before the next attempt: pure, the random number is given."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_FIRST_S = (0.0, 1.0, 3.0, 10.0, 30.0)
_JITTER_S = 60.0
_JITTER_FOR = timedelta(hours=1)
_AFTERWARDS_S = 300.0
SLOW_S = 300.0
"""After an answer that repeating will not change: somebody has to mend something first."""
SLOW_WITHDRAWAL_S = 60.0
RETRY_AFTER_MOST_S = 300.0
STOPPED_LEAST_S = 1.0
"""A stopped alert waits for its withdrawal, whose publication makes the lane due at once."""
_PING_FIRST_S = (1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 900.0)
_PING_MOST_S = 3600.0
PING_FOR = timedelta(hours=24)


def delay(failures: int, age: timedelta, chance: float) -> float:
    """Seconds to wait after the `failures`-th failure in a row of a delivery that is `age` old.

    `chance` is a random number from 0 to 1. 0, 1, 3, 10, 30 s, then anything up to 60 s (full jitter, so that the
    lanes of a partner do not come back all at once), and 5 min once an hour has passed.
    """
    if failures <= len(_FIRST_S):
        return _FIRST_S[max(failures, 1) - 1]
    return chance * _JITTER_S if age < _JITTER_FOR else _AFTERWARDS_S


def ping_delay(failures: int) -> float:
    """Seconds to wait after the `failures`-th failure of a handshake: 1, 3, 10, 30 s … at most an hour."""
    return _PING_FIRST_S[failures - 1] if failures <= len(_PING_FIRST_S) else _PING_MOST_S


def retry_after(header: str | None, now: datetime) -> float:
    """Seconds that a `Retry-After` header asks for, as a number or a date; at most 5 min, 0 when it says nothing."""
    if header is None:
        return 0.0
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), RETRY_AFTER_MOST_S)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max((at - now).total_seconds(), 0.0), RETRY_AFTER_MOST_S)
