"""Events as they come, from Kafka or from the event store: read ahead, while the batch before them is written."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from services.eventlog import wire
from services.eventlog.store import Recorded, recorded


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message or a row, and what it says, as far as anybody wants to know: most need not be read whole.

    `stream` empty: it is no event. `read`: the event, or why it cannot be read; None: nobody wants it.
    """

    source: Any
    stream: str = ""
    version: int = 0
    type: str = ""
    read: Recorded | Exception | None = None

    def event(self) -> Recorded:
        """The event, of a type that is wanted. Raises what its reading raised: only now is it known to be needed."""
        if isinstance(self.read, Exception):
            raise self.read
        assert self.read is not None  # noqa: S101 - the engine asks for what is wanted alone
        return self.read


def from_kafka(message: Any, wanted: AbstractSet[str]) -> Incoming:
    """Reads a message (aiokafka's ConsumerRecord). Never raises."""
    attributes = attributes_of(message)
    if attributes is None:
        return Incoming(message)
    kind = attributes["type"]
    read: Recorded | Exception | None = None
    if kind in wanted:
        try:
            read = wire.event(attributes, message.value)
        except Exception as error:  # whatever it is, it is this message's fault
            read = error
    return Incoming(message, attributes["stream"], wire.version_of(attributes), kind, read)


def from_store(row: Mapping[str, Any]) -> Incoming:
    """Reads a row of the event store. Never raises."""
    read: Recorded | Exception
    try:
        read = recorded(row)
    except Exception as error:
        read = error
    return Incoming(row, row["stream"], row["version"], row["type"], read)


def attributes_of(message: Any) -> dict[str, str] | None:
    """The attributes of an event; None when the message is none."""
    try:
        found = wire.attributes(message.headers)
        wire.version_of(found)
    except wire.WireError:
        return None
    return found if {"stream", "type"} <= found.keys() else None
