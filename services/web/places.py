"""Places as the pages show them: names in every language, and the outline of the country."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import cos, hypot, radians
from typing import NamedTuple

from services.geography import AreaError
from services.geography.names import name_of
from services.geography.outlines import Ring, outline, slugs
from services.kernel.site import LANGUAGES

WIDTH = 1000
"""Of the map, in its own units."""
_MIDDLE = radians(50.5)
_GRID = 24


class Point(NamedTuple):
    """A point of the map."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Shape:
    """A judicial arrondissement on the map: its name by language, its outline as an SVG path, and room for a label."""

    slug: str
    names: dict[str, str]
    path: str
    label: Point


@dataclass(frozen=True, slots=True)
class Map:
    """The country, to scale in its middle (equirectangular)."""

    width: int
    height: int
    shapes: tuple[Shape, ...]


@cache
def place_of(municipality: str | None) -> dict[str, str] | None:
    """The name of a municipality by language; None when it is not known."""
    if municipality is None:
        return None
    try:
        return {language: name_of(municipality, language) for language in LANGUAGES}
    except AreaError:
        return None


@cache
def belgium() -> Map:
    """The map of the country with its judicial arrondissements."""
    rings = {slug: outline(slug) for slug in slugs()}
    points = [point for shape in rings.values() for ring in shape for point in ring]
    west, east = min(lon for _, lon in points), max(lon for _, lon in points)
    south, north = min(lat for lat, _ in points), max(lat for lat, _ in points)
    scale = WIDTH / ((east - west) * cos(_MIDDLE))

    def put(ring: Ring) -> list[Point]:
        return [
            Point(round((lon - west) * cos(_MIDDLE) * scale, 1), round((north - lat) * scale, 1))
            for lat, lon in ring
        ]

    shapes = tuple(_shape(slug, [put(ring) for ring in parts]) for slug, parts in rings.items())
    return Map(WIDTH, round((north - south) * scale), shapes)


def _shape(slug: str, rings: list[list[Point]]) -> Shape:
    path = "".join("M" + "L".join(f"{p.x:g} {p.y:g}" for p in ring[:-1]) + "Z" for ring in rings)
    names = {language: name_of(f"arrondissement:{slug}", language) for language in LANGUAGES}
    return Shape(slug, names, path, _roomiest(max(rings, key=_extent)))


def _extent(ring: list[Point]) -> float:
    return abs(sum(a.x * b.y - b.x * a.y for a, b in pairwise(ring)))


def _roomiest(ring: list[Point]) -> Point:
    """The point of a grid inside the ring that is farthest from its border: a label fits there best."""
    xs, ys = [p.x for p in ring], [p.y for p in ring]
    grid = [
        Point(
            min(xs) + (max(xs) - min(xs)) * (column + 0.5) / _GRID,
            min(ys) + (max(ys) - min(ys)) * (row + 0.5) / _GRID,
        )
        for row in range(_GRID)
        for column in range(_GRID)
    ]
    inside = [point for point in grid if _holds(ring, point)]
    best = max(inside, key=lambda point: min(hypot(p.x - point.x, p.y - point.y) for p in ring))
    return Point(round(best.x), round(best.y))


def _holds(ring: list[Point], point: Point) -> bool:
    """Whether a point is inside (even-odd rule)."""
    crossings = 0
    for a, b in pairwise(ring):
        if (a.y > point.y) != (b.y > point.y):
            crossings += point.x < a.x + (point.y - a.y) * (b.x - a.x) / (b.y - a.y)
    return crossings % 2 == 1
