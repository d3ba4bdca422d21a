"""Outlines of the judicial arrondissements with few points, for messages. `simplify` made them."""

import json
from functools import cache
from importlib import resources

Ring = tuple[tuple[float, float], ...]
"""Latitudes and longitudes in degrees (WGS 84); the last point is the first again."""

FILE = "outlines.json"


@cache
def _kept() -> dict[str, tuple[Ring, ...]]:
    kept = json.loads(resources.files("services.geography").joinpath(FILE).read_text("utf-8"))
    return {
        slug: tuple(tuple((lat, lon) for lat, lon in ring) for ring in rings) for slug, rings in kept.items()
    }


def outline(arrondissement: str) -> tuple[Ring, ...]:
    """The parts of an arrondissement, by its slug; nothing for another word."""
    return _kept().get(arrondissement, ())
