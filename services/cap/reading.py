"""Reading what others send: bounded, without entities, network or surprises, checked before it is believed."""

from functools import cache
from importlib import resources
from typing import Any

from lxml import etree

from services.cap.errors import CapRefusedError, Fault
from services.cap.model import (
    DEFAULT_LANGUAGE,
    NAMESPACE,
    Area,
    Info,
    Message,
    Point,
    Reference,
    Resource,
    Value,
)
from services.cap.rules import broken
from services.cap.times import parsed

MAX_BYTES = 1024 * 1024
"""The largest message that is looked at."""
_NAMESPACES = {NAMESPACE: "1.2", "urn:oasis:names:tc:emergency:cap:1.1": "1.1"}


def read(data: bytes) -> Message:
    """The message in these bytes. A message of CAP 1.1, whose elements are the same, is read as one of 1.2.

    Its signature is not looked at: see `verify`. Raises CapRefusedError with every rule that is broken.
    """
    root = document(data)
    name = etree.QName(root)
    version = _NAMESPACES.get(name.namespace or "")
    if version is None or name.localname != "alert":
        raise CapRefusedError([Fault("version", "alert", "send an alert of CAP 1.2")])
    _lift(root, name.namespace or "")
    faults = _schema_faults(root)
    # What does not fit the schema cannot be asked by rules that stand on it.
    faults = faults or broken(root)
    if faults:
        raise CapRefusedError(faults)
    return _message(root, version)


def document(data: bytes, *, comments: bool = False, indentation: bool = True) -> etree._Element:
    """The root element of untrusted bytes. Raises CapRefusedError for what is too large, not XML, or has a DOCTYPE."""
    if len(data) > MAX_BYTES:
        raise CapRefusedError([Fault("size", "document", f"send at most {MAX_BYTES} bytes")])
    # Comments are taken out because a signature does not cover them: `a<!-- x -->b` must read as `ab`.
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=not comments,
        remove_pis=not comments,
        remove_blank_text=not indentation,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise CapRefusedError([Fault("xml", f"line {line}", "send well-formed XML")]) from None
    info: Any = root.getroottree().docinfo
    if info.doctype or info.internalDTD is not None:
        raise CapRefusedError([Fault("doctype", "document", "send no DOCTYPE: entities are never resolved")])
    return root


def _lift(root: etree._Element, namespace: str) -> None:
    if namespace != NAMESPACE:
        for element in root.iter(f"{{{namespace}}}*"):
            element.tag = f"{{{NAMESPACE}}}{etree.QName(element).localname}"


@cache
def _schema() -> etree.XMLSchema:
    text = resources.files("services.cap").joinpath("CAP-v1.2.xsd").read_bytes()
    return etree.XMLSchema(etree.fromstring(text))


def _schema_faults(root: etree._Element) -> list[Fault]:
    schema = _schema()
    if schema.validate(root):
        return []
    entries: Any = schema.error_log
    return [_schema_fault(entry) for entry in entries]


def _schema_fault(entry: Any) -> Fault:
    where = f"line {entry.line}"
    if entry.type_name == "SCHEMAV_ELEMENT_CONTENT":
        return Fault("schema", where, entry.message.replace(f"{{{NAMESPACE}}}", ""))
    # The library's text repeats the value; ours names the sort of error.
    return Fault("schema", where, f"write a value that the schema allows ({entry.type_name})")


# ── from elements to values; the rules hold here ────────────────────────────────────────────────────────────


def _texts(parent: etree._Element, name: str) -> tuple[str, ...]:
    return tuple((child.text or "").strip() for child in parent.iterfind(f"{{{NAMESPACE}}}{name}"))


def _text(parent: etree._Element, name: str) -> str | None:
    return next((text for text in _texts(parent, name) if text), None)


def _required(parent: etree._Element, name: str) -> Any:
    return _text(parent, name) or ""


def _time(parent: etree._Element, name: str) -> Any:
    text = _text(parent, name)
    return parsed(text) if text else None


def _children(parent: etree._Element, name: str) -> list[etree._Element]:
    return parent.findall(f"{{{NAMESPACE}}}{name}")


def _values(parent: etree._Element, name: str) -> tuple[Value, ...]:
    return tuple(
        Value(_required(one, "valueName"), _required(one, "value")) for one in _children(parent, name)
    )


def _message(root: etree._Element, version: str) -> Message:
    return Message(
        identifier=_required(root, "identifier"),
        sender=_required(root, "sender"),
        sent=_time(root, "sent"),
        status=_required(root, "status"),
        msg_type=_required(root, "msgType"),
        source=_text(root, "source"),
        scope=_required(root, "scope"),
        restriction=_text(root, "restriction"),
        addresses=_text(root, "addresses"),
        codes=_texts(root, "code"),
        note=_text(root, "note"),
        references=tuple(map(_reference, (_text(root, "references") or "").split())),
        incidents=_text(root, "incidents"),
        infos=tuple(map(_info, _children(root, "info"))),
        version=version,
    )


def _reference(text: str) -> Reference:
    sender, identifier, sent = text.split(",")
    return Reference(sender, identifier, parsed(sent))


def _info(one: etree._Element) -> Info:
    return Info(
        language=_text(one, "language") or DEFAULT_LANGUAGE,
        categories=_texts(one, "category"),
        event=_required(one, "event"),
        response_types=_texts(one, "responseType"),
        urgency=_required(one, "urgency"),
        severity=_required(one, "severity"),
        certainty=_required(one, "certainty"),
        audience=_text(one, "audience"),
        event_codes=_values(one, "eventCode"),
        effective=_time(one, "effective"),
        onset=_time(one, "onset"),
        expires=_time(one, "expires"),
        sender_name=_text(one, "senderName"),
        headline=_text(one, "headline"),
        description=_text(one, "description"),
        instruction=_text(one, "instruction"),
        web=_text(one, "web"),
        contact=_text(one, "contact"),
        parameters=_values(one, "parameter"),
        resources=tuple(map(_resource, _children(one, "resource"))),
        areas=tuple(map(_area, _children(one, "area"))),
    )


def _resource(one: etree._Element) -> Resource:
    size = _text(one, "size")
    return Resource(
        resource_desc=_required(one, "resourceDesc"),
        mime_type=_required(one, "mimeType"),
        size=int(size) if size else None,
        uri=_text(one, "uri"),
        deref_uri=_text(one, "derefUri"),
        digest=_text(one, "digest"),
    )


def _area(one: etree._Element) -> Area:
    return Area(
        area_desc=_required(one, "areaDesc"),
        polygons=tuple(_polygon(text) for text in _texts(one, "polygon") if text),
        circles=tuple(text for text in _texts(one, "circle") if text),
        geocodes=_values(one, "geocode"),
        altitude=_text(one, "altitude"),
        ceiling=_text(one, "ceiling"),
    )


def _polygon(text: str) -> tuple[Point, ...]:
    pairs = (pair.split(",") for pair in text.split())
    return tuple((float(lat), float(lon)) for lat, lon in pairs)
