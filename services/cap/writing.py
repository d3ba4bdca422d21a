"""Messages as XML, in the order of the schema."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from lxml import etree

from services.cap.model import NAMESPACE, Area, Info, Message, Reference, Resource, Value
from services.cap.times import written

Child = tuple[str, "str | list[Child] | None"]
"""An element's name, and its text or its children; without either it is left out."""

# What XML 1.0 cannot hold, not even escaped: one such character from an operator's keyboard must stop no alert.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(message: Message) -> etree._Element:
    """The message as an element, to be signed or serialised."""
    default: dict[Any, str] = {None: NAMESPACE}
    root = etree.Element(f"{{{NAMESPACE}}}alert", nsmap=default)
    _add(root, _message(message))
    return root


def serialised(root: etree._Element) -> bytes:
    """The bytes of a whole document."""
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _add(parent: etree._Element, children: Iterable[Child]) -> None:
    for name, content in children:
        if not content:
            continue
        element = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
        if isinstance(content, str):
            element.text = _NOT_XML.sub("\ufffd", content)
        else:
            _add(element, content)


def _message(one: Message) -> Iterator[Child]:
    yield "identifier", one.identifier
    yield "sender", one.sender
    yield "sent", written(one.sent)
    yield "status", one.status
    yield "msgType", one.msg_type
    yield "source", one.source
    yield "scope", one.scope
    yield "restriction", one.restriction
    yield "addresses", one.addresses
    yield from (("code", code) for code in one.codes)
    yield "note", one.note
    yield "references", " ".join(map(_reference, one.references))
    yield "incidents", one.incidents
    yield from (("info", list(_info(info))) for info in one.infos)


def _reference(one: Reference) -> str:
    return f"{one.sender},{one.identifier},{written(one.sent)}"


def _info(one: Info) -> Iterator[Child]:
    yield "language", one.language
    yield from (("category", category) for category in one.categories)
    yield "event", one.event
    yield from (("responseType", response) for response in one.response_types)
    yield "urgency", one.urgency
    yield "severity", one.severity
    yield "certainty", one.certainty
    yield "audience", one.audience
    yield from _values("eventCode", one.event_codes)
    yield "effective", _time(one.effective)
    yield "onset", _time(one.onset)
    yield "expires", _time(one.expires)
    yield "senderName", one.sender_name
    yield "headline", one.headline
    yield "description", one.description
    yield "instruction", one.instruction
    yield "web", one.web
    yield "contact", one.contact
    yield from _values("parameter", one.parameters)
    yield from (("resource", list(_resource(resource))) for resource in one.resources)
    yield from (("area", list(_area(area))) for area in one.areas)


def _time(moment: datetime | None) -> str | None:
    return written(moment) if moment else None


def _values(name: str, values: Iterable[Value]) -> Iterator[Child]:
    for one in values:
        yield name, [("valueName", one.name), ("value", one.value)]


def _resource(one: Resource) -> Iterator[Child]:
    yield "resourceDesc", one.resource_desc
    yield "mimeType", one.mime_type
    yield "size", str(one.size) if one.size is not None else None
    yield "uri", one.uri
    yield "derefUri", one.deref_uri
    yield "digest", one.digest


def _area(one: Area) -> Iterator[Child]:
    yield "areaDesc", one.area_desc
    for polygon in one.polygons:
        yield "polygon", " ".join(f"{lat:.4f},{lon:.4f}" for lat, lon in polygon)
    yield from (("circle", circle) for circle in one.circles)
    yield from _values("geocode", one.geocodes)
    yield "altitude", one.altitude
    yield "ceiling", one.ceiling
