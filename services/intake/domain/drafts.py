"""Events that were decided, in clear, and sealed values with the place they are bound to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from schemas.base import Sealed
from schemas.events import EventData
from services.eventlog.store import Recorded
from services.kernel.vault import context, unseal


@dataclass(frozen=True, slots=True)
class Secret:
    """A value in clear that becomes a sealed one, under the key named `key`."""

    key: str
    value: Any


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that was decided, in clear; `fields` holds a `Secret` wherever the event has a sealed value.

    `darkens`: what must be dark as soon as this commits: ("campaign", its id) or ("case", its id).
    """

    stream: str
    model: type[EventData]
    fields: Mapping[str, Any]
    darkens: tuple[str, UUID] | None = None


@dataclass(frozen=True, slots=True)
class SealedAt:
    """A sealed value and the place it is bound to."""

    stream: str
    event_id: UUID
    field: str
    sealed: Sealed

    def opened(self, keys: Mapping[str, bytes]) -> Any:
        """The value; None once its key is destroyed."""
        secret = keys.get(self.sealed.key)
        if secret is None:
            return None
        return unseal(self.sealed, secret, context(self.stream, self.event_id, self.field))


def at(event: Recorded, field: str, sealed: Sealed) -> SealedAt:
    """The sealed value of an event at a place."""
    return SealedAt(event.stream, event.event_id, field, sealed)
