"""What is counted beside the cases."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from schemas.base import Instant, Strict


class CountCalls(Strict):
    """Calls to 116 000 since the last count."""

    count: Annotated[int, Field(ge=0, le=10_000_000)]
    at: Instant


class ReportReach(Strict):
    """Reach of posts about a case."""

    case_id: UUID
    people: Annotated[int, Field(ge=0, le=10_000_000_000)]
    interactions: Annotated[int, Field(ge=0, le=10_000_000_000)]
    at: Instant
