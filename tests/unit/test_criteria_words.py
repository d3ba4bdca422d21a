"""What the commands of criteria say to people, in four languages."""

import string
import tomllib
from pathlib import Path

from schemas.vocabulary import CaseKind, Finding, Language

WORDS = tomllib.loads(Path("services/cli/rules.toml").read_text(encoding="utf-8"))


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_word_is_there_in_every_language():
    """With the same places to fill; nothing is left in English where another language is asked for."""
    for name, said in WORDS.items():
        assert set(said) == set(Language), name
        assert len({frozenset(places(text)) for text in said.values()}) == 1, name
    assert {*CaseKind, *Finding, "open", "closed", "override"} <= set(WORDS)
