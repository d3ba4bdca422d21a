"""Three years of history, imported and reported: the published figures, recomputed from events."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).parents[1] / "data"
sys.path.insert(0, str(DATA))  # a folder of data is no package

from annual_document import TARGET, document  # noqa: E402 - it is found only now

GOLDEN = json.loads((DATA / "annual_figures.json").read_text())
COMMAND = [sys.executable, "-m", "services.cli.main"]


def zoeklicht(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments, "--data", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> tuple[Path, Path]:
    """A data folder into which the generated history was imported by the command, with nothing running before."""
    folder = tmp_path_factory.mktemp("history")
    lines = folder / "history.ndjson"
    subprocess.run([sys.executable, DATA / "history.py", lines], check=True)
    done = zoeklicht(folder / "data", "import", str(lines))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "data", lines


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("year", ["2019", "2020", "2021"])
def test_the_report_equals_the_published_figures(history, year):
    """New cases by kind, worrying cases and campaigns of each year are those of the annual report."""
    done = zoeklicht(history[0], "report", "annual", year, "--format", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["new_cases"] == GOLDEN["new_cases"][year]
    assert report["worrying"] == GOLDEN["worrying"][year]
    assert report["campaigns"] == GOLDEN["campaigns"][year]
    for kind, count in GOLDEN["handled"].get(year, {}).items():
        assert report["handled"][kind] == count


@pytest.mark.timeout(1200)
def test_the_page_about_2021_is_what_the_commands_report(history):
    """docs/annual-report-2021.md, whose figures are all compared with the published ones elsewhere, byte for byte."""
    done = zoeklicht(history[0], "report", "annual", "2021", "--format", "json")
    assert document(json.loads(done.stdout)) == TARGET.read_text(encoding="utf-8")


@pytest.mark.timeout(1200)
def test_a_second_import_changes_nothing(history):
    """The same file again: every line is known, the exit code is 0, the report is byte-equal."""
    before = zoeklicht(history[0], "report", "annual", "2021", "--format", "json").stdout
    done = zoeklicht(history[0], "import", str(history[1]))
    assert done.returncode == 0, done.stdout + done.stderr
    assert zoeklicht(history[0], "report", "annual", "2021", "--format", "json").stdout == before
    assert zoeklicht(history[0], "verify").returncode == 0


@pytest.mark.timeout(1200)
def test_bad_lines_are_named_every_time(history):
    """The sample holds two bad lines: exit code 1 with their numbers and reasons, without their values, also twice."""
    sample = DATA / "history_sample.ndjson"
    for _ in range(2):
        done = zoeklicht(history[0], "import", str(sample))
        assert done.returncode == 1
        text = done.stdout + done.stderr
        assert "line 12" in text
        assert "line 13" in text
        assert "Voorbeeld" not in text
        assert "line 1:" not in text
