"""What a projection is, and a version of it: a read model built by its definition, in tables of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.eventlog.store import Recorded
from services.kernel.postgres import Connection


class Projection(Protocol):
    """The definition of a read model: its tables, the events it wants, and what they change.

    `types` are the event types it wants to see, `topics` those in which they travel.
    """

    @property
    def name(self) -> str:
        """What it is called in commands and in the names of schemas."""
        ...

    @property
    def definition(self) -> int:
        """Raised with every change after which the read model must be built anew."""
        ...

    @property
    def tables(self) -> str:
        """SQL that creates its tables and indexes, names without a schema: each version has them in its own.

        Readers find a view of each table, of the same name, in schema `projections`.
        """
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
        """Writes what the events change, in the caller's transaction, where its own tables come without a schema.

        Events of one stream come in order and once; events of different streams in any order.
        """
        ...


@dataclass(frozen=True, slots=True)
class Version:
    """One read model of a projection: versions stand side by side, and readers see the one that is live."""

    projection: Projection
    number: int

    @property
    def name(self) -> str:
        """The projection's."""
        return self.projection.name

    @property
    def label(self) -> str:
        """How people call it: `case_list.v1`."""
        return label(self.name, self.number)

    @property
    def schema(self) -> str:
        """Where its tables are."""
        return schema(self.name, self.number)


def label(name: str, number: int) -> str:
    """How people call a version: `case_list.v1`."""
    return f"{name}.v{number}"


def schema(name: str, number: int) -> str:
    """The schema of a version's tables."""
    return f"projections_{name}_v{number}"
