"""From the figures of a report to a document: every cell, chart and sentence is made here, once for page and print."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from schemas.vocabulary import Language
from services.projections.printed import belgium, charts
from services.projections.printed.document import Cell, Chart, Document, KeyFigure, Row, Section, Table
from services.projections.printed.plan import KEY_FIGURES, SECTIONS, PlannedSection, PlannedTable
from services.projections.printed.words import Words
from services.projections.reports import Report, rows, strip

_FRAME = ("kicker", "missing_children", "line", "contents", "skip", "key_figures", "figure")
_TOTALS = {"new_cases": "new_cases", "campaigns": "campaigns_released"}
_SHARE = "_share"
"""In the names of figures that are parts of a whole; other quotients are means."""
_MOST_DRAWN = 12
"""More bars than that are a table."""
Figures = Mapping[str, list[Any]]
"""Value, numerator and denominator by name."""


def document(report: Report, language: Language, moment: datetime) -> Document:
    """The report of a year, with those beside it, in a language. `moment` is when it was counted, in local time."""
    return _Builder(report, Words(language), moment).document()


class _Builder:
    def __init__(self, report: Report, words: Words, moment: datetime) -> None:
        self.report, self.words, self.moment = report, words, moment
        self.years = (str(report["year"]), *report.get("beside", {}))
        every = (strip(report), *report.get("beside", {}).values())
        self.columns = [{name: parts for name, *parts in rows(one)} for one in every]
        # Sorted as in the year itself; what only an earlier year had comes last.
        self.names = list(dict.fromkeys(name for column in self.columns for name in column))
        self.some_withheld = False

    def document(self) -> Document:
        sections = tuple(self._sections())
        return Document(
            language=self.words.language.value,
            year=self.report["year"],
            title=self.words.say("title", year=self.report["year"]),
            subtitle=tuple(self._subtitle()),
            years=self.years,
            key_figures=tuple(self._key_figures()),
            sections=(*sections, *self._notes()),
            cover=belgium.silhouette(),
            words={name: self.words.say(name) for name in _FRAME},
        )

    def _subtitle(self) -> Iterator[str]:
        if "province" in self.report:
            name = self.words.label(f"by_province.{self.report['province']}")
            yield self.words.say("only_province", province=name)
        if "as_of" in self.report:
            as_of = datetime.fromisoformat(self.report["as_of"]).astimezone(self.moment.tzinfo)
            yield self.words.say("as_of", moment=self.words.numbers.moment(as_of))
        yield self.words.say("counted", moment=self.words.numbers.moment(self.moment))

    def _key_figures(self) -> Iterator[KeyFigure]:
        for name in KEY_FIGURES:
            now, *earlier = (self._cell(name, column) for column in self.columns)
            if name in self.columns[0]:
                before = f"{self.years[1]}: {earlier[0].text}" if earlier else ""
                yield KeyFigure(name, now.text, self._key_label(name), before)

    def _key_label(self, name: str) -> str:
        """A total is called by what it is the total of."""
        section, _, rest = name.partition(".")
        return self.words.say(_TOTALS[section]) if rest == "total" else self.words.label(name)

    def _sections(self) -> Iterator[Section]:
        for planned in SECTIONS:
            pairs = [(one, table) for one in planned.tables if (table := self._table(one)).rows]
            if planned.tables and not pairs:
                continue
            yield Section(
                planned.id,
                self.words.say(planned.id),
                planned.level,
                intro=self._intro(planned),
                charts=tuple(c for one, table in pairs for c in self._chart(one, table)),
                tables=tuple(table for _, table in pairs),
            )

    def _intro(self, planned: PlannedSection) -> str:
        return self.words.say(planned.intro) if planned.intro else ""

    def _table(self, planned: PlannedTable) -> Table:
        return Table(
            self.words.say(planned.caption),
            tuple(self._row(name) for name in self.names if planned.holds(name)),
        )

    def _row(self, name: str) -> Row:
        cells = tuple(self._cell(name, column) for column in self.columns)
        return Row(name, self.words.label(name), cells)

    def _cell(self, name: str, column: Figures) -> Cell:
        if name not in column:
            return Cell("\N{EN DASH}")
        value, numerator, denominator = column[name]
        numbers = self.words.numbers
        parts = "" if denominator is None else numbers.parts(numerator, denominator)
        if value is None:
            return Cell(self.words.say("none") if parts else self._absent(), parts)
        if _SHARE in name:
            return Cell(numbers.percent(value), parts, value)
        return Cell(numbers.count(round(value) if parts else value), parts, value)

    def _absent(self) -> str:
        """Without a filter nothing is withheld: then there was nothing to count."""
        self.some_withheld = self.some_withheld or "province" in self.report
        return self.words.say("withheld" if "province" in self.report else "absent")

    def _chart(self, planned: PlannedTable, table: Table) -> Iterator[Chart]:
        drawn = [row for row in table.rows if planned.only(row.figure)][:_MOST_DRAWN]
        if planned.drawn is None or not any(cell.value for row in drawn for cell in row.cells):
            return
        if planned.drawn == "map" and "province" in self.report:
            return  # a map of one province says nothing
        caption = self.words.say(planned.caption_drawn) if planned.caption_drawn else table.caption
        draw = {"bars": charts.bars, "columns": self._columns, "map": self._map}
        years = self.years[: 1 if planned.drawn == "map" else planned.years]
        cut = [Row(row.figure, row.label, row.cells[: len(years)]) for row in drawn]
        title = f"{caption}, {' / '.join(years)}"
        said = "; ".join(f"{row.label} {' / '.join(cell.text for cell in row.cells)}" for row in cut)
        yield Chart(
            caption=title,
            svg=draw[planned.drawn](cut, years),
            alt=self.words.say(f"chart.{planned.drawn}", title=title, values=said),
            credit=self.words.say("map.credit") if planned.drawn == "map" else "",
        )

    def _columns(self, drawn: list[Row], years: tuple[str, ...]) -> str:
        names = [self.words.numbers.short_month(int(row.figure.rpartition(".")[2])) for row in drawn]
        return charts.columns(drawn, years, names)

    def _map(self, drawn: list[Row], _years: tuple[str, ...]) -> str:
        places = {row.figure.rpartition(".")[2]: row for row in drawn}
        return belgium.choropleth(
            {code: row.cells[0].value for code, row in places.items()},
            {code: row.label for code, row in places.items()},
            {code: row.cells[0].text for code, row in places.items()},
            self.words.say("withheld"),
        )

    def _notes(self) -> Iterator[Section]:
        said = [self.words.say(key) for key in self.words.keys("definition.")]
        if self.some_withheld:
            said.append(self.words.say("withheld.note"))
        if "rounded_to" in self.report:
            said.append(self.words.say("rounded.note", step=self.report["rounded_to"]))
        yield Section("definitions", self.words.say("definitions"), notes=tuple(said))
        keys = [key for key in self.words.keys("contradiction.") if self._applies(key)]
        yield Section(
            "contradictions",
            self.words.say("contradictions"),
            notes=tuple(self.words.say(key) for key in keys),
        )

    def _applies(self, key: str) -> bool:
        """A note about one year's published report stands in that year's alone."""
        year = key.split(".")[1]
        return not year.isdigit() or int(year) == self.report["year"]
