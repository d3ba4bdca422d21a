"""What an operations room sees of assessments."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import orjson

from services.kernel.postgres import Pool, queries

_SQL = queries("services.criteria")


@dataclass(frozen=True, slots=True)
class Standing:
    """An assessment in short. `reasons` as in the API; `overdue` and `questions` are counts."""

    reasons: tuple[str, ...]
    overdue: int
    questions: int


async def standing(pool: Pool, case_ids: Collection[UUID]) -> dict[UUID, Standing]:
    """The assessments that stand of these cases; those that were not assessed are missing."""
    rows = await pool.fetch(_SQL["judged"], list(case_ids))
    return {
        row["case_id"]: Standing(
            tuple(orjson.loads(row["reasons"] or "[]")), row["overdue"] or 0, row["questions"] or 0
        )
        for row in rows
    }
