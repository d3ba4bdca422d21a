"""About where a municipality is, for distances between people and places. `centering` made the numbers."""

import json
from functools import cache
from importlib import resources

FILE = "centers.json"


@cache
def _kept() -> dict[str, tuple[float, float]]:
    kept = json.loads(resources.files("services.geography").joinpath(FILE).read_text("utf-8"))
    return {code: (lat, lon) for code, (lat, lon) in kept.items()}


def center_of(municipality: str) -> tuple[float, float] | None:
    """Latitude and longitude in degrees (WGS 84); None for an unknown municipality."""
    return _kept().get(municipality)
