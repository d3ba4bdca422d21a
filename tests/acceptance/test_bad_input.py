"""What is wrong gets the documented answer, and nothing is appended."""

import json
from uuid import uuid4

import pytest
from installation import CASE, consents


async def head(site) -> int:
    metrics = (await site.call("GET", "/metrics", None))[1]["text"]
    (line,) = [x for x in metrics.splitlines() if x.startswith("zoeklicht_events ")]
    return int(float(line.split()[-1]))


@pytest.fixture
async def quiet(shared):
    """The shared installation, once it has come to rest."""
    site, _ = shared
    before = -1
    while before != (now := await head(site)):
        before = now
        await site.eventually("/v1/deliveries?state=pending", lambda f: not f["items"], "admin")
    return site


BODIES = [
    (b'{"kind": "runaway"', 400, "malformed-json"),
    (b"\xff\xfe", 400, None),
    (b"[]", 422, None),
    (json.dumps({**CASE, "unknown": 1}).encode(), 422, "content"),
    (json.dumps({**CASE, "disappeared_at": "2026-03-04T17:30:00"}).encode(), 422, "content"),
    (json.dumps({**CASE, "kind": "Geheimnis"}).encode(), 422, "content"),
    (json.dumps({**CASE, "last_seen": {"postal_code": "9999"}}).encode(), 422, None),
    (json.dumps({**CASE, "reported_by": "x" * 70_000}).encode(), 413, "body-size"),
]


@pytest.mark.parametrize(("raw", "status", "rule"), BODIES, ids=range(len(BODIES)))
async def test_a_wrong_body_appends_nothing(quiet, raw, status, rule):
    """Malformed JSON 400, content 422 naming the field, too large 413: a problem document that repeats no value."""
    before = await head(quiet)
    found, document, headers = await quiet.call("POST", "/v1/cases", raw=raw)
    assert found == status, document
    assert headers["Content-Type"] == "application/problem+json"
    assert rule is None or document["rule"] == rule
    assert document["detail"]
    assert "Geheimnis" not in json.dumps(document)
    assert "Voorbeeldkind" not in json.dumps(document)
    assert await head(quiet) == before


async def test_a_chunked_body_over_the_limit_is_refused(quiet):
    """Without a declared length the limit holds all the same."""

    async def endless():
        for _ in range(100):
            yield b"x" * 1024

    async with quiet.session.post(
        f"{quiet.url}/v1/cases",
        data=endless(),
        headers={"Authorization": f"Bearer {quiet.tokens['operator']}"},
    ) as answer:
        assert answer.status == 413


@pytest.mark.parametrize(
    ("role", "token", "status"), [(None, "wrong", 401), (None, None, 401), ("viewer", None, 403)]
)
async def test_nobody_and_the_wrong_role_are_refused(quiet, role, token, status):
    """A wrong or missing token is 401, a role that may not 403; nothing is appended."""
    before = await head(quiet)
    found, document, _ = await quiet.call("POST", "/v1/cases", role, CASE, token=token)
    assert (found, document["status"]) == (status, status)
    assert await head(quiet) == before


async def test_a_stale_version_is_told_what_changed(quiet):
    """If-Match with an old version: 412 with what happened in between; with the current one: appended."""
    case = await quiet.post("/v1/cases", {**CASE, "circumstances": []})
    path = f"/v1/cases/{case['case_id']}/events"
    old = {"If-Match": f'"{case["version"]}"'}
    second = await quiet.post(path, {"type": "note_added", "text": "a"}, headers=old)
    status, document, _ = await quiet.call(
        "POST", path, body={"type": "note_added", "text": "b"}, headers=old
    )
    assert status == 412
    assert "case.note_added" in json.dumps(document)
    # What was refused left nothing; criteria may write its first assessment meanwhile, so the log is not counted as a whole.
    told = (await quiet.call("GET", path))[1]["items"]
    assert sum(one["type"].startswith("case.note_added") for one in told) == 1
    await quiet.post(
        path, {"type": "note_added", "text": "c"}, headers={"If-Match": f'"{second["version"]}"'}
    )


async def test_the_same_key_gives_the_first_answer_and_another_body_is_refused(quiet):
    """Idempotency-Key: repeated 201 with the same ids, appended once; other body 422."""
    key = {"Idempotency-Key": str(uuid4())}
    body = {**CASE, "circumstances": []}
    first = await quiet.post("/v1/cases", body, headers=key)
    path = f"/v1/cases/{first['case_id']}/events"
    assert await quiet.post("/v1/cases", body, headers=key) == first
    status, _, _ = await quiet.call("POST", "/v1/cases", body={**body, "reported_by": "police"}, headers=key)
    assert status == 422
    note = {"Idempotency-Key": str(uuid4())}
    once = await quiet.post(path, {"type": "note_added", "text": "a"}, headers=note)
    assert await quiet.post(path, {"type": "note_added", "text": "a"}, headers=note) == once


async def test_who_requested_does_not_release(quiet):
    """Four eyes: 403 `four-eyes`, whatever the role; another operator 403 `role`; missing consents 409."""
    case = await quiet.post("/v1/cases", {**CASE, "circumstances": []})
    path = f"/v1/cases/{case['case_id']}/campaigns"
    mine = await quiet.post(path, {"kind": "public", "areas": ["BE"], "consents": consents()}, "coordinator")
    status, document, _ = await quiet.call(
        "POST", f"/v1/campaigns/{mine['campaign_id']}/release", "coordinator", {}
    )
    assert (status, document["rule"]) == (403, "four-eyes")
    status, document, _ = await quiet.call(
        "POST", f"/v1/campaigns/{mine['campaign_id']}/release", "operator", {}
    )
    assert (status, document["rule"]) == (403, "role")
    bare = await quiet.post(path, {"kind": "public", "areas": ["BE"]})
    status, document, _ = await quiet.call(
        "POST", f"/v1/campaigns/{bare['campaign_id']}/release", "operator", {}
    )
    assert (status, document["rule"]) == (403, "four-eyes")
    status, document, _ = await quiet.call(
        "POST", f"/v1/campaigns/{bare['campaign_id']}/release", "coordinator", {}
    )
    assert status == 409
    assert "police" in document["detail"]


async def test_what_is_not_there_is_404(quiet):
    """Unknown ids and paths are problem documents, too."""
    for path in (f"/v1/cases/{uuid4()}", f"/v1/alerts/{uuid4()}", "/v1/nothing"):
        status, document, headers = await quiet.call("GET", path)
        assert (status, document["status"]) == (404, 404)
        assert headers["Content-Type"] == "application/problem+json"
    status, _, _ = await quiet.call("GET", "/v1/cases/not-an-id")
    assert status in {404, 422}
