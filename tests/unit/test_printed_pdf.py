"""The printed report as PDF: every figure as text, tagged for those who hear it, and no more than one may see."""

import ctypes

import pypdfium2
import pytest
from printed_ground import MOMENT, SPACE, Reader, report

from schemas.vocabulary import Language
from services.projections.disclosure import for_viewers
from services.projections.figures import BREAKDOWNS, COUNTS, PARTS
from services.projections.printed.builder import document
from services.projections.printed.page import page
from services.projections.printed.pdf import pdf
from services.projections.reports import _figures, _nested, quotient


def _text(printed: bytes) -> str:
    file = pypdfium2.PdfDocument(printed)
    try:
        # PDFium keeps text on both sides of a page break apart from the next page's.
        return "\n".join(page.get_textpage().get_text_range() for page in file)
    finally:
        file.close()


@pytest.mark.parametrize("language", Language)
def test_the_print_holds_every_figure_as_text(language):
    """What one may search, copy and have read aloud; and each table's caption and each heading."""
    made = document(report(), language, MOMENT)
    text = " ".join(_text(pdf(made, MOMENT)).replace(SPACE, " ").split())
    for table in made.tables():
        assert table.caption in text
        for row in table.rows:
            for cell in row.cells:
                assert cell.text.replace(SPACE, " ") in text, row.figure
                assert cell.parts.replace(SPACE, " ") in text, row.figure
    for section in made.sections:
        assert section.title in text


def test_the_print_is_tagged_for_those_who_hear_it():
    """PDF/UA-1: a structure of headings, tables and figures with words, a language, a title; the same bytes each time."""
    made = document(report(), Language.FR, MOMENT)
    printed = pdf(made, MOMENT)
    assert printed == pdf(made, MOMENT)
    assert b"pdfuaid:part" in printed
    file = pypdfium2.PdfDocument(printed)
    raw = pypdfium2.raw
    try:
        assert file.get_metadata_value("Title") == made.title
        assert raw.FPDFCatalog_IsTagged(file)
        kinds, spoken = set(), []
        for sheet in file:
            tree = raw.FPDF_StructTree_GetForPage(sheet)
            for index in range(raw.FPDF_StructTree_CountChildren(tree)):
                _walk(raw, raw.FPDF_StructTree_GetChildAtIndex(tree, index), kinds, spoken)
            raw.FPDF_StructTree_Close(tree)
    finally:
        file.close()
    assert {"H1", "H2", "Table", "TR", "TH", "TD", "Figure", "Caption", "L", "LI"} <= kinds
    assert set(spoken) >= {chart.alt for section in made.sections for chart in section.charts}


def _walk(raw, element, kinds, spoken):
    if not element:
        return
    kinds.add(_said(raw.FPDF_StructElement_GetType, element))
    if alt := _said(raw.FPDF_StructElement_GetAltText, element):
        spoken.append(alt)
    for index in range(raw.FPDF_StructElement_CountChildren(element)):
        _walk(raw, raw.FPDF_StructElement_GetChildAtIndex(element, index), kinds, spoken)


def _said(ask, element) -> str:
    size = ask(element, None, 0)
    buffer = ctypes.create_string_buffer(size)
    ask(element, buffer, size)
    return buffer.raw.decode("utf-16-le").rstrip("\0")


def test_what_a_viewer_may_not_see_is_on_no_page_and_in_no_print():
    """Of one province: small numbers are withheld in the table, the chart, its words, and the PDF; and it says why."""
    small = {"runaway": 4321, "undefined": 3, "third_party_abduction": 2, "total": 4326}
    secret = {
        "year": 2021,
        "province": "20001",
        "new_cases": small,
        "handled": small,
        "worrying": 1,
        "by_province": dict.fromkeys(BREAKDOWNS["by_province"].keys, 0) | {"20001": 4326},
        "details": {"runaway": {"girls_share": quotient(4319, 4321)}},
    }
    told = for_viewers(secret)
    made = document(told, Language.EN, MOMENT)
    html = page(made)
    cells = Reader(html).cells
    hidden = (
        "new_cases.undefined",
        "new_cases.third_party_abduction",
        "worrying",
        "details.runaway.girls_share",
    )
    assert all(cells[name, "2021"] == "withheld" for name in hidden)
    assert cells["new_cases.runaway", "2021"] == "4,320"
    for text in (html, _text(pdf(made, MOMENT))):
        assert "4319" not in text
        assert "4,319" not in text
        assert "Flemish Brabant only" in text
        assert "could tell of a single child" in text
        assert "rounded to multiples of 5" in text
        assert "4,321" not in text
    drawn = [chart.alt for section in made.sections for chart in section.charts]
    assert not any("Map of Belgium" in alt for alt in drawn)
    assert any("Undefined and other disappearances withheld" in alt for alt in drawn)
    staff = page(document(secret, Language.EN, MOMENT))
    assert "withheld" not in staff


def test_an_empty_year_is_a_report_too():
    """A new installation has nothing to draw: tables of zeros, no chart, no error."""
    nothing = _nested(_figures(dict.fromkeys(COUNTS | PARTS), {name: {} for name in BREAKDOWNS}))
    made = document({"year": 2021} | nothing, Language.NL, MOMENT)
    assert not [chart for section in made.sections for chart in section.charts]
    assert "geen" in page(made)
    assert pdf(made, MOMENT).startswith(b"%PDF")


def test_eleven_years_side_by_side_fit():
    """As many as one may ask for: each in its column; the charts show the newest three."""
    made = document(report(beside=10), Language.NL, MOMENT)
    assert len(made.years) == 11
    assert "2018" not in made.sections[0].charts[0].alt
    assert _text(pdf(made, MOMENT)).count("2011") > 5
