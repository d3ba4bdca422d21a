"""A service with one of its guards off, to show that the storm notices: `weakened.py GUARD SERVICE`.

Lives in the tests alone. The services have no switch for it.
"""

import sys
from typing import Any

from services.cli.service import run
from services.dispatch import lanes, publish, recorder, sender
from services.kernel.orphans import die_with_supervisor


def without_the_last_look() -> None:
    """Sends what was claimed, whatever happened since."""

    async def blind(_self: Any, _one: Any) -> None:
        return

    sender.Sender.guard = blind  # type: ignore[method-assign]


def without_the_fence() -> None:
    """Believes whoever held a lane once."""
    recorder._holds = lambda _result, _fences: True
    lanes._SQL["guard"] = lanes._SQL["guard"].replace("l.fence = x.fence and l.owner = x.owner", "true")


def without_superseding() -> None:
    """Leaves what waits beside what replaces it."""
    publish._SQL["supersede"] = publish._SQL["supersede"].replace("where ", "where false and ", 1)


GUARDS = {"look": without_the_last_look, "fence": without_the_fence, "supersede": without_superseding}


if __name__ == "__main__":
    die_with_supervisor()
    GUARDS[sys.argv[1]]()
    raise SystemExit(run(sys.argv[2]))
