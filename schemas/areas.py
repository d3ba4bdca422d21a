"""Areas in bodies: by code, or drawn."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from schemas.base import ShortText, Strict


class Drawn(Strict):
    """A GeoJSON geometry (RFC 7946): it selects the judicial arrondissements that it meets.

    Positions are `[longitude, latitude]`; at most 2,000 of them. The arrondissements are kept, the drawing is not.
    """

    type: Literal["Polygon", "MultiPolygon"]
    coordinates: Annotated[list[Any], Field(min_length=1, max_length=2000)]


def _form(value: Any) -> str:
    return "code" if isinstance(value, str) else "drawn"


Area = Annotated[
    Annotated[ShortText, Tag("code")] | Annotated[Drawn, Tag("drawn")],
    Discriminator(_form),
]
"""REFNIS code, `postal:3000`, `province:20001`, `region:02000`, `arrondissement:leuven`, `BE`; or drawn."""
Areas = Annotated[list[Area], Field(min_length=1, max_length=600)]
