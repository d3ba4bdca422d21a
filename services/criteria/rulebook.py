"""Reads the rules, all versions of them, and says which one is in force."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path

from pydantic import ValidationError

from services.criteria.directive import Rules
from services.kernel.errors import ZoeklichtError
from services.kernel.settings import Settings


class RulesError(ZoeklichtError):
    """A file of rules is wrong; the message names the file and the key."""


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Every version of the rules, by the day from which it counts. `zone` is the calendar of those days.

    `pinned`: the version that acts whatever the day, the others only being there to be compared with.
    """

    versions: tuple[Rules, ...]
    zone: tzinfo = UTC
    pinned: Rules | None = None

    def in_force(self, moment: datetime) -> Rules:
        """The version that acts at a moment: the pinned one, or the newest in force; before the first one, the first."""
        if self.pinned is not None:
            return self.pinned
        day = moment.astimezone(self.zone).date()
        known = [rules for rules in self.versions if rules.in_force <= day]
        return known[-1] if known else self.versions[0]

    def version(self, name: str) -> Rules:
        """One version by its name. Raises RulesError when there is none."""
        for rules in self.versions:
            if rules.version == name:
                return rules
        known = ", ".join(rules.version for rules in self.versions)
        raise RulesError(f"there are no rules of that version: choose one of {known}")


def load_rulebook(folder: Path | None = None, zone: tzinfo = UTC) -> Rulebook:
    """The rules that ship with this service, and those of `folder` beside them.

    Raises RulesError, which names file and key, when a file is wrong, or two have the same version or day.
    """
    shipped = resources.files("services.criteria").joinpath("rules")
    if folder is not None and not folder.is_dir():
        raise RulesError(f"ZOEKLICHT_RULES: {folder} is not a folder: name a folder of rules in TOML")
    files = [*_tomls(shipped), *(_tomls(folder) if folder else ())]
    read = sorted(((_read(file), file.name) for file in files), key=lambda pair: pair[0].in_force)
    seen: dict[str, str] = {}
    for rules, name in read:
        if rules.version in seen:
            raise RulesError(f"{name}: version: {seen[rules.version]} has it too; give each file its own")
        seen[rules.version] = name
    for (one, first), (two, second) in pairwise(read):
        if one.in_force == two.in_force:
            raise RulesError(f"{second}: in_force: {first} has the same day; only one can be in force")
    return Rulebook(tuple(rules for rules, _ in read), zone)


def rulebook_of(settings: Settings) -> Rulebook:
    """The rules of an installation. Raises RulesError, also when the version that is to act is not there."""
    book = load_rulebook(settings.rules, settings.zone)
    if settings.rules_version is None:
        return book
    try:
        return replace(book, pinned=book.version(settings.rules_version))
    except RulesError as error:
        raise RulesError(f"ZOEKLICHT_RULES_VERSION: {error}") from None


def _tomls(folder: Traversable) -> Iterable[Traversable]:
    return sorted((f for f in folder.iterdir() if f.name.endswith(".toml")), key=lambda f: f.name)


def _read(file: Traversable) -> Rules:
    try:
        return Rules.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RulesError(f"{file.name} is not TOML: {error}") from None
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc'])) or 'rules'}: {e['msg']}" for e in error.errors()]
        raise RulesError(f"{file.name}: {'; '.join(wrong)}") from None
