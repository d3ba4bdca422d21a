"""Public figures over HTTP: no token, no identity, the same for everybody for three months."""

import asyncio
import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from services.kernel.auth import anybody_in_measure
from services.kernel.conditional import entity_tag, is_known, not_modified
from services.kernel.problems import InvalidError
from services.projections.api import ProjectionsDeps
from services.projections.statistics import dictionary
from services.projections.statistics.counting import counts_of
from services.projections.statistics.periods import Quarter, published
from services.projections.statistics.publication import Line, lines

KEPT = timedelta(hours=1)
"""How long an answer is kept here and by others: what is published changes four times a year."""
_FIRST = "select min(time) from projections.annual_lifecycle where what = 'opened'"
_ADDRESS = "/v1/statistics"
_TABLES = tuple(table["table"] for table in dictionary.tables())
Table = Annotated[str, Query(pattern=f"^({'|'.join(_TABLES)})$")]
Form = Literal["csv", "json"]


@dataclass(slots=True)
class Publication:
    """What is published, counted once an hour however many ask: nobody's questions become work for the database."""

    deps: ProjectionsDeps
    quarters: list[Quarter] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    _until: datetime | None = None
    _counting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def current(self) -> list[Line]:
        """All lines that are published now."""
        async with self._counting:
            now = self.deps.clock.now()
            if self._until is None or now >= self._until:
                await self._count(now)
                self._until = now + KEPT
        return self.lines

    async def _count(self, now: datetime) -> None:
        zone = self.deps.settings.zone
        async with (
            self.deps.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            first = await connection.fetchval(_FIRST)
            self.quarters = published(first, now, zone) if first else []
            self.lines = lines({one: await counts_of(connection, one, zone) for one in self.quarters})


def router(deps: ProjectionsDeps) -> APIRouter:
    """The routes that anybody may read."""
    routes = APIRouter(tags=["statistics"], dependencies=[Depends(anybody_in_measure)])
    publication = Publication(deps)

    @routes.get(_ADDRESS, summary="Public figures", response_class=Response)
    async def statistics(
        request: Request,
        format: Form = "csv",  # noqa: A002 - the name of the query parameter
        year: int | None = None,
        table: Table | None = None,
    ) -> Response:
        """Figures by year, and new cases by quarter and month, for everybody. CC BY 4.0.

        A quarter appears three months after its end and is not changed any more; a year when its last quarter does.
        Numbers from 1 to 4, and what would give them away, are withheld. What tables and columns mean is in
        `/v1/statistics/dictionary`.
        """
        every = await publication.current()
        years = sorted({quarter.year for quarter in publication.quarters})
        if year is not None and year not in years:
            advice = (
                f"ask for a year from {years[0]} to {years[-1]}"
                if years
                else "nothing is published yet: ask again later"
            )
            raise InvalidError("year", advice)
        shown = [
            line
            for line in every
            if (year is None or line.period.startswith(f"{year:04}")) and table in (None, line.table)
        ]
        if format == "json":
            return _answer(request, "json", orjson.dumps(_document(deps, publication.quarters, shown)))
        return _answer(request, "csv", _csv(dictionary.COLUMNS, map(_row, shown)))

    @routes.get(f"{_ADDRESS}/dictionary", summary="What the public figures mean", response_class=Response)
    async def meaning(
        request: Request,
        format: Form = "json",  # noqa: A002 - the name of the query parameter
    ) -> Response:
        """The data dictionary: columns, tables, categories and units, in nl, fr, de and en; source and licence."""
        if format == "json":
            document = dictionary.document(deps.settings.cap_sender_name)
            return _answer(request, "json", orjson.dumps(document), "dictionary")
        return _answer(request, "csv", _csv(dictionary.ENTRY_COLUMNS, dictionary.entries()), "dictionary")

    return routes


def _row(line: Line) -> Sequence[Any]:
    status = "withheld" if line.value is None else "shown"
    return line.period, line.table, line.category, "" if line.value is None else line.value, status


def _document(deps: ProjectionsDeps, quarters: Iterable[Quarter], shown: Iterable[Line]) -> dict[str, Any]:
    zone = deps.settings.zone
    return {
        "source": deps.settings.cap_sender_name,
        "licence": dictionary.LICENCE,
        "dictionary": f"{_ADDRESS}/dictionary",
        "known_at": {str(quarter): quarter.known_at(zone).isoformat() for quarter in quarters},
        "figures": [asdict(line) | {"status": _row(line)[-1]} for line in shown],
    }


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def _answer(request: Request, form: Form, body: bytes, name: str = "figures") -> Response:
    tag = entity_tag(form, body)
    headers = {
        "ETag": tag,
        "Cache-Control": f"public, max-age={int(KEPT.total_seconds())}",
        "Access-Control-Allow-Origin": "*",
        "Link": f'<{dictionary.LICENCE["url"]}>; rel="license", <{_ADDRESS}/dictionary>; rel="describedby"',
    }
    if is_known(request, tag):
        return not_modified(headers)
    headers["Content-Disposition"] = f'inline; filename="missing-children-{name}.{form}"'
    media_type = "application/json" if form == "json" else "text/csv; charset=utf-8; header=present"
    return Response(body, headers=headers, media_type=media_type)
