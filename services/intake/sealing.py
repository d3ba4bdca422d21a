"""From decisions in clear to sealed events, and back.

The place of a sealed value in the JSON of its event (`children.0.identity`) is part of what it is bound to.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from schemas.base import Sealed
from schemas.events import EventData
from services.eventlog.store import NewEvent, Recorded
from services.intake.domain.drafts import Draft, SealedAt, Secret
from services.kernel.ids import new_id
from services.kernel.vault import context, seal

_SEALED = {"key", "box"}


def key_names(drafts: Iterable[Draft]) -> set[str]:
    """The keys that these drafts are sealed with."""
    return {secret.key for draft in drafts for secret in _secrets(draft.fields)}


def _secrets(value: Any) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _secrets(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets(inner)


def sealed_data(draft: Draft, event_id: UUID, keys: Mapping[str, bytes]) -> EventData:
    """The draft's event data with every secret sealed."""

    def walk(value: Any, path: str) -> Any:
        if isinstance(value, Secret):
            bound_to = context(draft.stream, event_id, path)
            return seal(value.key, keys[value.key], value.value, bound_to)
        if isinstance(value, Mapping):
            return {key: walk(inner, f"{path}.{key}" if path else str(key)) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [walk(inner, f"{path}.{index}") for index, inner in enumerate(value)]
        return value

    return draft.model.model_validate(walk(draft.fields, ""))


def sealed_event(draft: Draft, keys: Mapping[str, bytes]) -> NewEvent:
    """The draft as a new event of this moment."""
    event_id = new_id()
    return NewEvent(sealed_data(draft, event_id, keys), event_id)


def keys_in(value: Any) -> Iterator[str]:
    """The names of the keys that sealed values in this JSON need."""
    if isinstance(value, dict):
        if value.keys() == _SEALED:
            yield value["key"]
        else:
            for inner in value.values():
                yield from keys_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_in(inner)


def opened_data(event: Recorded, keys: Mapping[str, bytes] | None) -> dict[str, Any]:
    """The event's JSON with sealed values opened; erased ones say so. Without keys they are left out."""

    def walk(value: Any, path: str) -> Any:
        if isinstance(value, dict):
            if value.keys() == _SEALED:
                sealed = SealedAt(event.stream, event.event_id, path, Sealed.model_validate(value))
                found = sealed.opened(keys or {})
                return {"erased": True} if found is None else found
            pairs = value.items()
            return {k: walk(v, f"{path}.{k}" if path else k) for k, v in pairs if not _hidden(v)}
        if isinstance(value, list):
            return [walk(inner, f"{path}.{index}") for index, inner in enumerate(value)]
        return value

    def _hidden(value: Any) -> bool:
        return keys is None and isinstance(value, dict) and value.keys() == _SEALED

    opened: dict[str, Any] = walk(event.data.model_dump(mode="json", exclude_none=True), "")
    return opened
