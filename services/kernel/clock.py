"""Time, injected: pure code never reads it."""

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """What tells the time."""

    def now(self) -> datetime:
        """The present moment, timezone-aware."""
        ...


class SystemClock:
    """The machine's clock, in UTC."""

    def now(self) -> datetime:
        """The present moment in UTC."""
        return datetime.now(UTC)


def boottime() -> float:
    """Seconds since boot, suspended time included: a lease ends in a sleeping laptop too."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


@dataclass(frozen=True, slots=True)
class Reckoning:
    """A moment that the database told, carried on: this machine's own clock may be wrong, or be set meanwhile."""

    moment: datetime
    since_s: float
    """When it came, on the clock of `boottime`."""

    def now(self, now_s: float | None = None) -> datetime:
        """The present moment by the database's clock; `now_s` is what `boottime` says."""
        return self.moment + timedelta(seconds=(boottime() if now_s is None else now_s) - self.since_s)


def boot_id() -> str:
    """Which boot of which machine this is; empty where the system does not say."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
