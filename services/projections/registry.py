"""Every projection there is: whatever stands in the folder `models`, one module each."""

import re
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from services.projections import models
from services.projections.projection import Projection

_TAKEN = frozenset({"version", "checkpoint", "seen", "unknown", "stopped"})
"""Tables of the engine."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def projections_in(package: ModuleType) -> tuple[Projection, ...]:
    """The `PROJECTION` of each module in a package, by name. Raises ValueError when two share a name or one is no name."""
    found: dict[str, Projection] = {}
    for module in iter_modules(package.__path__):
        projection: Projection = import_module(f"{package.__name__}.{module.name}").PROJECTION
        name = projection.name
        if not _NAME.fullmatch(name) or name in found or name in _TAKEN:
            raise ValueError(
                f"projection {name!r}: give it a name of its own, in small letters, digits and _"
            )
        found[name] = projection
    return tuple(found[name] for name in sorted(found))


PROJECTIONS = projections_in(models)
