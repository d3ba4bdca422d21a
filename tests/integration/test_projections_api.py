"""Lists and reports over HTTP: who may, what comes, and what is refused."""

import asyncio
import base64
import csv
import io
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp
import pytest
import uvicorn
from fastapi import FastAPI
from openpyxl import load_workbook
from projections_ground import SEALED, History, brussels, project
from yarl import URL

from schemas import events as e
from services.kernel.http import harden
from services.kernel.principals import Role, issue_token
from services.projections.api import ProjectionsDeps, router

OUT_OF_TIME = base64.urlsafe_b64encode(
    b"0001-01-01T00:00:00+01:00|6f0c2a38-1f0e-5b1a-9a53-7c1f2f6a1160"
).decode()
REPORT = "/v1/reports/annual/2021"


class Clock:
    def now(self) -> datetime:
        return datetime(2022, 6, 1, tzinfo=UTC)


@dataclass
class Answer:
    status_code: int
    headers: Any
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Client:
    """Somebody who calls; without another token, a viewer."""

    base: str
    session: aiohttp.ClientSession
    token: str

    async def get(
        self, path: str, token: str | None = None, headers: dict[str, str] | None = None, **query: str
    ) -> Answer:
        given = self.token if token is None else token
        headers = (headers or {}) | ({"Authorization": f"Bearer {given}"} if given else {})
        address = URL(self.base + path, encoded=True).update_query(query)
        async with self.session.get(address, headers=headers) as answer:
            return Answer(answer.status, answer.headers, await answer.read())


@asynccontextmanager
async def served(pool, routes):
    """These routes on a free port, with the house's edge: their address, and somebody to call them with."""
    app = FastAPI()
    harden(app)
    app.state.auth_pool = pool
    app.include_router(routes)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as session:
        yield f"http://127.0.0.1:{port}", session
    server.should_exit = True
    await task


@pytest.fixture
async def client(settings, pool):
    token = await issue_token(pool, "vera", Role.VIEWER)
    async with served(pool, router(ProjectionsDeps(pool, settings, Clock()))) as (base, session):
        yield Client(base, session, token)


@pytest.fixture
async def cases(settings_with_kafka, pool):
    """Three cases: one open and worrying, one open, one closed; the first opened comes last."""
    history = History(pool)
    worrying = await history.case("2021-0001", brussels(2021, 2, 1))
    await history.assess(worrying, True)
    await history.case("2021-0002", brussels(2021, 2, 2), "undefined")
    closed = await history.case("2021-0013", brussels(2021, 2, 3))
    place = e.Place(postal_code="1000", municipality="21004")
    await history.fact(closed, e.DetailsCorrected(last_seen=place))
    await history.close(closed, brussels(2021, 2, 4))
    await project(settings_with_kafka)
    return history


async def numbers(client, query=""):
    answer = await client.get(f"/v1/cases{query}")
    assert answer.status_code == 200, answer.text
    return [item["case_number"] for item in answer.json()["items"]]


async def test_lists_filter_and_search(client, cases):
    """By worry and state, by part of the number, by the beginning of the postcode; nothing else is searched."""
    assert await numbers(client) == ["2021-0013", "2021-0002", "2021-0001"]
    assert await numbers(client, "?worrying=true") == ["2021-0001"]
    assert await numbers(client, "?open=false") == ["2021-0013"]
    assert await numbers(client, "?open=true&worrying=false") == ["2021-0002"]
    assert await numbers(client, "?q=001") == ["2021-0013", "2021-0001"]
    assert await numbers(client, "?q=1000") == ["2021-0013"]
    assert await numbers(client, "?q=000") == ["2021-0002", "2021-0001"]
    assert await numbers(client, "?q=%25") == []


async def test_a_case_in_a_list(client, cases):
    """The version is that of the case's own stream; there is no identity, and no child."""
    item = (await client.get("/v1/cases?q=0013")).json()["items"][0]
    item.pop("case_id")
    assert item == {
        "case_number": "2021-0013",
        "kind": "runaway",
        "state": "closed",
        "worrying": False,
        "version": 3,
        "opened_at": "2021-02-02T23:00:00Z",
        "postal_code": "1000",
        "municipality": "21004",
        "mode": "actual",
    }


async def test_the_list_follows_the_case(client, cases, settings_with_kafka, pool):
    """Reclassified, reopened, not worrying any more: each event changes what it says and leaves the rest."""
    case_id = (await client.get("/v1/cases?q=0013")).json()["items"][0]["case_id"]
    case = UUID(case_id)
    await cases.assess(case, True)
    await cases.fact(case, e.CaseReopened(reason=SEALED))
    await cases.fact(
        case,
        e.Reclassified(kind="undefined", details=e.UndefinedDetails(subject="young_child"), reason=SEALED),
    )
    await project(settings_with_kafka)
    item = (await client.get("/v1/cases?q=0013")).json()["items"][0]
    assert (item["state"], item["worrying"], item["kind"], item["version"]) == ("open", True, "undefined", 5)
    await cases.assess(case, False)
    await cases.fact(case, e.CaseMerged(case_id=case))
    await project(settings_with_kafka)
    item = (await client.get("/v1/cases?q=0013")).json()["items"][0]
    assert (item["state"], item["worrying"], item["postal_code"]) == ("closed", False, "1000")


async def test_pages_are_stable_while_cases_come_in(client, cases, settings_with_kafka):
    """A case opened between two pages is on neither's way: nothing is shown twice, nothing left out."""
    first = (await client.get("/v1/cases?limit=2")).json()
    await cases.case("2021-0099", brussels(2021, 3, 1))
    await project(settings_with_kafka)
    rest = (await client.get(f"/v1/cases?limit=2&cursor={first['next_cursor']}")).json()
    found = [item["case_number"] for item in first["items"] + rest["items"]]
    assert found == ["2021-0013", "2021-0002", "2021-0001"]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    "cursor", ["x", "8J-YgA", "MjAyMXx4", "é", "MjAyMS0wMS0wMVQwMDowMDowMHxh", OUT_OF_TIME]
)
async def test_a_cursor_that_is_not_ours_is_refused(client, cursor):
    """With a problem that says what to send, and does not repeat it."""
    answer = await client.get("/v1/cases", cursor=cursor)
    assert answer.status_code == 422
    assert answer.json()["rule"] == "cursor"


@pytest.mark.parametrize(
    "query",
    [
        "/v1/reports/annual/2023",
        "/v1/reports/annual/0",
        "/v1/reports/annual/99999999999999999999",
        "/v1/reports/annual/-1",
        "/v1/reports/annual/abcd",
        f"{REPORT}?as_of=2022-06-02T00:00:00Z",
        f"{REPORT}?as_of=2021-06-02T00:00:00",
        f"{REPORT}?as_of=yesterday",
        f"{REPORT}?as_of=0001-01-01T00:00:00%2B01:00",
        f"{REPORT}?as_of=9999-12-31T23:59:59-01:00",
        "/v1/cases?q=%00",
        f"{REPORT}?format=docx",
        f"{REPORT}?format=html&language=la",
        "/v1/cases?worrying=perhaps",
        "/v1/cases?limit=0",
    ],
)
async def test_what_makes_no_sense_is_refused(client, query):
    """Years and moments that have not been, times without offset, unknown formats: 422 and a problem."""
    answer = await client.get(query)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_only_people_inside_may_read(client, pool):
    """Nobody 401, a partner 403, every role of the house 200."""
    for path in ("/v1/cases", REPORT):
        assert (await client.get(path, "")).status_code == 401
        for role in Role:
            token = await issue_token(pool, "somebody", role)
            answer = await client.get(path, token)
            assert answer.status_code == (403 if role is Role.PARTNER else 200), role


async def test_the_report_in_three_formats(client, cases):
    """The same figures as JSON, CSV and a workbook; counts are numbers, shares show what they are made of."""
    report = (await client.get(REPORT)).json()
    assert report["year"] == 2021
    assert report["new_cases"]["total"] == 3
    assert report["worrying"] == 1
    share = report["details"]["runaway"]["girls_share"]
    assert share == {"value": 1.0, "numerator": 2, "denominator": 2}
    answer = await client.get(f"{REPORT}?format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    table = {row["figure"]: row for row in csv.DictReader(io.StringIO(answer.text))}
    assert answer.text.startswith("figure,value,numerator,denominator")
    assert table["new_cases.runaway"] == {
        "figure": "new_cases.runaway",
        "value": "2",
        "numerator": "",
        "denominator": "",
    }
    assert table["details.runaway.girls_share"]["numerator"] == "2"
    book = load_workbook(io.BytesIO((await client.get(f"{REPORT}?format=xlsx")).content))
    cells = {row[0]: row[1:] for row in book.active.iter_rows(values_only=True)}
    assert cells["new_cases.total"] == (3, None, None)
    assert cells["details.runaway.girls_share"] == (1, 2, 2)
    assert set(cells) - {"figure"} == set(table)


async def test_the_report_for_people(client, cases, pool):
    """A page and a print in the language asked for, else in the one the browser likes; shown, and never kept by it."""
    answer = await client.get(f"{REPORT}?format=html&language=de")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-language"] == "de"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert '<html lang="de">' in answer.text
    assert 'data-figure="new_cases.total" data-year="2021">3<' in answer.text
    assert "1. Juni 2022, 02:00" in answer.text, "counted by the clock of Brussels"
    liked = await client.get(f"{REPORT}?format=html", headers={"Accept-Language": "fr-BE,nl;q=0.5"})
    assert liked.headers["content-language"] == "fr"
    printed = await client.get(f"{REPORT}?format=pdf&language=nl")
    assert printed.headers["content-type"] == "application/pdf"
    assert printed.headers["content-disposition"] == 'inline; filename="annual-2021-nl.pdf"'
    assert printed.content.startswith(b"%PDF")


async def test_a_page_keeps_from_viewers_what_the_figures_keep_from_them(client, cases, pool):
    """One province, of which three cases are known: refused in every format, and told to the staff in every format."""
    coordinator = await issue_token(pool, "cora", Role.COORDINATOR)
    for form in ("json", "csv", "xlsx", "html", "pdf"):
        asked = f"{REPORT}?province=20001&format={form}"
        refused = await client.get(asked)
        assert (refused.status_code, refused.json()["rule"]) == (403, "singles-out"), form
        assert (await client.get(asked, coordinator)).status_code == 200, form


async def test_as_of_over_http(client, cases):
    """A plus sign in a query, which means a space there, is understood in an offset."""
    answer = await client.get(f"{REPORT}?as_of=2021-02-02T12:00:00+01:00")
    assert answer.json()["new_cases"]["total"] == 2
    assert answer.json()["as_of"] == "2021-02-02T12:00:00+01:00"
