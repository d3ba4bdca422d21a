"""A report as a document of one language: sections with tables and charts, before it becomes a page or a print."""

from collections.abc import Iterator
from dataclasses import dataclass, field

Number = int | float | None


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure of a year as it is read: `text`, and `parts`, what a share or a mean was made of. `value` is for charts."""

    text: str
    parts: str = ""
    value: Number = None


@dataclass(frozen=True, slots=True)
class Row:
    """A figure of each year. `figure` is its name in the report; a sum is set apart."""

    figure: str
    label: str
    cells: tuple[Cell, ...]

    @property
    def is_sum(self) -> bool:
        """Whether it is the sum of the others."""
        return self.figure.endswith(".total") or self.figure == "worrying"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of figures under one caption."""

    caption: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing of what is in the tables beside it. `alt` says it to those who do not see it."""

    caption: str
    svg: str
    alt: str
    credit: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part with a heading. Level 2 stands by itself, level 3 belongs to the part before it."""

    id: str
    title: str
    level: int = 2
    intro: str = ""
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A number of the first page, with the one of the year before."""

    figure: str
    text: str
    label: str
    before: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """The whole. `years` name the columns of every table, `words` are the texts of the frame, `cover` adorns it (SVG)."""

    language: str
    year: int
    title: str
    subtitle: tuple[str, ...]
    years: tuple[str, ...]
    key_figures: tuple[KeyFigure, ...]
    sections: tuple[Section, ...]
    cover: str
    words: dict[str, str] = field(default_factory=dict)

    def tables(self) -> Iterator[Table]:
        """Every table, in order."""
        for section in self.sections:
            yield from section.tables
