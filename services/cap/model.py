"""A CAP message as values. Fields carry the standard's names and order; absent and empty are the same."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Status = Literal["Actual", "Exercise", "System", "Test", "Draft"]
MsgType = Literal["Alert", "Update", "Cancel", "Ack", "Error"]
Scope = Literal["Public", "Restricted", "Private"]

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
DEFAULT_LANGUAGE = "en-US"
"""What an `info` without a language is written in."""

Point = tuple[float, float]
"""Latitude and longitude in degrees, WGS 84: the standard's order, not GeoJSON's."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value with the name of its scheme: eventCode, parameter, geocode."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Reference:
    """Names an earlier message."""

    sender: str
    identifier: str
    sent: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A file that supplements an info; `size` in bytes, `digest` SHA-1 in hexadecimal."""

    resource_desc: str
    mime_type: str
    size: int | None = None
    uri: str | None = None
    deref_uri: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """Where; `circles` as written (`lat,lon radius` in km), `altitude` and `ceiling` in feet above sea level."""

    area_desc: str
    polygons: tuple[tuple[Point, ...], ...] = ()
    circles: tuple[str, ...] = ()
    geocodes: tuple[Value, ...] = ()
    altitude: str | None = None
    ceiling: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What a message says in one language."""

    language: str = DEFAULT_LANGUAGE
    categories: tuple[str, ...]
    event: str
    response_types: tuple[str, ...] = ()
    urgency: str
    severity: str
    certainty: str
    audience: str | None = None
    event_codes: tuple[Value, ...] = ()
    effective: datetime | None = None
    onset: datetime | None = None
    expires: datetime | None = None
    sender_name: str | None = None
    headline: str | None = None
    description: str | None = None
    instruction: str | None = None
    web: str | None = None
    contact: str | None = None
    parameters: tuple[Value, ...] = ()
    resources: tuple[Resource, ...] = ()
    areas: tuple[Area, ...] = ()

    def parameter(self, name: str) -> str | None:
        """The first parameter of that name."""
        return next((one.value for one in self.parameters if one.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A whole message. `version`: of the protocol it was written in, 1.1 or 1.2."""

    identifier: str
    sender: str
    sent: datetime
    status: Status
    msg_type: MsgType
    source: str | None = None
    scope: Scope
    restriction: str | None = None
    addresses: str | None = None
    codes: tuple[str, ...] = ()
    note: str | None = None
    references: tuple[Reference, ...] = ()
    incidents: str | None = None
    infos: tuple[Info, ...] = ()
    version: str = "1.2"
