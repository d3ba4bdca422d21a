"""What a projection is: a read model with a name, a version and tables of its own."""

from collections.abc import Sequence
from typing import Protocol

from services.eventlog.store import Recorded
from services.kernel.postgres import Connection


class Projection(Protocol):
    """A read model. Its tables are `projections.<name>_v<version>…`; readers use views without the version.

    `types` are the event types it wants to see, `topics` those in which they travel.
    """

    @property
    def name(self) -> str:
        """What it is called in the checkpoint, in tables and views."""
        ...

    @property
    def version(self) -> int:
        """Raised with every change that needs a rebuild."""
        ...

    @property
    def topics(self) -> tuple[str, ...]:
        """Topic families, without the installation's prefix."""
        ...

    @property
    def types(self) -> frozenset[str]:
        """Event types handed to `apply`; others only count as seen."""
        ...

    async def apply(self, connection: Connection, events: Sequence[Recorded]) -> None:
        """Writes what the events change, in the caller's transaction.

        Events of one stream come in order and once; events of different streams in any order.
        """
        ...


def label(projection: Projection) -> str:
    """How people call it: `case_list.v1`."""
    return f"{projection.name}.v{projection.version}"
