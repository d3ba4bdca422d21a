"""What provinces are called, in a word or two: on maps and in tables. The longer, official names are in `names`."""

from collections.abc import Mapping

_NAMES: Mapping[str, Mapping[str, str]] = {
    "10000": {"nl": "Antwerpen", "fr": "Anvers", "de": "Antwerpen", "en": "Antwerp"},
    "20001": {
        "nl": "Vlaams-Brabant",
        "fr": "Brabant flamand",
        "de": "Flämisch-Brabant",
        "en": "Flemish Brabant",
    },
    "20002": {
        "nl": "Waals-Brabant",
        "fr": "Brabant wallon",
        "de": "Wallonisch-Brabant",
        "en": "Walloon Brabant",
    },
    "30000": {
        "nl": "West-Vlaanderen",
        "fr": "Flandre occidentale",
        "de": "Westflandern",
        "en": "West Flanders",
    },
    "40000": {"nl": "Oost-Vlaanderen", "fr": "Flandre orientale", "de": "Ostflandern", "en": "East Flanders"},
    "50000": {"nl": "Henegouwen", "fr": "Hainaut", "de": "Hennegau", "en": "Hainaut"},
    "60000": {"nl": "Luik", "fr": "Liège", "de": "Lüttich", "en": "Liège"},
    "70000": {"nl": "Limburg", "fr": "Limbourg", "de": "Limburg", "en": "Limburg"},
    "80000": {"nl": "Luxemburg", "fr": "Luxembourg", "de": "Luxemburg", "en": "Luxembourg"},
    "90000": {"nl": "Namen", "fr": "Namur", "de": "Namur", "en": "Namur"},
    "04000": {"nl": "Brussel", "fr": "Bruxelles", "de": "Brüssel", "en": "Brussels"},
}


def province_name(code: str, language: str) -> str:
    """A province by its REFNIS code, or the region of Brussels (04000), in nl, fr, de or en.

    Raises KeyError when it is none of them.
    """
    return _NAMES[code][language]
