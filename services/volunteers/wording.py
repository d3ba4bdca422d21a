"""What a message says, in the language of whoever gets it. It knows a place and a time, and nothing of who is missing."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

from schemas.vocabulary import Language, Step
from services.geography.names import name_of


@dataclass(frozen=True, slots=True)
class Words:
    """What a message is made of; `link`: where its reader answers."""

    step: Step
    link: str
    municipality: str | None = None
    spot: str | None = None
    by: datetime | None = None
    exercise: bool = False


@cache
def _said() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads(resources.files("services.volunteers").joinpath("messages.toml").read_text("utf-8"))


def title(language: Language, *, exercise: bool) -> str:
    """The subject of an e-mail."""
    said = _said()["title"][language.value]
    return f"{_said()['exercise'][language.value]}: {said}" if exercise else said


def text(words: Words, language: Language, zone: ZoneInfo) -> str:
    """The message."""
    said = {name: by_language[language.value] for name, by_language in _said().items()}
    written = said[words.step.value].format(
        where=where(words.municipality, language),
        spot=said["at"].format(spot=words.spot) if words.spot else "",
        by=said["until"].format(at=f"{words.by.astimezone(zone):%d.%m. %H:%M}") if words.by else "",
        link=words.link,
    )
    return f"{said['exercise']}: {written}" if words.exercise else written


def where(municipality: str | None, language: Language) -> str:
    """The name of a municipality."""
    return name_of(municipality, language.value) if municipality else _said()["somewhere"][language.value]
