"""The table of rules points at tests that exist."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
TABLE = TESTS.parent / "docs" / "rules.md"


def existing() -> set[str]:
    names = set()
    for file in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names.add(node.name)
            elif isinstance(node, ast.Assign):
                names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def test_every_rule_names_tests_that_exist():
    """Each row of docs/rules.md names at least one test, and every name is that of a test."""
    rows = [line.split("|") for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    rules = {row[1].strip(): re.findall(r"`(\w+)`", row[2]) for row in rows if row[1].strip() != "rule"}
    assert len(rules) > 40
    assert not [rule for rule, tests in rules.items() if not tests]
    named = {name for tests in rules.values() for name in tests}
    assert all(name.startswith(("test_", "Test")) for name in named)
    assert named - existing() == set()
