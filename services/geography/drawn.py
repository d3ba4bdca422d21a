"""Areas by code, and areas that were drawn: those become the judicial arrondissements that they meet.

Polygons and their library are loaded when the first area is drawn: most processes never need their 30 MB.
"""

import asyncio
from collections.abc import Iterable

from schemas.areas import Drawn
from services.geography.areas import municipalities
from services.geography.errors import AreaError


def resolved(areas: Iterable[str | Drawn]) -> list[str]:
    """The areas by code, each once; a drawn one becomes the arrondissements that it meets.

    Raises AreaError, whose `index` is the place of what is wrong.
    """
    found: list[str] = []
    for index, area in enumerate(areas):
        try:
            found += _codes(area)
        except AreaError as error:
            error.index = index
            raise
    return list(dict.fromkeys(found))


def _codes(area: str | Drawn) -> list[str]:
    if isinstance(area, Drawn):
        from services.geography.polygons import met  # noqa: PLC0415 - see above

        return [f"arrondissement:{slug}" for slug in met(area)]
    municipalities(area)
    return [area]


async def ready(areas: Iterable[str | Drawn]) -> None:
    """Loads the boundaries beside the event loop when one of these areas needs them: that takes a second, once."""
    if any(isinstance(area, Drawn) for area in areas):
        await asyncio.to_thread(_load)


def _load() -> None:
    from services.geography.polygons import boundaries  # noqa: PLC0415 - see above

    boundaries()
