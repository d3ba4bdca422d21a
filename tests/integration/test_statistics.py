"""Public figures over HTTP, from events: for everybody, by closed quarter, without anything that tells of one child."""

import csv
import io
from datetime import datetime
from uuid import uuid4

import pytest
from projections_ground import SEALED, History, brussels, child, opened, project
from test_projections_api import Answer, Client, served

from schemas import events as e
from services.kernel.postgres import create_pool
from services.projections.api import ProjectionsDeps
from services.projections.statistics.api import KEPT, router

FIGURES = "/v1/statistics"


class Clock:
    """Stands still until it is set."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
def clock():
    return Clock(brussels(2022, 4, 2, 12))


@pytest.fixture
async def client(shared_settings, history, clock):
    """Nobody: without a token."""
    pool = history.pool
    async with served(pool, router(ProjectionsDeps(pool, shared_settings, clock))) as (base, session):
        yield Client(base, session, "")


@pytest.fixture(scope="module")
async def history(shared_settings):
    """A year: 20 runaways each quarter in Leuven, three undefined cases in Brussels, all in May."""
    pool = await create_pool(shared_settings.database_url.get_secret_value(), size=3, application="test")
    told = History(pool)
    for quarter in range(4):
        for number in range(20):
            when = brussels(2021, quarter * 3 + 1 + number % 3, 3)
            await told.case(f"{quarter}-{number}", when, children=[child(age=10 + number % 7)])
    place = e.Place(postal_code="1000", municipality="21004")
    for number in range(3):
        case = await told.case(
            f"u-{number}", brussels(2021, 5, 4), "undefined", children=[child(gender="boy")]
        )
        await told.fact(case, e.DetailsCorrected(last_seen=place), brussels(2021, 5, 4))
        await told.assess(case, True, brussels(2021, 5, 4))
    await told.count(e.CallsCounted(count=3), brussels(2021, 2, 1))
    await project(shared_settings)
    yield told
    await pool.close()


def figures(answer: Answer) -> dict[tuple[str, str, str], str]:
    assert answer.status_code == 200, answer.text
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert all((row["value"] == "") == (row["status"] == "withheld") for row in rows)
    return {(row["period"], row["table"], row["category"]): row["value"] for row in rows}


async def test_everybody_reads_the_year_by_quarter_and_month(client):
    """Counted from events; what is small is withheld, and so is what would give it away."""
    found = figures(await client.get(FIGURES))
    assert found["2021", "new_cases", "total"] == "83"
    assert found["2021-Q1", "new_cases", "total"] == "20"
    assert found["2021-01", "new_cases", "total"] == "7"
    assert found["2021-05", "new_cases", "total"] == "10"
    assert found["2021", "new_cases_by_kind", "undefined"] == ""
    assert found["2021", "new_cases_by_kind", "runaway"] == "", "83 - 80 would be the three"
    assert found["2021", "new_cases_by_province", "04000"] == ""
    assert found["2021", "new_cases_by_province", "20001"] == ""
    assert found["2021", "new_cases_by_assessment", "not_worrying"] == ""
    assert found["2021", "children_by_gender", "boy"] == ""
    assert found["2021", "children_by_age", "under_13"] == "36"
    assert found["2021", "activity", "hotline_calls"] == "3"
    assert not [place for place in found if "siblings" in place]


async def test_json_says_what_csv_says_and_where_it_is_from(client):
    """Null where it is withheld; source, licence, dictionary, and when each quarter was known."""
    told = (await client.get(FIGURES, format="json")).json()
    found = figures(await client.get(FIGURES))
    assert {
        (one["period"], one["table"], one["category"]): "" if one["value"] is None else str(one["value"])
        for one in told["figures"]
    } == found
    assert told["licence"]["url"].startswith("https://creativecommons.org/licenses/by/4.0")
    assert told["known_at"]["2021-Q1"] == "2021-07-01T00:00:00+02:00"
    assert told["source"] == "116 000"
    dictionary = (await client.get(told["dictionary"])).json()
    known = {(t["table"], c["category"]) for t in dictionary["tables"] for c in t["categories"]}
    assert {(table, category) for _, table, category in found} <= known
    as_rows = list(
        csv.DictReader(io.StringIO((await client.get(f"{FIGURES}/dictionary", format="csv")).text))
    )
    assert {row["table"] for row in as_rows} == {table for table, _ in known}


async def test_one_year_or_one_table_is_a_part_of_the_whole(client):
    """A selection shows the same numbers, and withholds the same."""
    whole = figures(await client.get(FIGURES))
    part = figures(await client.get(FIGURES, year="2021", table="new_cases_by_kind"))
    assert part == {place: value for place, value in whole.items() if place[1] == "new_cases_by_kind"}


async def test_it_may_be_kept_for_an_hour_and_asked_for_again_for_nothing(client):
    """Caching headers, an entity tag, 304; links to licence and dictionary; scripts of other sites may read it."""
    for path in (FIGURES, f"{FIGURES}/dictionary"):
        answer = await client.get(path)
        assert answer.headers["cache-control"] == "public, max-age=3600"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert 'rel="license"' in answer.headers["link"]
        assert 'rel="describedby"' in answer.headers["link"]
        again = await client.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (await client.get(path, format="json")).headers["etag"] != (
            await client.get(path, format="csv")
        ).headers["etag"]


async def test_what_happens_between_two_days_is_not_seen(client, history, clock, shared_settings):
    """Cases reclassified, one recorded late, one closed: the figures of closed quarters stay as they were."""
    before = figures(await client.get(FIGURES))
    known = brussels(2022, 4, 2)
    undefined = e.Reclassified(
        kind="undefined", details=e.UndefinedDetails(subject="young_adult"), reason=SEALED
    )
    for row in await history.pool.fetch("select distinct case_id from projections.annual_lifecycle limit 9"):
        await history.fact(row["case_id"], undefined, brussels(2021, 12, 30), known=known)
    late = uuid4()
    await history.put(f"case-{late}", late, opened("late"), brussels(2021, 12, 5), known)
    await history.count(e.CallsCounted(count=1), brussels(2022, 1, 1))
    await project(shared_settings)
    clock.moment += KEPT
    assert figures(await client.get(FIGURES)) == before
    clock.moment = brussels(2022, 7, 3)
    assert {
        place: value for place, value in figures(await client.get(FIGURES)).items() if "2021" in place[0]
    } == before


async def test_a_quarter_appears_when_it_is_time(client, clock):
    """Three months after its end and a day; until the year is whole there are quarters and months alone."""
    clock.moment = brussels(2021, 7, 1, 12)
    assert figures(await client.get(FIGURES)) == {}
    clock.moment = brussels(2021, 7, 2)
    early = figures(await client.get(FIGURES))
    assert {period for period, *_ in early} == {"2021-Q1", "2021-01", "2021-02", "2021-03"}
    clock.moment = brussels(2022, 4, 2)
    assert early.items() <= figures(await client.get(FIGURES)).items()


async def test_many_questions_are_one_count(client, clock, monkeypatch):
    """Whoever asks a thousand times an hour gives the database no work; after the hour it is counted again."""
    counted = []
    from services.projections.statistics import api

    real = api.counts_of

    async def noted(*arguments):
        counted.append(arguments)
        return await real(*arguments)

    monkeypatch.setattr(api, "counts_of", noted)
    for _ in range(20):
        await client.get(FIGURES)
    assert len(counted) == 4
    clock.moment += KEPT
    await client.get(FIGURES)
    assert len(counted) == 8


async def test_what_is_not_published_is_refused_and_not_repeated(client):
    """A year that is not out, a table that does not exist, another format: 422 and what to ask for."""
    for query in ("year=2031", "year=2022", "year=-1", "year=x", "table=new_cases_by_dragon", "format=xlsx"):
        answer = await client.get(f"{FIGURES}?{query}")
        assert answer.status_code == 422, query
        assert answer.headers["content-type"] == "application/problem+json"
        assert "dragon" not in answer.json()["detail"]
    assert (await client.get(f"{FIGURES}?year=2022")).json()["detail"] == "ask for a year from 2021 to 2021"


async def test_a_new_installation_has_nothing_to_tell(settings, pool, clock):
    """An empty table, a dictionary, and a year that is not there yet."""
    async with served(pool, router(ProjectionsDeps(pool, settings, clock))) as (base, session):
        nobody = Client(base, session, "")
        assert figures(await nobody.get(FIGURES)) == {}
        assert (await nobody.get(f"{FIGURES}/dictionary")).status_code == 200
        answer = await nobody.get(FIGURES, year="2021")
        assert (answer.status_code, answer.json()["rule"]) == (422, "year")
