"""Which processes make up the system, and in which order they stop."""

import sys
from collections.abc import Mapping, Sequence

from services.kernel.supervisor import Program

_STOP_RANKS: Mapping[str, int] = {
    # First nobody comes in any more, then what is in flight is finished, and what carries it goes last.
    "web": 0,
    "intake": 0,
    "dispatch": 1,
    "criteria": 1,
    "sender": 2,
    "volunteers": 2,
    "auditor": 2,
    "projections": 3,
    "relay": 4,
}
ALL = ("relay", "projections", "criteria", "dispatch", "sender", "volunteers", "auditor", "intake", "web")
"""In the order in which they start."""
_ENVIRONMENT = {
    # Ten processes on one machine: glibc's memory arena for each core and thread would double what they hold.
    "MALLOC_ARENA_MAX": "2",
    "PYTHONUNBUFFERED": "1",
}


def programs(names: Sequence[str]) -> list[Program]:
    """These services as the supervisor runs them."""
    return [
        Program(
            name,
            [sys.executable, "-m", "services.cli.service", name],
            stop_rank=_STOP_RANKS[name],
            env=_ENVIRONMENT,
        )
        for name in names
    ]
