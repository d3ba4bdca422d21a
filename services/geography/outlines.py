"""Outlines of judicial arrondissements and provinces with few points, for messages and maps. `simplify` made them."""

import json
from functools import cache
from importlib import resources

Ring = tuple[tuple[float, float], ...]
"""Latitudes and longitudes in degrees (WGS 84); the last point is the first again."""

ARRONDISSEMENTS = "outlines.json"
PROVINCES = "province_outlines.json"


@cache
def _kept(file: str) -> dict[str, tuple[Ring, ...]]:
    kept = json.loads(resources.files("services.geography").joinpath(file).read_text("utf-8"))
    return {
        name: tuple(tuple((lat, lon) for lat, lon in ring) for ring in rings) for name, rings in kept.items()
    }


def outline(arrondissement: str) -> tuple[Ring, ...]:
    """The parts of an arrondissement, by its slug; nothing for another word."""
    return _kept(ARRONDISSEMENTS).get(arrondissement, ())


def provinces() -> dict[str, tuple[Ring, ...]]:
    """The parts of each province, and of the region of Brussels (04000), by REFNIS code."""
    return _kept(PROVINCES)


def slugs() -> tuple[str, ...]:
    """Every arrondissement that has an outline."""
    return tuple(_kept(ARRONDISSEMENTS))
