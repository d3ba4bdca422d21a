"""What operators read about a criterion, in their language."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

from schemas.vocabulary import Criterion, Language


@cache
def _texts() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    file = resources.files("services.criteria").joinpath("wording.toml")
    return tomllib.loads(file.read_text(encoding="utf-8"))


def name(criterion: Criterion, language: Language, age_limit: int) -> str:
    """The criterion in a few words. `age_limit` is in years, of the rules that are applied."""
    return _texts()[criterion]["name"][language].format(age_limit=age_limit)


def question(criterion: Criterion) -> dict[str, str]:
    """What to ask about it, by language."""
    return {language.value: _texts()[criterion]["question"][language] for language in Language}
