"""What the tests of the printed report stand on: a report with every figure, and a reader of pages."""

import re
from datetime import datetime
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

from babel.numbers import parse_decimal

from schemas.vocabulary import CaseKind, Language
from services.projections.figures import BREAKDOWNS, COUNTS, PARTS
from services.projections.printed.numbers import LOCALES
from services.projections.reports import _figures, _nested

MOMENT = datetime(2022, 4, 1, 9, 30, tzinfo=ZoneInfo("Europe/Brussels"))
SPACE = "\N{NO-BREAK SPACE}"


def report(beside: int = 1, **more) -> dict:
    """A report in which every figure is there, each with a number of its own."""
    years = {}
    for year in range(2021, 2020 - beside, -1):
        numbers = iter(range(1000 + (2021 - year) * 500, 9999))
        counted = {name: next(numbers) for name in (COUNTS | PARTS)}
        broken = {name: {key: next(numbers) for key in _keys(name)} for name in BREAKDOWNS}
        years[str(year)] = _nested(_figures(counted, broken))
    first = years.pop("2021")
    return {"year": 2021} | more | first | {"beside": years}


def _keys(name):
    if BREAKDOWNS[name].keys:
        return BREAKDOWNS[name].keys
    return [kind.value for kind in CaseKind] if name.startswith("median") else ["MA", "CD", "unknown"]


class Reader(HTMLParser):
    """What a page shows, read without knowing how it was made."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.cells: dict[tuple[str, str], str] = {}
        self.keys: dict[str, str] = {}
        self.headings: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self._into = None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append((tag, found))
        if "data-figure" in found:
            self._into = (self.cells, (found["data-figure"], found["data-year"]))
        elif "data-key-figure" in found:
            self._into = (self.keys, found["data-key-figure"])
        elif re.fullmatch("h[1-6]", tag):
            self.headings.append(tag)

    def handle_endtag(self, tag):
        if tag in ("td", "strong"):
            self._into = None

    def handle_data(self, text):
        if self._into:
            place, key = self._into
            place[key] = place.get(key, "") + text


def read(text: str, language: Language):
    """The numbers that a cell shows, as the language writes them: value, numerator, denominator."""

    def plain(part: str) -> float:
        # CLDR groups French digits by a narrow space; what is written here is the wide one.
        part = part.strip().removesuffix(f"{SPACE}%")
        grouped = part.replace(SPACE, "\N{NARROW NO-BREAK SPACE}")
        return float(parse_decimal(grouped, locale=LOCALES[language], strict=True))

    value, _, parts = text.partition("(")
    if not parts:
        return plain(value), None, None
    numerator, denominator = parts.rstrip(")").split("/")
    return plain(value), plain(numerator), plain(denominator)
