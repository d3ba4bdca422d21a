"""Figures are put into their places, and shown, without a database."""

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from schemas.vocabulary import Language
from services.projections.figures import BREAKDOWNS, COUNTS, PARTS, QUOTIENTS, SECTIONS
from services.projections.printed.builder import document
from services.projections.render import annual_table
from services.projections.reports import _figures, _nested, as_csv, quotient, rows

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "annual_figures.json").read_text())

DETAILS = {"reach_people": 1, "reach_people_per_disappearance": quotient(36_515_902, 64)}


def report(year: int, runaways: int, girls: int) -> dict:
    return {
        "year": year,
        "new_cases": {"runaway": runaways, "total": runaways},
        "worrying": 1,
        "details": {"runaway": {"girls_share": quotient(girls, runaways)}},
    }


def test_a_share_of_nothing_has_no_value():
    """It is not 0, and not an error."""
    assert quotient(0, 0) == {"value": None, "numerator": 0, "denominator": 0}
    assert quotient(1, 4)["value"] == 0.25


def test_rows_have_dotted_names():
    """A count has a value alone; a share has what it was made from."""
    assert list(rows(report(2021, 4, 3))) == [
        ("new_cases.runaway", 4, None, None),
        ("new_cases.total", 4, None, None),
        ("worrying", 1, None, None),
        ("details.runaway.girls_share", 0.75, 3, 4),
    ]


def test_csv_can_be_read_back():
    """One figure a row under the four columns; nothing where there is nothing."""
    read = list(csv.reader(io.StringIO(as_csv(report(2021, 0, 0)))))
    assert read[0] == ["figure", "value", "numerator", "denominator"]
    assert read[-1] == ["details.runaway.girls_share", "", "0", "0"]


def test_helping_counts_do_not_show():
    """What only serves as numerator or denominator is no figure of its own; what is not known is left out."""
    helping = {name for pair in QUOTIENTS.values() for name in pair}
    counted = dict.fromkeys(COUNTS | PARTS, 2) | {
        "details.display_partners": None,
        "campaigns.child_alert": None,
        "time_to_public.median_s": 0,
    }
    nested = _nested(_figures(counted, {name: {} for name in BREAKDOWNS}))
    assert list(nested) == list(SECTIONS)
    assert set(nested["campaigns"]) == {"public", "vignette", "total"}
    assert not helping & {name for name, *_ in rows(nested)} - COUNTS.keys()
    assert "display_partners" not in nested["details"]
    assert nested["time_to_public"]["median_s"] == 0
    assert nested["details"]["runaway"]["girls_share"]["value"] == 1.0


def test_every_published_share_is_computed():
    """The published figures that are fractions are the quotients, by the same names."""
    published = {
        f"details.{kind}.{name}"
        for kind, details in GOLDEN["details"]["2021"].items()
        if isinstance(details, dict)
        for name in details
        if name.endswith("_share")
    }
    assert published <= QUOTIENTS.keys()


def test_years_stand_side_by_side():
    """In the reader's words and digits; a figure that one year lacks is a dash there; shares show their parts."""
    other = report(2020, 1000, 0)
    del other["year"], other["worrying"]
    whole = report(2021, 4, 3) | {"beside": {"2020": other}}
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(annual_table(document(whole, Language.FR, datetime(2022, 1, 1, tzinfo=UTC))))
    lines = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:4]]
        for line in console.export_text().splitlines()
        if "│" in line and line.split("│")[2].strip()
    }
    assert lines["Part des filles"] == [
        "75,0\N{NO-BREAK SPACE}% (3 / 4)",
        "0,0\N{NO-BREAK SPACE}% (0 / 1\N{NO-BREAK SPACE}000)",
    ]
    assert lines["Fugueurs"] == ["4", "1\N{NO-BREAK SPACE}000"]
    assert lines["Disparitions inquiétantes"][1] == "\N{EN DASH}"


def test_a_narrow_terminal_shows_every_name_and_number():
    """80 columns and three years: what does not fit goes onto the next line, and nothing is lost."""
    earlier = {"new_cases": {"international_parental_abduction": 1, "total": 1}, "details": DETAILS}
    whole = report(2021, 4, 3) | {"details": DETAILS, "beside": {"2020": earlier, "2019": earlier}}
    made = document(whole, Language.NL, datetime(2022, 1, 1, tzinfo=UTC))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(annual_table(made))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "Weglopers" in text
    assert "kinderontvoering" in text
    assert "…" not in text
    assert text.count("36.515.902") == 3
