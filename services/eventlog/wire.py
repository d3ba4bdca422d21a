"""How an event travels: CloudEvents 1.0 in Kafka binary mode, attributes as `ce_` headers, JSON in the value."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from schemas.upcasters import read
from schemas.vocabulary import Mode, Origin
from services.eventlog.store import Cause, EventStoreError, Recorded
from services.kernel.ids import read_id

SOURCE = "urn:zoeklicht"
_MOST_DIGITS = 18
Header = tuple[str, bytes]


class WireError(EventStoreError):
    """A message is not an event of this system."""


def headers(row: Mapping[str, Any]) -> list[Header]:
    """The `ce_` headers of a row of the log."""
    values: dict[str, Any] = {
        "specversion": "1.0",
        "id": row["event_id"],
        "source": SOURCE,
        "type": row["type"],
        "subject": row["subject"],
        "time": row["time"].isoformat(),
        "stream": row["stream"],
        "streamversion": row["version"],
        "recordedtime": row["recorded_time"].isoformat(),
        "importedtime": row["imported_time"].isoformat() if row["imported_time"] else None,
        "correlationid": row["correlation_id"],
        "causationid": row["causation_id"],
        "actor": row["actor"],
        "traceparent": row["traceparent"],
        "origin": row["origin"],
        "mode": row["mode"],
    }
    found = [(f"ce_{name}", str(value).encode()) for name, value in values.items() if value is not None]
    return [*found, ("content-type", b"application/json")]


def attributes(headers: Iterable[Header] | Mapping[str, bytes]) -> dict[str, str]:
    """The CloudEvents attributes, without reading the value: enough to skip an event, or to quarantine a poison one."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    try:
        return {name[3:]: value.decode() for name, value in pairs if name.startswith("ce_")}
    except UnicodeDecodeError as error:
        raise WireError("a header is not UTF-8") from error


def version_of(attributes: Mapping[str, str]) -> int:
    """The version of the event in its stream, from 1. Raises WireError when it says none that a stream can have."""
    text = attributes.get("streamversion", "")
    # What PostgreSQL's bigint cannot hold could be neither compared nor set aside.
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS and int(text)):
        raise WireError("a message does not say its version in its stream")
    return int(text)


def event(attributes: Mapping[str, str], value: bytes) -> Recorded:
    """The event of a message. Raises WireError, UnknownEventTypeError, or pydantic's ValidationError."""
    try:
        found = _envelope(attributes)
        content = orjson.loads(value)
    except (KeyError, ValueError) as error:
        raise WireError("a message lacks an attribute, has a wrong one, or is not JSON") from error
    return Recorded(data=read(attributes["type"], content), **found)


def _envelope(attributes: Mapping[str, str]) -> dict[str, Any]:
    imported = attributes.get("importedtime")
    return {
        "stream": attributes["stream"],
        "version": version_of(attributes),
        "event_id": read_id(attributes["id"]),
        "type": attributes["type"],
        "subject": attributes["subject"],
        "time": datetime.fromisoformat(attributes["time"]),
        "recorded_time": datetime.fromisoformat(attributes["recordedtime"]),
        "imported_time": datetime.fromisoformat(imported) if imported else None,
        "cause": Cause(
            actor=attributes["actor"],
            correlation_id=attributes["correlationid"],
            causation_id=attributes.get("causationid"),
            traceparent=attributes.get("traceparent"),
            origin=Origin(attributes["origin"]),
            mode=Mode(attributes["mode"]),
        ),
    }
