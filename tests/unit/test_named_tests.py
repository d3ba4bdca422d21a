"""The tables of promises and of threats name tests that exist; what tests share has a name that is found."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("promises.md", "threats.md")
HEADS = ("| promise ", "| threat ", "| asset ", "|---")


def rows(page):
    """What each line of the page's tables says, and the tests it names."""
    lines = (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ", 1)]
        for line in lines
        if line.startswith("| ") and not line.startswith(HEADS)
    ]
    return [(said, named) for said, named in cells if "`tests/" in named or page == "promises.md"]


ROWS = [row for page in PAGES for row in rows(page)]


@cache
def names_in(path):
    """The names of the tests in a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_each_promise_names_tests_that_exist(row):
    """A test that is renamed or removed takes its promise along, or the table follows."""
    _, named = row
    tests = re.findall(r"`([^`]+)`", named)
    assert tests
    for test in tests:
        path, _, name = test.partition("::")
        assert name.startswith("test_")
        assert name in names_in(path), f"{test} does not exist: name the test that proves it now"


def test_all_six_promises_are_there():
    """None of the numbered promises is left out."""
    assert {said[0] for said, _ in rows("promises.md") if said[0].isdigit()} == set("123456")


def test_every_kind_of_attacker_is_there():
    """Those whom the design names: each has a line that begins with who it is."""
    bold = " ".join(said for said, _ in rows("threats.md") if said.startswith("**")).lower()
    for who in ("violent parent", "curious partner", "stolen laptop", "forged release", "denial of service"):
        assert who in bold


@pytest.mark.parametrize(
    "folder", sorted(p.parent for p in (ROOT / "tests").rglob("conftest.py")), ids=lambda f: f.name
)
def test_nobody_imports_a_conftest(folder):
    """There are several, and which one a name means depends on which was read first: helpers live in modules."""
    readers = [
        path.name
        for path in folder.rglob("*.py")
        if re.search(r"^\s*(from|import) conftest\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert readers == []


def test_every_module_of_tests_has_a_name_of_its_own():
    """The folders of tests are searched one after the other: the first of two modules of one name hides the other."""
    names = [p.name for p in (ROOT / "tests").rglob("*.py") if p.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))
