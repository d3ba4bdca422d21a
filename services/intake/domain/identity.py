"""Who a child is: the sealed identity, and when two of them are the same person."""

import re
import unicodedata
from datetime import date

from schemas.commands import ChildChange, NewChild
from services.intake.domain.case import Identity

_WORD = re.compile(r"[^\W_]+")


def identity_of(child: NewChild) -> Identity:
    """What is sealed of a new child; absent where nothing was said."""
    told = {
        "given_name": child.given_name,
        "family_name": child.family_name,
        "date_of_birth": child.date_of_birth.isoformat() if child.date_of_birth else None,
        "description": child.description,
    }
    return {key: value for key, value in told.items() if value is not None}


def corrected(identity: Identity, change: ChildChange) -> Identity:
    """The identity after a correction; an estimated age replaces a birth date."""
    told = {
        "given_name": change.given_name,
        "family_name": change.family_name,
        "date_of_birth": change.date_of_birth.isoformat() if change.date_of_birth else None,
        "description": change.description,
    }
    kept = {k: v for k, v in identity.items() if not (k == "date_of_birth" and change.age_estimate)}
    return kept | {key: value for key, value in told.items() if value is not None}


def born(identity: Identity | None) -> date | None:
    """The birth date, when known."""
    text = (identity or {}).get("date_of_birth")
    return date.fromisoformat(text) if text else None


def plain(name: str) -> str:
    """A name without accents, case, and doubled blanks: how names are compared."""
    letters = unicodedata.normalize("NFKD", name)
    return " ".join("".join(c for c in letters if not unicodedata.combining(c)).casefold().split())


def as_words(text: str) -> str:
    """The plain words of a text between blanks, so that one text can be sought in another by whole words."""
    return f" {' '.join(_WORD.findall(plain(text)))} "


def identifying(identity: Identity | None) -> tuple[str, str, str] | None:
    """What tells a child apart: plain names and birth date; None unless all three are known."""
    known = identity or {}
    names = known.get("given_name"), known.get("family_name"), known.get("date_of_birth")
    if not all(names):
        return None
    return plain(str(names[0])), plain(str(names[1])), str(names[2])


def same_person(one: Identity | None, other: Identity | None) -> bool:
    """Whether two children of cases that a person called duplicates are one: equal names, no unequal birth date."""
    names = [
        (plain(str(who.get("given_name") or "")), plain(str(who.get("family_name") or "")))
        for who in (one or {}, other or {})
    ]
    births = {day for day in (born(one), born(other)) if day is not None}
    return names[0] == names[1] and all(names[0]) and len(births) <= 1
