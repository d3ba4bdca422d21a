"""The data dictionary: what each column, table and category of the public figures means, in nl, fr, de and en."""

from collections.abc import Iterator
from typing import Any

from schemas.vocabulary import Language
from services.kernel.site.languages import words_of
from services.projections.printed.words import Words
from services.projections.statistics.publication import TOTAL
from services.projections.statistics.suppression import SMALLEST
from services.projections.statistics.tables import ACTIVITY, NEW_CASES, TABLES, TOTALS

LICENCE = {"name": "CC BY 4.0", "url": "https://creativecommons.org/licenses/by/4.0/"}
COLUMNS = ("period", "table", "category", "value", "status")
ENTRY_COLUMNS = ("table", "category", "unit", "periods", "adds_up_to", "nl", "fr", "de", "en")
_UNITS = {NEW_CASES: "case", "children": "child", "outcomes": "child", "campaigns": "campaign"}
_ACTIVITY_UNITS = {"hotline_calls": "call", "reach_people": "person", "reach_interactions": "interaction"}
_NAMED = {
    "new_cases_by_kind": "new_cases",
    "new_cases_by_province": "by_province",
    "worrying_by_criterion": "worrying_by_criterion",
    "outcomes_by_outcome": "outcomes",
    "campaigns_by_kind": "campaigns",
    "activity": "details",
}
"""Tables whose categories are called as in the annual report, and how they are called there."""

Texts = dict[str, str]


def _said(key: str) -> Texts:
    words = words_of(("services.projections.statistics",))
    return {language.value: words[language][key] for language in Language}


def _category(table: str, category: str) -> Texts:
    if table in _NAMED or category in (TOTAL, "unknown"):
        figure = f"{_NAMED.get(table, 'new_cases')}.{category}"
        return {language.value: Words(language).label(figure) for language in Language}
    return _said(category)


def tables() -> list[dict[str, Any]]:
    """Each table with its categories, in the order of the rows."""
    every_period, year = ["year", "quarter", "month"], ["year"]
    found = [
        _table(name, {TOTAL: _UNITS[name]}, every_period if name == NEW_CASES else year) for name in TOTALS
    ]
    found += [
        _table(table.name, dict.fromkeys(table.categories, table.unit), year, table.total) for table in TABLES
    ]
    return [*found, _table("activity", {name: _ACTIVITY_UNITS[name] for name in ACTIVITY}, year)]


def _table(name: str, units: dict[str, str], periods: list[str], total: str | None = None) -> dict[str, Any]:
    return {
        "table": name,
        "definition": _said(f"table.{name}"),
        "periods": periods,
        "adds_up_to": total,
        "categories": [
            {"category": category, "unit": unit, "name": _category(name, category)}
            for category, unit in units.items()
        ],
    }


def document(source: str) -> dict[str, Any]:
    """The dictionary as one document. `source` is who publishes."""
    return {
        "title": _said("title"),
        "description": _said("description"),
        "source": source,
        "licence": LICENCE,
        "published": "quarterly",
        "smallest_number_shown": SMALLEST,
        "columns": {name: _said(f"column.{name}") for name in COLUMNS},
        "tables": tables(),
    }


def entries() -> Iterator[tuple[str, ...]]:
    """The dictionary as rows: of each table what it holds (no category), then its categories."""
    for table in tables():
        periods, adds_up_to = " ".join(table["periods"]), table["adds_up_to"] or ""
        yield table["table"], "", "", periods, adds_up_to, *table["definition"].values()
        for one in table["categories"]:
            yield table["table"], one["category"], one["unit"], periods, adds_up_to, *one["name"].values()
