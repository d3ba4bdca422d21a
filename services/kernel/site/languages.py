"""In which language somebody reads: as they chose, else as their browser says."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources

from fastapi import Request

from schemas.vocabulary import Language
from services.kernel.errors import ZoeklichtError

LANGUAGES = tuple(language.value for language in Language)
COOKIE = "language"
_FALLBACK = Language.NL.value

Words = Mapping[str, str]
"""What pages say in one language, by name."""


class WordsError(ZoeklichtError):
    """A page's words are incomplete."""


def language_of(request: Request) -> str:
    """nl, fr, de or en: `?lang=`, else the choice of last time, else what the browser likes best."""
    for chosen in (request.query_params.get("lang"), request.cookies.get(COOKIE)):
        if chosen in LANGUAGES:
            return str(chosen)
    for liked in _liked(request.headers.get("accept-language", "")):
        if liked in LANGUAGES:
            return liked
    return _FALLBACK


def _liked(header: str) -> list[str]:
    """The languages of an Accept-Language header (RFC 9110, 12.5.4), the best first."""
    found = []
    for part in header.split(","):
        tag, _, weight = part.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        found.append((-quality, tag.strip().lower().partition("-")[0]))
    return [name for _, name in sorted(found, key=lambda one: one[0])]


@cache
def words_of(packages: Iterable[str]) -> dict[str, Words]:
    """The words of these packages (`words.toml`: a table for each, a line for each language), by language.

    A package with many has them in several files of a folder `words`.

    Raises WordsError when a language is missing somewhere, or two packages use one name.
    """
    found: dict[str, dict[str, str]] = {language: {} for language in LANGUAGES}
    for package in packages:
        for name, said in _written(package):
            if set(said) != set(LANGUAGES) or name in found[_FALLBACK]:
                raise WordsError(f"words of {package}: write {name} once, in each of {', '.join(LANGUAGES)}")
            for language in LANGUAGES:
                found[language][name] = said[language]
    return dict(found)


def _written(package: str) -> Iterator[tuple[str, Words]]:
    folder = resources.files(package)
    many = folder.joinpath("words")
    files = (
        sorted(many.iterdir(), key=lambda one: one.name) if many.is_dir() else [folder.joinpath("words.toml")]
    )
    for file in files:
        yield from tomllib.loads(file.read_text(encoding="utf-8")).items()
