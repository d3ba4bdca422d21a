"""Rules of the standard's text that its schema does not hold. Each has a name and a test."""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from urllib.parse import urlsplit

from lxml import etree

from services.cap.errors import Fault
from services.cap.model import DEFAULT_LANGUAGE, NAMESPACE
from services.cap.times import parsed

Found = Iterator[tuple[str, str]]
"""The element where a rule is broken, and what to do."""
Check = Callable[["etree._Element"], Found]  # noqa: SLF001 - lxml has no other name for it
RULES: dict[str, Check] = {}

_FORBIDDEN = re.compile(r"[\s,<&]")
_POINTS = 4
_REFERENCE_PARTS = 3
_SHA1 = re.compile(r"^[0-9a-fA-F]{40}$")
_DIGITS = re.compile(r"^\d{1,12}$")
_REFERRING = frozenset({"Update", "Cancel", "Ack", "Error"})
_TIMES = ("sent", "effective", "onset", "expires")
_NEVER_BLANK = ("event", "areaDesc", "resourceDesc", "mimeType", "valueName")


def broken(root: etree._Element) -> list[Fault]:
    """Every rule that a message of the right schema breaks."""
    unreadable = [Fault("time", *found) for found in RULES["time"](root)]
    # Rules that compare times need times.
    return unreadable or [
        Fault(name, where, detail) for name, check in RULES.items() for where, detail in check(root)
    ]


def rule(name: str) -> Callable[[Check], Check]:
    """Gives a check its name."""

    def named(check: Check) -> Check:
        RULES[name] = check
        return check

    return named


def _text(parent: etree._Element, name: str) -> str:
    return (parent.findtext(f"{{{NAMESPACE}}}{name}") or "").strip()


def _every(root: etree._Element, *names: str) -> Iterator[tuple[str, str]]:
    for element in root.iter(*(f"{{{NAMESPACE}}}{name}" for name in names)):
        yield etree.QName(element).localname, (element.text or "").strip()


def _time(parent: etree._Element, name: str) -> datetime | None:
    text = _text(parent, name)
    return parsed(text) if text else None


def _holds(reading: Callable[[str], object], text: str) -> bool:
    """Whether a text can be read without ValueError."""
    try:
        reading(text)
    except ValueError:
        return False
    return True


@rule("time")
def _readable_times(root: etree._Element) -> Found:
    """Section 3.3.2: a moment that exists, with a numeric offset (the schema lets 24:00:00 through)."""
    for name, text in _every(root, *_TIMES):
        if not _holds(parsed, text):
            yield name, "write a moment that exists, such as 2026-03-04T17:30:00+01:00"


@rule("identifier-characters")
def _identifiers(root: etree._Element) -> Found:
    """Section 3.2.1: identifier and sender hold no space, comma, < or &: references are split at them."""
    for name in ("identifier", "sender"):
        text = _text(root, name)
        if not text or _FORBIDDEN.search(text):
            yield name, "write it without space, comma, < and &"


@rule("references-missing")
def _references_present(root: etree._Element) -> Found:
    """Section 3.2.1: Update, Cancel, Ack and Error concern earlier messages, which `references` names."""
    if _text(root, "msgType") in _REFERRING and not _text(root, "references"):
        yield "references", "name every earlier message that this one concerns"


def _references(root: etree._Element) -> list[list[str]]:
    return [reference.split(",") for reference in _text(root, "references").split()]


@rule("references-form")
def _references_form(root: etree._Element) -> Found:
    """Section 3.2.1: `sender,identifier,sent`, separated by white space; the time as everywhere."""
    for parts in _references(root):
        if len(parts) != _REFERENCE_PARTS or not all(parts) or not _holds(parsed, parts[2]):
            yield "references", "write each as sender,identifier,sent with a numeric offset"


@rule("references-earlier")
def _references_earlier(root: etree._Element) -> Found:
    """Section 3.2.1: what is referred to is another message, and not a later one."""
    own, sent = (_text(root, "sender"), _text(root, "identifier")), _time(root, "sent")
    for parts in _references(root):
        if tuple(parts[:2]) == own:
            yield "references", "name other messages than this one"
        with suppress(ValueError, IndexError):
            if sent is not None and parsed(parts[2]) > sent:
                yield "references", "name messages that were sent before this one"


@rule("scope-restriction")
def _restriction(root: etree._Element) -> Found:
    """Section 3.2.1: `restriction` goes with the scope Restricted, and only with it."""
    if (_text(root, "scope") == "Restricted") != bool(_text(root, "restriction")):
        yield "restriction", "say in restriction who may see it when the scope is Restricted, and only then"


@rule("scope-addresses")
def _addresses(root: etree._Element) -> Found:
    """Section 3.2.1: the scope Private needs addresses."""
    if _text(root, "scope") == "Private" and not _text(root, "addresses"):
        yield "addresses", "name who gets a message whose scope is Private"


@rule("blank")
def _blank(root: etree._Element) -> Found:
    """A required text that is blank says nothing (sections 3.2.2 to 3.2.4)."""
    yield from ((name, "write something in it") for name, text in _every(root, *_NEVER_BLANK) if not text)
    for geocode in root.iter(f"{{{NAMESPACE}}}geocode"):
        if not _text(geocode, "value"):
            yield "geocode", "write a value in it"


@rule("language-repeated")
def _languages(root: etree._Element) -> Found:
    """Section 3.2.2: one info per language; a second one may add another event or area, but never say the same twice."""
    seen = set()
    for info in root.iter(f"{{{NAMESPACE}}}info"):
        areas = "".join(
            str(text).strip() for area in info.iter(f"{{{NAMESPACE}}}area") for text in area.itertext()
        )
        what = (_text(info, "language") or DEFAULT_LANGUAGE, _text(info, "event"), areas)
        if what in seen:
            yield "info", "write one info per language, event and area"
        seen.add(what)


@rule("expires-order")
def _order(root: etree._Element) -> Found:
    """Section 3.2.2: an info does not expire before it was sent or takes effect."""
    sent = _time(root, "sent")
    for info in root.iter(f"{{{NAMESPACE}}}info"):
        expires = _time(info, "expires")
        begins = [moment for moment in (sent, _time(info, "effective"), _time(info, "onset")) if moment]
        if expires is not None and any(moment > expires for moment in begins):
            yield "expires", "let it expire after it was sent and takes effect"


def _pair(text: str) -> tuple[float, float]:
    lat, lon = map(float, text.split(","))
    if not (abs(lat) <= 90 and abs(lon) <= 180):  # noqa: PLR2004 - degrees; neither holds for not-a-number
        raise ValueError
    return lat, lon


def _ring(text: str) -> None:
    points = [_pair(pair) for pair in text.split()]
    if len(points) < _POINTS or points[0] != points[-1]:
        raise ValueError


def _circle(text: str) -> None:
    centre, radius = text.split()
    _pair(centre)
    if not 0 <= float(radius) < math.inf:
        raise ValueError


@rule("polygon")
def _polygons(root: etree._Element) -> Found:
    """Section 3.2.4: at least four `lat,lon` pairs in WGS 84, of which the last is the first again."""
    for name, text in _every(root, "polygon"):
        if not _holds(_ring, text):
            yield name, "write at least four lat,lon pairs, and end with the first one"


@rule("circle")
def _circles(root: etree._Element) -> Found:
    """Section 3.2.4: `lat,lon radius`, the radius in kilometres."""
    for name, text in _every(root, "circle"):
        if not _holds(_circle, text):
            yield name, "write lat,lon, a space, and a radius in km"


@rule("ceiling")
def _ceilings(root: etree._Element) -> Found:
    """Section 3.2.4: a ceiling goes with an altitude, below it."""
    for area in root.iter(f"{{{NAMESPACE}}}area"):
        altitude, ceiling = _text(area, "altitude"), _text(area, "ceiling")
        if ceiling and (not altitude or float(altitude) > float(ceiling)):
            yield "ceiling", "give an altitude that is not above it"


def _absolute(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    return bool(parts.scheme and (parts.netloc or parts.path))


@rule("uri")
def _uris(root: etree._Element) -> Found:
    """Sections 3.2.2 and 3.2.3: absolute; a resource that is carried along may have a relative one."""
    yield from (
        (name, "write an absolute URI") for name, text in _every(root, "web") if text and not _absolute(text)
    )
    for resource in root.iter(f"{{{NAMESPACE}}}resource"):
        uri = _text(resource, "uri")
        if uri and not _absolute(uri) and not _text(resource, "derefUri"):
            yield "uri", "write an absolute URI"


@rule("resource")
def _resources(root: etree._Element) -> Found:
    """Section 3.2.3: the size in whole bytes, the digest SHA-1 in hexadecimal."""
    for resource in root.iter(f"{{{NAMESPACE}}}resource"):
        size, digest = _text(resource, "size"), _text(resource, "digest")
        if size and not _DIGITS.match(size):
            yield "size", "write the size in bytes"
        if digest and not _SHA1.match(digest):
            yield "digest", "write SHA-1 as 40 hexadecimal digits"
