"""What is no area, and what to do about it."""

from services.kernel.errors import ZoeklichtError


class AreaError(ZoeklichtError):
    """An area means nothing. `rule` is a short stable name.

    AreaError
    ├── UnknownAreaError   a code
    └── DrawnAreaError     a polygon
    """

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule
        self.index = 0
        """Its place among the areas that were given."""


class UnknownAreaError(AreaError):
    """An area's code means nothing."""

    def __init__(self, code: str) -> None:
        super().__init__(
            "unknown-area",
            "an area is a municipality (24062), postal:3000, province:20001, region:02000, arrondissement:leuven, BE,"
            " or a GeoJSON Polygon or MultiPolygon; correct the one that is none of these",
        )
        self.code = code


class DrawnAreaError(AreaError):
    """A polygon is none, or lies elsewhere."""
