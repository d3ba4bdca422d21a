"""What a report says around its figures, and what each figure is called, in nl, fr, de and en."""

from typing import Any

from schemas.vocabulary import Language
from services.geography.provinces import province_name
from services.kernel.site.languages import words_of
from services.projections.printed.numbers import Numbers

PACKAGE = "services.projections.printed"
_OF_KINDS = ("new_cases", "handled", "median_hours_to_outcome")
_KEYED = {
    "worrying_by_criterion": "criterion",
    "campaigns": "campaign",
    "outcomes": "outcome",
    "time_to_public": "time",
    "time_to_dark": "time",
} | dict.fromkeys(_OF_KINDS, "kind")
"""How the keys of a section are named: `outcomes.returned` is `outcome.returned`."""
_COUNTRIES = ("countries", "nationalities", "nationalities_share")


class Words:
    """The texts of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.numbers = Numbers(language)
        self._texts = words_of((PACKAGE,))[language]

    def say(self, key: str, **filled: Any) -> str:
        """A text with its places filled in. Raises KeyError when there is no such text."""
        return self._texts[key].format(**filled)

    def keys(self, beginning: str) -> list[str]:
        """The keys that begin like that, in the order in which they are written."""
        return [key for key in self._texts if key.startswith(beginning)]

    def label(self, figure: str) -> str:
        """What a figure is called, by its name in the report, with names in the place of codes."""
        name = self._name(figure)
        return name[0].upper() + name[1:]

    def _name(self, figure: str) -> str:
        section, _, rest = figure.partition(".")
        group, _, key = figure.rpartition(".")
        group = group.rpartition(".")[2]
        if section == "by_province" and rest != "unknown":
            return province_name(rest, self.language)
        if section == "by_month":
            return self.numbers.month(int(rest))
        if group in _COUNTRIES and key != "unknown":
            return self.numbers.country(key)
        if group == "regions_share" and key != "unknown":
            return self.say(f"region.{key}")
        if key in ("total", "unknown"):
            return self.say(key)
        return self.say(f"{_KEYED[section]}.{rest}" if section in _KEYED else figure)
