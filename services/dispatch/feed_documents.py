"""Feeds as documents: Atom (RFC 4287) and JSON Feed 1.1. Pure: the same entries give the same bytes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from lxml import etree

from services.cap import Info, Message

ATOM = "http://www.w3.org/2005/Atom"
CAP_TYPE = "application/cap+xml"
JSON_FEED = "https://jsonfeed.org/version/1.1"
TITLE = "Vermiste kinderen · Enfants disparus · Vermisste Kinder · Missing children"
OVER = "Oproep beëindigd · Avis terminé · Suchmeldung beendet · Appeal over"
_NEVER = datetime(2002, 2, 20, tzinfo=UTC)
"""When a feed changed that has never held anything: any moment before the first alert."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An alert with its newest message."""

    alert_id: UUID
    issued_at: datetime
    revised_at: datetime
    message: Message

    @property
    def title(self) -> str:
        """Its first headline, or that it is over."""
        infos = self.message.infos
        return (infos[0].headline or infos[0].event) if infos else OVER

    @property
    def language(self) -> str | None:
        """Of the title."""
        return self.message.infos[0].language if self.message.infos else None

    @property
    def text(self) -> str:
        """Everything for people to read, in all its languages."""
        return "\n\n".join(map(_text, self.message.infos)) or (self.message.note or OVER)

    @property
    def state(self) -> str:
        """`active`, or `over`: then it is to be shown nowhere."""
        return "over" if self.message.msg_type == "Cancel" else "active"

    def url(self, base_url: str) -> str:
        """Where its message is."""
        return f"{base_url}/alerts/{self.alert_id}.cap.xml"


def _text(info: Info) -> str:
    return "\n".join(part for part in (info.headline, info.description, info.instruction) if part)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# ── Atom ────────────────────────────────────────────────────────────────────────────────────────────────────


def atom(entries: Sequence[Entry], base_url: str, author: str) -> bytes:
    """The feed as Atom; every entry leads to its CAP message."""
    default: dict[Any, str] = {None: ATOM}
    feed = etree.Element(f"{{{ATOM}}}feed", nsmap=default)
    own = f"{base_url}/feeds/cap.atom"
    _add(feed, "id", own)
    _add(feed, "title", TITLE)
    _add(feed, "updated", _written(max((one.revised_at for one in entries), default=_NEVER)))
    _add(feed, "link", rel="self", type="application/atom+xml", href=own)
    _add(_add(feed, "author"), "name", author)
    for entry in entries:
        _atom_entry(feed, entry, base_url)
    return etree.tostring(feed, xml_declaration=True, encoding="UTF-8")


def _atom_entry(feed: etree._Element, one: Entry, base_url: str) -> None:
    entry = _add(feed, "entry")
    _add(entry, "id", f"urn:uuid:{one.alert_id}")
    title = _add(entry, "title", one.title)
    if one.language:
        title.set("{http://www.w3.org/XML/1998/namespace}lang", one.language)
    _add(entry, "published", _written(one.issued_at))
    _add(entry, "updated", _written(one.revised_at))
    _add(entry, "link", rel="alternate", type=CAP_TYPE, href=one.url(base_url))
    for term in (one.message.msg_type, one.state):
        _add(entry, "category", term=term)
    _add(entry, "content", one.text, type="text")


def _add(parent: etree._Element, name: str, text: str | None = None, **attributes: str) -> etree._Element:
    element = etree.SubElement(parent, f"{{{ATOM}}}{name}", attributes)
    element.text = text
    return element


# ── JSON Feed ───────────────────────────────────────────────────────────────────────────────────────────────


def json_feed(entries: Iterable[Entry], base_url: str, author: str) -> bytes:
    """The feed as JSON Feed; `_cap` holds what the standard has no place for."""
    feed = {
        "version": JSON_FEED,
        "title": TITLE,
        "home_page_url": base_url,
        "feed_url": f"{base_url}/feeds/alerts.json",
        "authors": [{"name": author}],
        "items": [_item(entry, base_url) for entry in entries],
    }
    return orjson.dumps(feed)


def _item(one: Entry, base_url: str) -> dict[str, object]:
    url = one.url(base_url)
    item: dict[str, object] = {
        "id": f"urn:uuid:{one.alert_id}",
        "url": url,
        "title": one.title,
        "content_text": one.text,
        "date_published": _written(one.issued_at),
        "date_modified": _written(one.revised_at),
        "tags": [one.message.msg_type, one.state],
        "attachments": [{"url": url, "mime_type": CAP_TYPE}],
        "_cap": {
            "alert_id": str(one.alert_id),
            "identifier": one.message.identifier,
            "state": one.state,
            "texts": {
                info.language: {"title": info.headline, "content_text": _text(info)}
                for info in one.message.infos
            },
        },
    }
    return item | ({"language": one.language} if one.language else {})
