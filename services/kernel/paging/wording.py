"""What a page says to a person, in that person's language. No word of it comes from a case."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

from schemas.vocabulary import Language
from services.kernel.paging.channels import Message, write

ROOMS = (
    "services.kernel.paging",
    "services.intake",
    "services.criteria",
    "services.dispatch",
    "services.projections",
    "services.volunteers",
)
"""Whoever pages says in its `pages.toml` what each kind of matter means."""
OTHER = "other"

_FRAME: Mapping[Language, Mapping[str, str]] = {
    Language.NL: {
        "more": "{first} (en nog {more})",
        "clear": "Opgelost: {title}",
        "since": "Sinds {at}, {times} keer gezien.",
        "over": "Voorbij sinds {at}. U hoeft niets meer te doen.",
        "details": "Bijzonderheden (in het Engels):",
        "link": "Ik neem dit op mij:",
        "foot": "Zonder antwoord wordt na enkele minuten de volgende persoon met dienst verwittigd.",
    },
    Language.FR: {
        "more": "{first} (et {more} de plus)",
        "clear": "Résolu : {title}",
        "since": "Depuis {at}, constaté {times} fois.",
        "over": "Terminé depuis {at}. Vous n'avez plus rien à faire.",
        "details": "Détails (en anglais) :",
        "link": "Je m'en occupe :",
        "foot": "Sans réponse, la personne de garde suivante est avertie après quelques minutes.",
    },
    Language.DE: {
        "more": "{first} (und {more} weitere)",
        "clear": "Erledigt: {title}",
        "since": "Seit {at}, {times}-mal festgestellt.",
        "over": "Vorbei seit {at}. Sie brauchen nichts mehr zu tun.",
        "details": "Einzelheiten (auf Englisch):",
        "link": "Ich kümmere mich darum:",
        "foot": "Ohne Antwort wird nach einigen Minuten die nächste diensthabende Person verständigt.",
    },
    Language.EN: {
        "more": "{first} (and {more} more)",
        "clear": "Over: {title}",
        "since": "Since {at}, seen {times} times.",
        "over": "Over since {at}. There is nothing left for you to do.",
        "details": "Details:",
        "link": "I look after it:",
        "foot": "Without an answer the next person on duty is told after a few minutes.",
    },
}


@dataclass(frozen=True, slots=True)
class Item:
    """One matter in a message. `closed_at`: it is over; else `link` leads to its acknowledgement."""

    matter: str
    text: str
    opened_at: datetime
    times: int
    link: str
    closed_at: datetime | None = None


@cache
def titles() -> Mapping[str, Mapping[str, str]]:
    """What each kind of matter means, by language."""
    found: dict[str, Mapping[str, str]] = {}
    for room in ROOMS:
        found |= tomllib.loads(resources.files(room).joinpath("pages.toml").read_text(encoding="utf-8"))
    return found


def title(matter: str, language: Language) -> str:
    """What a matter is about, in a few words."""
    known = titles()
    return known.get(matter.partition(":")[0], known[OTHER])[language.value]


def message(items: Sequence[Item], language: Language, zone: ZoneInfo, message_id: str) -> Message:
    """Everything that one person is to be told now."""
    words = _FRAME[language]
    subject = _headline(items[0], language)
    if len(items) > 1:
        subject = words["more"].format(first=subject, more=len(items) - 1)
    parts = [_part(item, language, zone) for item in items]
    if any(item.closed_at is None for item in items):
        parts.append(words["foot"])
    return write(
        subject, "\n\n\n".join(parts) + "\n", {"Message-ID": message_id, "Content-Language": language.value}
    )


def _headline(item: Item, language: Language) -> str:
    what = title(item.matter, language)
    return what if item.closed_at is None else _FRAME[language]["clear"].format(title=what)


def _part(item: Item, language: Language, zone: ZoneInfo) -> str:
    words = _FRAME[language]
    at = f"{(item.closed_at or item.opened_at).astimezone(zone):%d.%m.%Y %H:%M}"
    if item.closed_at is not None:
        return f"{_headline(item, language)}\n{words['over'].format(at=at)}"
    lines = [
        _headline(item, language),
        words["since"].format(at=at, times=item.times),
        "",
        words["details"],
        item.text,
        "",
        words["link"],
        item.link,
    ]
    return "\n".join(lines)
