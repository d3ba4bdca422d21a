"""One line of an NDJSON file that is imported."""

from typing import Any

from schemas.base import Instant, ShortText, Strict
from schemas.commands.cases import NewChild


class ImportChild(NewChild):
    """A child of the file; equal `ref`s are the same child."""

    ref: ShortText | None = None


class ImportLine(Strict):
    """One line; `data` is validated by the model of its `type`."""

    type: ShortText
    at: Instant
    data: dict[str, Any]
    ref: ShortText | None = None
    id: ShortText | None = None
