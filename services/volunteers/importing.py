"""Many volunteers at once: each line in a transaction of its own, so that a bad one keeps nobody out."""

from typing import Any

from schemas.commands import ChangeVolunteer
from services.kernel.postgres import in_transaction
from services.kernel.problems import Problem
from services.volunteers import roster
from services.volunteers.desk import Ask, VolunteerDeps
from services.volunteers.domain.people import document
from services.volunteers.import_file import Line, lines

Report = dict[str, Any]


async def import_file(deps: VolunteerDeps, ask: Ask, content: bytes) -> Report:
    """Registers who is new and changes who is known; says of every line what became of it, without its values.

    Doing it again changes nothing. Raises ImportFileError when the file as a whole cannot be read.
    """
    found = [await _one(deps, ask, line) for line in list(lines(content))]
    counts = {
        outcome: sum(one["outcome"] == outcome for one in found)
        for outcome in ("registered", "changed", "unchanged", "refused")
    }
    return {**counts, "lines": found}


async def _one(deps: VolunteerDeps, ask: Ask, line: Line) -> Report:
    if line.profile is None:
        return {"line": line.number, "outcome": "refused", "errors": list(line.errors)}
    try:
        return {"line": line.number, **await _kept(deps, ask, line)}
    except Problem as problem:
        wrong = problem.extra.get("errors") or [
            {"field": "line", "rule": problem.rule, "detail": problem.detail}
        ]
        return {"line": line.number, "outcome": "refused", "errors": wrong}


async def _kept(deps: VolunteerDeps, ask: Ask, line: Line) -> Report:
    profile = line.profile
    assert profile is not None  # noqa: S101 - refused lines do not come here
    known = await roster.known(deps, deps.pool, profile)
    if known is None:
        made = await in_transaction(deps.pool, lambda c: roster.register(deps, ask, c, profile))
        return {"outcome": "registered", "volunteer_id": str(made)}
    # Consent is given by people: a file may take it back, but never gives it to somebody who took it back.
    before = await roster.one(deps, known)
    wish = document(profile)
    del wish["exercise"]
    wish["consent"] = profile.consent and before.profile.consent
    change = ChangeVolunteer.model_validate(wish)
    after = await in_transaction(deps.pool, lambda c: roster.change(deps, ask, c, known, change))
    outcome = "unchanged" if after.profile == before.profile else "changed"
    return {"outcome": outcome, "volunteer_id": str(known)}
