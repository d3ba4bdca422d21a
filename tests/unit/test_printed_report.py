"""The printed report as a page: it says what the figures say, in four languages, and to those who do not see it."""

import re
from itertools import pairwise

import pytest
from lxml import etree
from printed_ground import MOMENT, SPACE, Reader, read, report

from schemas.vocabulary import CaseKind, Criterion, Language, Outcome
from services.projections.figures import COUNTS, QUOTIENTS
from services.projections.printed import charts
from services.projections.printed.belgium import steps
from services.projections.printed.builder import document
from services.projections.printed.document import Cell, Row
from services.projections.printed.drawing import DARK_STEPS, INK, PAPER, QUIET, STEPS, YEARS
from services.projections.printed.page import content_security_policy, page
from services.projections.printed.words import Words
from services.projections.reports import rows


def shown_equal(name: str, figure, text: str, language: Language) -> bool:
    value, numerator, denominator = figure
    shown, above, below = read(text, language)
    if denominator is None:
        return shown == value and above is None
    assert (f"{SPACE}%" in text) == ("_share" in name)
    wanted = value * 100 if "_share" in name else round(value)
    return shown == pytest.approx(wanted, abs=0.051) and (above, below) == (numerator, denominator)


@pytest.mark.parametrize("language", Language)
def test_every_figure_of_every_year_is_on_the_page_and_is_the_same(language):
    """Each is in one cell, written as the language writes numbers; nothing is there that the report does not have."""
    whole = report()
    cells = Reader(page(document(whole, language, MOMENT))).cells
    wanted = {}
    for name, *figure in rows(whole):
        beside = re.match(r"beside\.(\d{4})\.(.*)", name)
        wanted[(beside[2], beside[1]) if beside else (name, "2021")] = figure
    assert cells.keys() == wanted.keys()
    assert {name for name, _ in cells} >= COUNTS.keys() | QUOTIENTS.keys()
    for place, figure in wanted.items():
        assert shown_equal(place[0], figure, cells[place], language), (place, figure, cells[place])


@pytest.mark.parametrize("language", Language)
def test_every_figure_has_a_name_of_its_own_language_and_none_is_a_code(language):
    """In each table names differ; neither REFNIS nor ISO codes nor names of keys are shown."""
    made = document(report(), language, MOMENT)
    for table in made.tables():
        labels = [row.label for row in table.rows]
        assert len(set(labels)) == len(labels), labels
        for label in labels:
            assert not re.search(r"_|\b\d{5}\b|^[A-Z]{2}$", label), label
    names = Words(language)
    assert names.label("by_province.04000") == {"nl": "Brussel", "fr": "Bruxelles", "de": "Brüssel"}.get(
        language, "Brussels"
    )
    country = names.label("details.unaccompanied_minor.nationalities_share.MA")
    assert country == {"nl": "Marokko", "fr": "Maroc", "de": "Marokko", "en": "Morocco"}[language]


def test_nothing_was_left_untranslated():
    """No two languages say the same, but for words that are the same in both; every text that is asked for is there."""
    same_in_two = {
        "campaign.child_alert",
        "details.reach_interactions",
        "outcome.accident",
        "region.africa",
        "region.america",
        "total",
    }
    texts = {language: Words(language) for language in Language}
    for key in texts[Language.EN].keys(""):
        said = [texts[language]._texts[key] for language in Language]
        assert all(said)
        if key not in same_in_two:
            assert len({one.lower() for one in said}) == len(Language), key
    for group, members in (("kind", CaseKind), ("criterion", Criterion), ("outcome", Outcome)):
        assert {f"{group}.{one.value}" for one in members} <= set(texts[Language.EN].keys(f"{group}."))


def test_a_text_without_one_language_is_refused(tmp_path, monkeypatch):
    """Whoever adds a text in three languages learns it at once."""
    from services.kernel.site.languages import WordsError, words_of

    folder = tmp_path / "halfsaid" / "words"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("")
    (folder / "a.toml").write_text('["x.y"]\nnl = "x"\nfr = "x"\nde = "x"\n')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WordsError, match=r"x\.y"):
        words_of(("halfsaid",))


def test_numbers_are_written_as_the_language_writes_them():
    """Groups, decimals, months, countries and days."""
    said = {
        language: (
            Words(language).numbers.count(36515902),
            Words(language).numbers.percent(0.7508),
            Words(language).numbers.moment(MOMENT),
        )
        for language in Language
    }
    assert said == {
        "nl": ("36.515.902", f"75,1{SPACE}%", "1 april 2022, 09:30"),
        "fr": (f"36{SPACE}515{SPACE}902", f"75,1{SPACE}%", "1 avril 2022, 09:30"),
        "de": ("36.515.902", f"75,1{SPACE}%", "1. April 2022, 09:30"),
        "en": ("36,515,902", f"75.1{SPACE}%", "1 April 2022, 09:30"),
    }


def test_key_figures_are_those_of_the_tables():
    """The first page rounds nothing and hides nothing."""
    found = Reader(page(document(report(), Language.NL, MOMENT)))
    assert len(found.keys) == 6
    for name, text in found.keys.items():
        assert text == found.cells[name, "2021"]


def test_the_page_needs_nothing_from_anywhere_and_runs_nothing():
    """No script, no address but those of its own parts, styles in the one block whose hash the policy names."""
    html = page(document(report(), Language.DE, MOMENT))
    found = Reader(html)
    assert not {"script", "link", "img", "iframe", "object", "form"} & {tag for tag, _ in found.tags}
    for _, attributes in found.tags:
        assert not {"style", "src", "onclick"} & attributes.keys()
        assert attributes.get("href", "#").startswith("#")
    outside = set(re.findall(r"https?://[^\"' <]+", html))
    assert outside == {"http://www.w3.org/2000/svg"}
    assert content_security_policy().startswith("default-src 'none'; style-src 'sha256-")


def test_headings_step_down_and_every_chart_is_said_in_words():
    """One h1, no level skipped; each drawing has the numbers of its table in its alternative text."""
    made = document(report(), Language.EN, MOMENT)
    found = Reader(page(made))
    levels = [int(tag[1]) for tag in found.headings]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    charts = [chart for section in made.sections for chart in section.charts]
    assert len(charts) >= 9
    spoken = [a["aria-label"] for _, a in found.tags if a.get("role") == "img"]
    assert spoken == [chart.alt for chart in charts]
    for section in made.sections:
        cells = {cell.text for table in section.tables for row in table.rows for cell in row.cells}
        for chart in section.charts:
            drawn = {one.text for one in etree.fromstring(chart.svg).iter("{http://www.w3.org/2000/svg}text")}
            numbers = {text for text in drawn if re.fullmatch(r"[\d,.]+(\s%)?", text)} - {"2021", "2020"}
            assert numbers
            assert numbers <= cells
            assert all(number in chart.alt for number in numbers)


def test_longer_bars_are_larger_numbers():
    """A chart that shows more for less, or half as much by a quarter, would lie."""
    numbers = (200, 100, 50, 10)
    rows = [Row(f"outcomes.{n}", str(n), (Cell(str(n), value=n),)) for n in numbers]
    for svg, along in (
        (charts.bars(rows, ("2021",)), "width"),
        (charts.columns(rows, ("2021",), [str(n) for n in numbers]), "height"),
    ):
        boxes = list(etree.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect"))
        sizes = [float(box.get(along)) for box in boxes if float(box.get(along)) != 12]  # the legend's
        assert [size / sizes[0] for size in sizes] == pytest.approx([1, 0.5, 0.25, 0.05], abs=0.005)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Of WCAG 2, 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_letters_stand_out_and_colours_differ_by_lightness():
    """4.5 to 1 for what is read; years and steps go from dark to light, which no eye and no printer loses."""
    for step, colour in enumerate(STEPS):
        assert contrast(colour, INK if step < DARK_STEPS else PAPER) >= 4.5, colour
    assert min(contrast(INK, PAPER), contrast(QUIET, PAPER), contrast(YEARS[0], PAPER)) >= 7
    for ordered in (YEARS, tuple(reversed(STEPS))):
        lightness = [_luminance(colour) for colour in ordered]
        assert lightness == sorted(lightness)
        assert all(contrast(a, b) >= 1.3 for a, b in pairwise(ordered))


@pytest.mark.parametrize(("most", "ends"), [(0, 5), (3, 5), (5, 5), (209, 250), (1188, 2500), (26, 50)])
def test_the_scale_of_the_map_ends_at_the_largest_number(most, ends):
    """Steps are round, and the last one holds the largest."""
    assert steps(most)[-1] == ends


def test_notes_about_one_published_year_stand_in_that_year_alone():
    """What contradicted itself in the report of 2021 explains no other year."""

    def notes(year):
        made = document(report() | {"year": year, "beside": {}}, Language.EN, MOMENT)
        return " ".join(note for section in made.sections for note in section.notes)

    assert "572,617" in notes(2021)
    assert "572,617" not in notes(2022)
    assert "Child Focus" not in notes(2022)
    assert "add up to more than" in notes(2022)
