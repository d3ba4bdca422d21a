"""Write docs/annual-report-2021.md: the report of the invented history whole, beside the published figures.

`make annual-report` plays it all: the history is written, imported and reported by the system's own commands, and what
came out is set here. With `--report FILE.json` a report that exists is set.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.vocabulary import Language
from services.projections.printed.words import Words

ENGLISH = Words(Language.EN)
DATA = Path(__file__).resolve().parent
TARGET = DATA.parents[1] / "docs" / "annual-report-2021.md"
YEARS = ("2021", "2020", "2019")
_A = "details.international_parental_abduction"
_M = "details.unaccompanied_minor"

# What the report says in words, or of other years, beside the figures of `annual_figures.json`.
IN_WORDS = {
    "2021": {
        "details.runaway.worrying_share": "nearly 1 in 5",
        f"{_A}.regions_share.european_union": "65 %",
        f"{_A}.regions_share.africa": "almost 20 %",
        f"{_A}.regions_share.asia": "10 %",
        f"{_A}.regions_share.america": "5 %",
        f"{_A}.towards_belgium_share": "8 %",
        f"{_A}.helped_share": "over 12 %",
        "details.undefined.closed_share": "over 80 %",
        f"{_M}.nationalities_share.MA": "almost 30 %",
        f"{_M}.nationalities_share.AF": "27 %",
        "details.reach_people_per_disappearance": "572,617",
        "details.reach_interactions_per_disappearance": "36,368",
    },
    "2020": {
        "details.runaway.girls_share": "2 in 3",
        f"{_A}.closed_share": "39 %",
        "details.reach_people_per_disappearance": "501,301",
        "details.reach_interactions_per_disappearance": "41,801",
    },
    "2019": {f"{_A}.closed_share": "32 %"},
}

TEXT = """# The annual report of 2021, recomputed

Child Focus published the figures of 2019 to 2021. An invented history (`tests/data/history.py`: every child, name and date
in it is made up) was written so that these figures follow from its facts; it was imported, and this is what the system
reports of it, whole, beside what was published. `make annual-report` writes this page; a test says when it is out of date.

Nothing here is stored as a figure: each is counted from events, as of any moment (`?as_of=`), and each can be opened
(`GET /v1/reports/annual/2021/cases?figure=…`). Shares and means show what was divided by what. Figures without a published
one beside them follow from the invention and say nothing about any year. What each figure means is in
`services/projections/figures.py`. Provinces go by their REFNIS codes in JSON and CSV, countries by those of ISO 3166-1; here, as in
all that is for people, their names stand beside them.

## As one prints it

`zoeklicht report annual 2021 --format pdf --language nl -o 2021.pdf`, or `GET /v1/reports/annual/2021?format=html&language=nl`: the same
figures as a page and as a PDF that screen readers understand, in Dutch, French, German and English.

![The first page in a browser: key figures, contents](images/annual-report-page.png)

![Four pages of the PDF: cover, key figures, new cases by kind, the map by province](images/annual-report-print.png)

## Where the published report contradicts itself

- **Reach.** The published means per disappearance, 572,617 people and 36,368 interactions, cannot both belong to the published
  sums: 36,515,902 / 572,617 is 63.8 disappearances, and 2,408,284 / 36,368 is 66.2. No whole number gives either. The
  history reports reach for 64 disappearances, and the means below show that denominator. (In 2020 both published means hold.)
- **An increase of "+5 %"** stands where the figures beside it give +2.1 %. Here no increase is printed without its two
  numbers: the earlier years stand in the same row.
- **26 % of abductions closed** is 73 of the 276 effective cases handled. Of all 370 cases it would be 20 %: preventive cases are in
  the number handled and not in the number closed.
- **222 worrying cases** leave no room for the age of abducted children. 74 undefined cases, 87 runaways under 13 and 7
  third-party abductions make 168, so 54 are worrying by another criterion; were `under_13` applied to the 139 new international
  abductions, most of them would be worrying. It is not: such cases are assessed without that criterion.
- **Mother 54 %, father 45 %** leave 1 %: both parents or somebody else.
- **Destinations** add up to 100 % only when the 8 % towards Belgium are part of the 65 % within the European Union.
- **Ages of runaways** count each child once, at its first case of the year; counted once per case they round to the same digits.

"""


def rows(place: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each figure by its dotted name; shares and means whole."""
    for name, figure in place.items():
        if isinstance(figure, dict) and figure.keys() != {"value", "numerator", "denominator"}:
            yield from rows(figure, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", figure


def published(year: str) -> dict[str, str]:
    """What was published of a year, by the names of figures."""
    golden = json.loads((DATA / "annual_figures.json").read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for section, years in golden.items():
        if section != "source" and year in years:
            place = years[year] if isinstance(years[year], dict) else {"": years[year]}
            found |= {f"{section}.{name}".rstrip("."): _number(value) for name, value in rows(place)}
    return found | IN_WORDS.get(year, {})


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1%}".replace(".0%", "%").replace("%", " %") if value <= 1 else f"{value:,.2f}"
    return f"{value:,}"


def cell(figure: Any) -> str:
    """A figure as one reads it: a share or a mean with what it is made of."""
    if figure is None:
        return ""
    if not isinstance(figure, dict):
        return f"{figure:,}"
    value, parts = figure["value"], f"{figure['numerator']:,} / {figure['denominator']:,}"
    if value is None:
        return f"none ({parts})"
    return f"{value:.1%} ({parts})".replace("%", " %") if value <= 1 else f"{value:,.0f} ({parts})"


def named(figure: str) -> str:
    """A figure's name in the report, and what its code stands for where it ends in one."""
    code = figure.rpartition(".")[2]
    coded = code.isupper() or (figure.startswith("by_province.") and code.isdigit())
    return f"{figure} ({ENGLISH.label(figure)})" if coded else figure


def document(report: dict[str, Any]) -> str:
    """The page. `report` is the JSON of the report of 2021 with two years beside it."""
    of_year = {"2021": report, **report["beside"]}
    sections = [name for name in report if name not in {"year", "beside", "as_of"}]
    columns = {year: dict(rows({name: of_year[year][name] for name in sections})) for year in YEARS}
    told = {year: published(year) for year in YEARS}
    names = dict.fromkeys(name for column in columns.values() for name in column)
    text = TEXT
    for section in sections:
        text += f"## {section}\n\n| figure | 2021 published | 2021 | 2020 published | 2020 | 2019 published | 2019 |\n"
        text += "|---|---:|---:|---:|---:|---:|---:|\n"
        for name in [name for name in names if name.partition(".")[0] == section]:
            cells = [c for year in YEARS for c in (told[year].get(name, ""), cell(columns[year].get(name)))]
            text += f"| {named(name)} | " + " | ".join(cells) + " |\n"
        text += "\n"
    return text.rstrip() + "\n"


def reported() -> dict[str, Any]:
    """Write the history, import it and report it, all by command, in a folder that goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="zoeklicht-report-") as folder:
        lines, data = Path(folder) / "history.ndjson", Path(folder) / "data"
        command = [sys.executable, "-m", "services.cli.main"]
        subprocess.run([sys.executable, DATA / "history.py", lines], check=True)
        subprocess.run([*command, "import", lines, "--data", data], check=True)
        asked = [*command, "report", "annual", "2021", "--format", "json", "--data", data]
        return json.loads(subprocess.run(asked, check=True, stdout=subprocess.PIPE).stdout)


def main() -> None:
    """Read the command line and write the page."""
    parser = argparse.ArgumentParser(description="Write docs/annual-report-2021.md.")
    parser.add_argument("--report", type=Path, help="set this report (JSON) instead of making one")
    given = parser.parse_args().report
    TARGET.write_text(document(json.loads(given.read_text()) if given else reported()), encoding="utf-8")
    sys.stdout.write(f"{TARGET} written\n")


if __name__ == "__main__":
    main()
