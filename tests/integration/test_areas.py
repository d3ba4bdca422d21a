"""Areas over HTTP: drawn ones select arrondissements, and anybody of the staff can ask whom areas select, and why."""

from collections.abc import AsyncIterator

import pytest
from dispatch_ground import GHENT, LEUVEN, add_recipient
from dispatch_http import Client, client_of
from intake_ground import running

from services.intake.handlers.steps import IntakeDeps
from services.intake.policy import load_policy
from services.kernel.principals import Role

AROUND_LEUVEN = {
    "type": "Polygon",
    "coordinates": [[[4.68, 50.86], [4.72, 50.86], [4.72, 50.9], [4.68, 50.9], [4.68, 50.86]]],
}
CROSSED = {
    "type": "Polygon",
    "coordinates": [[[4.7, 50.8], [4.8, 50.9], [4.8, 50.8], [4.7, 50.9], [4.7, 50.8]]],
}
PARTNER = {
    "name": "Screens Ltd", "url": "http://127.0.0.1:9/hook", "format": "json", "content": "full",
    "areas": ["BE"], "languages": ["nl"], "contact": "ops",
}  # fmt: skip


@pytest.fixture
async def call(pool, vault, settings) -> AsyncIterator[Client]:
    async with client_of(pool, vault, settings) as client:
        yield client


async def test_an_explanation_names_the_pairs_that_meet_and_what_is_against_it(call, pool):
    """Per partner the areas that meet with names in two languages, or why it is not selected; nothing is sent."""
    leuven = await add_recipient(pool, name="A station", areas=["arrondissement:leuven", GHENT])
    await add_recipient(pool, name="B country", areas=["BE"], state="paused")
    await add_recipient(pool, name="C Ghent", areas=[GHENT])
    await add_recipient(pool, name="D drill", areas=[LEUVEN], exercise=True)
    await add_recipient(pool, name="E team", areas=["BE"], audience="mobile_team")
    answer = await call(
        "POST", "/v1/areas:explain", {"areas": ["postal:3000", AROUND_LEUVEN]}, role=Role.OPERATOR
    )
    assert answer.status == 200
    postal, drawn = answer.json["areas"]
    assert postal == {
        "area": "postal:3000", "names": {"nl": "3000 Leuven", "fr": "3000 Louvain"}, "municipalities": 1,
        "provinces": ["20001"], "regions": ["02000"], "arrondissements": ["leuven"], "languages": ["nl"],
    }  # fmt: skip
    assert (drawn["area"], drawn["names"]) == ("arrondissement:leuven", {"nl": "Leuven", "fr": "Louvain"})
    assert drawn["municipalities"] > 20
    partners = answer.json["partners"]
    assert [(one["name"], one["selected"], one["not_because"]) for one in partners] == [
        ("A station", True, []),
        ("B country", False, ["state"]),
        ("C Ghent", False, ["area"]),
        ("D drill", False, ["mode"]),
        ("E team", False, ["audience"]),
    ]
    first = partners[0]
    assert first["partner_id"] == str(leuven)
    pairs = [
        (one["area"]["area"], one["partner_area"]["area"], one["municipalities"]) for one in first["because"]
    ]
    assert pairs == [
        ("postal:3000", "arrondissement:leuven", 1),
        ("arrondissement:leuven", "arrondissement:leuven", drawn["municipalities"]),
    ]
    assert first["because"][0]["such_as"] == [{"area": LEUVEN, "names": {"nl": "Leuven", "fr": "Louvain"}}]
    assert len(first["because"][1]["such_as"]) == 10
    assert partners[2]["because"] == []
    assert "CC BY 4.0" in answer.json["attribution"]
    standby = {"areas": [GHENT], "kind": "standby"}
    found = (await call("POST", "/v1/areas:explain", standby, role=Role.COORDINATOR)).json["partners"]
    assert [one["name"] for one in found if one["selected"]] == ["E team"]
    named = {"areas": [GHENT], "audiences": ["mobile_team"]}
    found = (await call("POST", "/v1/areas:explain", named, role=Role.COORDINATOR)).json["partners"]
    assert [one["name"] for one in found if one["selected"]] == ["E team"]
    named = {"areas": [GHENT], "kind": "vignette", "audiences": ["display"]}
    found = (await call("POST", "/v1/areas:explain", named, role=Role.COORDINATOR)).json["partners"]
    assert not any(one["selected"] for one in found)
    assert await pool.fetchval("select count(*) from dispatch.delivery") == 0


async def test_what_cannot_be_explained_is_refused(call):
    """Areas that mean nothing 422 with rule and place; who is not of the staff 403."""
    for wrong, rule in (("nowhere:1", "unknown-area"), (CROSSED, "ring-crosses-itself")):
        answer = await call("POST", "/v1/areas:explain", {"areas": ["BE", wrong]}, role=Role.ADMIN)
        assert (answer.status, answer.json["rule"], answer.json["errors"][0]["field"]) == (
            422,
            rule,
            "areas.1",
        )
        assert "50.8" not in answer.json["detail"].replace("[4.70, 50.88]", "")
    for shape in ({"type": "Circle", "coordinates": [1]}, {"type": "Polygon"}, 5, None, ["BE"]):
        answer = await call("POST", "/v1/areas:explain", {"areas": [shape]}, role=Role.ADMIN)
        assert (answer.status, answer.json["rule"]) == (422, "content")
    assert (await call("POST", "/v1/areas:explain", {"areas": ["BE"]}, role=Role.VIEWER)).status == 403


async def test_a_partner_may_draw_its_area(call, pool):
    """It is kept as the arrondissements that it meets; a broken ring is refused by its rule."""
    made = await call("POST", "/v1/partners", {**PARTNER, "areas": [AROUND_LEUVEN, LEUVEN]})
    assert made.status == 201
    assert await pool.fetchval("select areas from dispatch.recipient") == ["arrondissement:leuven", LEUVEN]
    path = f"/v1/partners/{made.json['partner_id']}"
    assert (await call("PATCH", path, {"areas": [AROUND_LEUVEN]})).json["areas"] == ["arrondissement:leuven"]
    assert (await call("PATCH", path, {"contact": "desk"})).json["areas"] == ["arrondissement:leuven"]
    answer = await call("PATCH", path, {"areas": [CROSSED]})
    assert (answer.status, answer.json["errors"][0]["rule"]) == (422, "ring-crosses-itself")


async def test_a_campaign_may_draw_its_area(pool, vault, settings):
    """Request and update: the arrondissements that it meets are in the campaign; a broken ring is refused by its rule."""
    async with running(IntakeDeps(pool, vault, settings, load_policy())) as api:
        case = await api.opened()
        campaign = await api.released(case, "public", areas=["24062", AROUND_LEUVEN])
        shown = (await api.case(case))["campaigns"][0]
        assert shown["areas"] == ["24062", "arrondissement:leuven"]
        moved = {
            "type": "MultiPolygon",
            "coordinates": [[[[3.7, 51.0], [3.8, 51.0], [3.8, 51.1], [3.7, 51.0]]]],
        }
        got = await api.post(
            f"/v1/campaigns/{campaign}/update", {"areas": [moved], "reason": "gezien"}, "coordinator"
        )
        assert got.status == 200
        assert (await api.case(case))["campaigns"][0]["areas"] == ["arrondissement:oost-vlaanderen"]
        body = {"kind": "public", "areas": ["BE", CROSSED]}
        got = await api.post(f"/v1/cases/{case}/campaigns", body)
        assert (got.status, got.body["rule"], got.body["errors"][0]["field"]) == (
            422,
            "ring-crosses-itself",
            "areas.1",
        )
        got = await api.post(f"/v1/cases/{case}/campaigns", body | {"areas": [{**AROUND_LEUVEN, "crs": {}}]})
        assert (got.status, got.body["errors"][0]["field"]) == (422, "body.areas.0.drawn.crs")
