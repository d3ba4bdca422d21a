"""The table of promises about deliveries names tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split(" | ", 1))
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| promise")
]


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
    assert {row[0][0] for row in ROWS if row[0][0].isdigit()} == set("123456")
