"""Assessments over HTTP, by any version of the rules. Nothing here holds an identity, and nothing has an effect."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Query

from services.criteria.errors import UnreadableHistoryError
from services.criteria.histories import history
from services.criteria.rulebook import Rulebook, RulesError, rulebook_of
from services.criteria.views import assessment_view
from services.kernel.auth import require
from services.kernel.clock import Clock, SystemClock
from services.kernel.http import Moment
from services.kernel.postgres import Pool
from services.kernel.principals import EVERYONE_INSIDE
from services.kernel.problems import ConflictError, InvalidError, NotFoundError, UnavailableError
from services.kernel.settings import Settings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CriteriaDeps:
    """What the routes need. `rulebook` None: the rules of this installation are wrong."""

    pool: Pool
    rulebook: Rulebook | None
    clock: Clock = field(default_factory=SystemClock)


def deps_of(pool: Pool, settings: Settings) -> CriteriaDeps:
    """What the routes need. Wrong rules stop the criteria service; here they only cost the calls that need them."""
    try:
        return CriteriaDeps(pool, rulebook_of(settings))
    except RulesError as error:
        log.exception("assessments cannot be looked at", exc_info=error)
        return CriteriaDeps(pool, None)


def router(deps: CriteriaDeps) -> APIRouter:
    """The routes of this service."""
    routes = APIRouter(dependencies=[Depends(require(*EVERYONE_INSIDE))])

    @routes.get("/v1/cases/{case_id}/assessment", summary="Why a case is worrying", tags=["cases"])
    async def assessment(
        case_id: str,
        rules: Annotated[
            str | None, Query(max_length=64, description="a version; by default the one that acts")
        ] = None,
        at: Annotated[Moment | None, Query(description="as known at this moment")] = None,
    ) -> dict[str, Any]:
        """The case by a version of the rules: findings with evidence, reasons, open questions ranked by what decides."""
        return await _assessment(deps, case_id, rules, at)

    return routes


async def _assessment(
    deps: CriteriaDeps, case_id: str, version: str | None, at: datetime | None
) -> dict[str, Any]:
    if deps.rulebook is None:
        raise UnavailableError(
            "rules", "the rules of this installation are wrong: mend them, see the log of criteria"
        )
    moment = at or deps.clock.now()
    acting = deps.rulebook.in_force(moment)
    try:
        rules = acting if version is None else deps.rulebook.version(version)
        case = UUID(case_id)
        events = await history(deps.pool, case, at)
    except RulesError as error:
        raise InvalidError("rules", str(error)) from error
    except UnreadableHistoryError as error:
        raise ConflictError("unreadable", str(error)) from error
    except ValueError as error:
        raise _no_case() from error
    view = assessment_view(case, events, rules, moment, acting=acting.version)
    if view is None:
        raise _no_case()
    return view


def _no_case() -> NotFoundError:
    return NotFoundError("no-such-case", "there is no case with this id: take it from the list of cases")
