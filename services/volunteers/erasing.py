"""The part of volunteers in an erasure: where people met and searched, which leads to where a child was."""

from collections.abc import Mapping

from services.kernel.erasure import Job
from services.kernel.postgres import queries
from services.kernel.vault import key_name
from services.volunteers import photos
from services.volunteers.desk import VolunteerDeps

PART = "volunteers"

_SQL = queries("services.volunteers", "callouts.sql")


async def erase(deps: VolunteerDeps, job: Job) -> Mapping[str, int] | None:
    """Destroys the keys of all call-outs for these cases. None while people are out: they need the place they go to."""
    rows = await deps.pool.fetch(_SQL["of_cases"], list(job.cases))
    over = [row["callout_id"] for row in rows if row["over"]]
    await deps.vault.destroy([key_name("callout", callout_id) for callout_id in over])
    await photos.forget(deps.pool, over)
    return {"callouts": len(rows)} if all(row["over"] for row in rows) else None
