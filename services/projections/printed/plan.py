"""Which figures stand where in a report: its sections, their tables, and what is drawn of each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

_ABDUCTION = "details.international_parental_abduction."
_MINOR = "details.unaccompanied_minor."


@dataclass(frozen=True, slots=True)
class PlannedTable:
    """A table: the key of its caption, and which figures it holds. `drawn` is how it is drawn, if it is.

    `only` leaves out of the drawing what would dwarf or repeat the rest.
    """

    caption: str
    holds: Callable[[str], bool]
    drawn: Literal["bars", "columns", "map"] | None = None
    only: Callable[[str], bool] = lambda figure: not figure.endswith(".total")
    caption_drawn: str = ""
    years: int = 3
    """How many years the drawing shows side by side."""


@dataclass(frozen=True, slots=True)
class PlannedSection:
    """A section; `intro` is the key of what stands under its heading."""

    id: str
    tables: tuple[PlannedTable, ...] = ()
    level: int = 2
    intro: str = ""


def _under(*beginnings: str, but: tuple[str, ...] = ()) -> Callable[[str], bool]:
    return lambda figure: figure.startswith(beginnings) and not (but and figure.startswith(but))


def _activity(figure: str) -> bool:
    return figure.startswith("details.") and figure.count(".") == 1


def _worrying(figure: str) -> bool:
    return figure == "worrying" or figure.startswith("worrying_by_criterion.")


def _age(figure: str) -> bool:
    return figure.startswith("details.runaway.") and figure.endswith(("13_share", "15_share", "17_share"))


def _undefined_subject(figure: str) -> bool:
    return figure not in ("details.undefined.closed_share", "details.undefined.found_deceased")


SECTIONS = (
    PlannedSection(
        "new_cases",
        (
            PlannedTable("new_cases", _under("new_cases."), "bars"),
            PlannedTable("handled", _under("handled.")),
        ),
        intro="new_cases.intro",
    ),
    PlannedSection(
        "worrying",
        (
            PlannedTable(
                "worrying_by_criterion", _worrying, "bars", only=lambda figure: figure != "worrying", years=1
            ),
        ),
        intro="worrying.intro",
    ),
    PlannedSection("kinds"),
    PlannedSection(
        "runaway",
        (
            PlannedTable(
                "runaway", _under("details.runaway."), "bars", only=_age, caption_drawn="runaway_ages"
            ),
        ),
        level=3,
        intro="runaway.intro",
    ),
    PlannedSection(
        "abductions",
        (
            PlannedTable(
                "abductions",
                _under(_ABDUCTION, but=(f"{_ABDUCTION}countries.", f"{_ABDUCTION}regions_share.")),
            ),
            PlannedTable("abduction_regions", _under(f"{_ABDUCTION}regions_share."), "bars", years=1),
            PlannedTable("abduction_countries", _under(f"{_ABDUCTION}countries.")),
        ),
        level=3,
        intro="abductions.intro",
    ),
    PlannedSection(
        "third_party", (PlannedTable("third_party", _under("details.third_party_abduction.")),), level=3
    ),
    PlannedSection(
        "undefined",
        (PlannedTable("undefined", _under("details.undefined."), "bars", only=_undefined_subject),),
        level=3,
        intro="undefined.intro",
    ),
    PlannedSection(
        "minors",
        (
            PlannedTable("minors", _under(f"{_MINOR}boys_share", f"{_MINOR}closed_share")),
            PlannedTable("minor_nationalities", _under(f"{_MINOR}nationalities."), "bars", years=1),
            PlannedTable("minor_nationalities_share", _under(f"{_MINOR}nationalities_share.")),
        ),
        level=3,
    ),
    PlannedSection(
        "outcomes",
        (
            PlannedTable("outcomes", _under("outcomes."), "bars"),
            PlannedTable("median_hours", _under("median_hours_to_outcome.")),
        ),
        intro="outcomes.intro",
    ),
    PlannedSection(
        "by_province",
        (PlannedTable("by_province.caption", _under("by_province."), "map"),),
        intro="by_province.intro",
    ),
    PlannedSection(
        "by_month",
        (PlannedTable("by_month.caption", _under("by_month."), "columns"),),
        intro="by_month.intro",
    ),
    PlannedSection(
        "campaigns",
        (
            PlannedTable("campaigns_released", _under("campaigns."), "bars"),
            PlannedTable("activity", _activity),
        ),
        intro="campaigns.intro",
    ),
    PlannedSection(
        "times",
        (
            PlannedTable("time_to_public", _under("time_to_public.")),
            PlannedTable("time_to_dark", _under("time_to_dark.")),
        ),
        intro="times.intro",
    ),
)
"""The report, in order. What is explained comes after it: definitions, and what seems to contradict itself."""

KEY_FIGURES = (
    "new_cases.total",
    "worrying",
    "campaigns.total",
    "details.hotline_calls",
    "details.reach_people",
    "details.display_partners",
)
"""What the first page shows; those that a year does not have are left out."""
