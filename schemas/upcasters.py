"""Old versions of events, lifted to the newest one by pure dict functions, before pydantic."""

from collections.abc import Callable
from typing import Any

from schemas.events import EVENTS, EventData

Upcaster = Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]

UPCASTERS: dict[str, Upcaster] = {}
"""From an old type to the function that returns the next type and its data. Empty: every event is of version 1."""


class UnknownEventTypeError(ValueError):
    """No model knows this type: upgrade this process, or skip the event when it is live."""


def read(event_type: str, data: dict[str, Any]) -> EventData:
    """The event's data as a model of the newest version.

    Raises UnknownEventTypeError, or pydantic's ValidationError when the data do not fit their type.
    """
    while event_type in UPCASTERS:
        event_type, data = UPCASTERS[event_type](data)
    model = EVENTS.get(event_type)
    if model is None:
        raise UnknownEventTypeError(f"unknown event type {event_type}: upgrade this process")
    return model.model_validate(data)
