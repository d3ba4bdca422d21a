"""Lists and reports over HTTP. Nothing here holds an identity."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from schemas.vocabulary import Language
from services.kernel.auth import require
from services.kernel.clock import Clock, SystemClock
from services.kernel.http import Moment
from services.kernel.postgres import Pool
from services.kernel.principals import EVERYONE_INSIDE, READERS, STAFF, Principal
from services.kernel.problems import InvalidError
from services.kernel.settings import Settings
from services.kernel.site.languages import language_of
from services.projections import disclosure, opening, reports
from services.projections.figures import PROVINCES
from services.projections.models import case_list
from services.projections.printed import formats

Province = Annotated[str, Query(pattern=f"^({'|'.join(PROVINCES)})$")]
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@dataclass(frozen=True, slots=True)
class ProjectionsDeps:
    """What the routes need."""

    pool: Pool
    settings: Settings
    clock: Clock = field(default_factory=SystemClock)


def router(deps: ProjectionsDeps) -> APIRouter:
    """The routes of this service."""
    routes = APIRouter(dependencies=[Depends(require(*EVERYONE_INSIDE))])

    @routes.get("/v1/cases", summary="List cases", tags=["cases"])
    async def cases(
        worrying: bool | None = None,
        open: bool | None = None,  # noqa: A002 - the name of the query parameter
        q: Annotated[str | None, Query(min_length=1, max_length=100, pattern=r"^[^\x00]+$")] = None,
        cursor: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> dict[str, Any]:
        """Cases, the last opened first. `q` finds part of a case number, or the beginning of a postcode."""
        wanted = case_list.Filter(worrying, open, q)
        return await case_list.page_of(deps.pool, wanted, cursor, limit)

    @routes.get("/v1/reports/annual/{year}", summary="The annual report", tags=["reports"])
    async def annual(
        *,
        request: Request,
        year: int,
        caller: Annotated[Principal, Depends(require(*EVERYONE_INSIDE))],
        as_of: Moment | None = None,
        format: Literal["json", "csv", "xlsx", "html", "pdf"] = "json",  # noqa: A002 - the name of the query parameter
        language: Language | None = None,
        beside: Annotated[int, Query(ge=0, le=10)] = 2,
        province: Province | None = None,
    ) -> Response:
        """The figures of a year, with those of earlier years `beside` it; with `as_of`, as they were known then.

        `province`: of the cases there alone (REFNIS code; 04000 is Brussels). A viewer then sees no number below 5, and others
        rounded to multiples of 5.
        html and pdf are for people, in `language`, else in the one the caller's browser likes best.
        """
        _check(deps, year, as_of)
        report = await reports.annual(
            deps.pool, deps.settings.zone, year, as_of, beside=beside, province=province
        )
        if province is not None and caller.role not in READERS:
            report = disclosure.for_viewers(report)
        if format in ("html", "pdf"):
            chosen = language or Language(language_of(request))
            moment = deps.clock.now().astimezone(deps.settings.zone)
            return await formats.answer(report, format, chosen, moment)
        return _answer(report, format)

    @routes.get(
        "/v1/reports/annual/{year}/cases",
        summary="The cases behind a figure",
        tags=["reports"],
        dependencies=[Depends(require(*STAFF))],
    )
    async def cases_behind(
        *,
        year: int,
        figure: Annotated[str, Query(min_length=1, max_length=100, pattern=r"^[^\x00]+$")],
        part: Literal["numerator", "denominator"] = "numerator",
        as_of: Moment | None = None,
        province: Province | None = None,
        cursor: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]+$")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 500,
    ) -> dict[str, Any]:
        """Which cases make a figure, named as in the report; `_share` may be left off. Not for viewers."""
        _check(deps, year, as_of)
        what = opening.opened(figure, denominator=part == "denominator")
        zone = deps.settings.zone
        found = await opening.cases_behind(
            deps.pool, zone, year, what, as_of=as_of, province=province, after=cursor, limit=limit
        )
        return {"year": year, "figure": figure, "part": part} | found

    return routes


def _check(deps: ProjectionsDeps, year: int, as_of: datetime | None) -> None:
    now = deps.clock.now()
    this_year = now.astimezone(deps.settings.zone).year
    if not reports.FIRST_YEAR <= year <= this_year:
        raise InvalidError("year", f"ask for a year from {reports.FIRST_YEAR} to {this_year}")
    if as_of is not None and as_of.year < reports.FIRST_YEAR:
        raise InvalidError("as_of", f"ask for a moment since {reports.FIRST_YEAR}, or leave as_of out")
    if as_of is not None and as_of > now:
        raise InvalidError(
            "as_of", "as_of lies in the future; ask for a moment that has been, or leave it out"
        )


def _answer(report: reports.Report, form: str) -> Response:
    name = {"content-disposition": f'attachment; filename="annual-{report["year"]}.{form}"'}
    if form == "csv":
        return Response(reports.as_csv(report), headers=name, media_type="text/csv; charset=utf-8")
    if form == "xlsx":
        from services.projections import spreadsheet  # noqa: PLC0415 - large, and seldom asked for

        return Response(spreadsheet.as_xlsx(report), headers=name, media_type=XLSX)
    return JSONResponse(report)
