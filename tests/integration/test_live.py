"""`GET /v1/live`: who may watch, what each may see, going on after a break, and viewers that do not read."""

import asyncio
import json

import pytest
from fastapi import Request
from sender_ground import Ground
from web_ground import listening

from services.kernel.principals import Principal, Role, adopt_token, revoke_tokens
from services.web import live_api
from services.web.board import Audience, Board
from services.web.watch import Watch

ROLES = (Role.VIEWER, Role.OPERATOR, Role.PARTNER)


def bearer(role):
    return {"Authorization": f"Bearer zl_{role.value}"}


@pytest.fixture
async def tokens(pool):
    async with pool.acquire() as connection:
        for role in ROLES:
            await adopt_token(connection, f"zl_{role.value}", role.value, role)


@pytest.fixture
async def site(settings, pool, tokens):
    async with listening(settings, pool) as running:
        yield running


@pytest.fixture
async def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


async def events(answer):
    """(event, id, data) of each event, as they come."""
    found = {"event": "message", "id": None}
    async for raw in answer.content:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            found[name] = value
        else:
            yield found["event"], found["id"], json.loads(found["data"])
            found = {"event": "message", "id": None}


async def next_with(stream, key):
    """The next message that puts this key."""
    async with asyncio.timeout(30):
        async for _, event_id, data in stream:
            if key in data.get("put", ()):
                return event_id, data
    raise AssertionError("the stream ended")


async def test_nobody_and_partners_see_nothing(site):
    """401 without a token, 403 with a partner's, on the stream and on what is asked."""
    for path in ("/v1/live", "/v1/live/changes"):
        async with site.client.get(path) as answer:
            assert answer.status == 401
        async with site.client.get(path, headers=bearer(Role.PARTNER)) as answer:
            assert answer.status == 403


async def test_a_viewer_sees_steps_but_no_names_and_nobody_an_identity(site, ground, pool):
    """Names of partners, who may still show, and pages are for the staff; sealed things are for nobody here."""
    partner = await ground.recipient("http://127.0.0.1:9/hook")
    name = await pool.fetchval("select name from dispatch.recipient")
    alert = await ground.alert([partner])
    seen = {}
    for role in (Role.VIEWER, Role.OPERATOR):
        async with site.client.get("/v1/live", headers=bearer(role)) as answer:
            assert answer.content_type == "text/event-stream"
            assert answer.headers["Cache-Control"] == "no-store"
            _, data = await next_with(events(answer), f"seat/{alert.alert_id}/{partner}")
            seen[role] = data["put"]
    assert seen[Role.OPERATOR][f"partner/{partner}"] == {"name": name}
    assert {"still_showing", "pages"} <= seen[Role.OPERATOR].keys()
    assert name not in json.dumps(seen[Role.VIEWER])
    assert not {"still_showing", "pages"} & seen[Role.VIEWER].keys()
    assert seen[Role.VIEWER][f"seat/{alert.alert_id}/{partner}"]["step"] == "waiting"
    for put in seen.values():
        assert not [word for word in ("secret", "box", "http://", "given_name") if word in json.dumps(put)]


async def test_after_a_break_a_viewer_gets_what_it_missed_and_no_more(site, ground):
    """By Last-Event-ID, and by `after` for who asks; the id of another server gets everything."""
    partner = await ground.recipient("http://127.0.0.1:9/hook")
    first = await ground.alert([partner])
    async with site.client.get("/v1/live", headers=bearer(Role.OPERATOR)) as answer:
        known, whole = await next_with(events(answer), f"alert/{first.alert_id}")
        assert whole["whole"]
    second = await ground.alert([partner])
    again = bearer(Role.OPERATOR) | {"Last-Event-ID": known}
    async with site.client.get("/v1/live", headers=again) as answer, asyncio.timeout(30):
        missed = {}
        async for _, _, data in events(answer):
            assert not data["whole"]
            missed |= data["put"]
            if f"alert/{second.alert_id}" in missed:
                break
    assert f"alert/{first.alert_id}" not in missed
    changes = f"/v1/live/changes?after={known}"
    async with site.client.get(changes, headers=bearer(Role.OPERATOR)) as answer:
        asked = await answer.json()
        assert not asked["whole"]
        assert f"alert/{second.alert_id}" in asked["put"]
    async with site.client.get("/v1/live/changes?after=other-5", headers=bearer(Role.OPERATOR)) as answer:
        assert (await answer.json())["whole"]


async def test_a_silent_stream_says_that_it_lives_and_ends_with_the_right_to_watch(site, pool, monkeypatch):
    """Heartbeats; after the token is revoked, the news of it and the end."""
    monkeypatch.setattr(live_api, "HEARTBEAT_S", 0.1)
    async with site.client.get("/v1/live", headers=bearer(Role.VIEWER)) as answer, asyncio.timeout(30):
        names = []
        async for name, _, _ in events(answer):
            if name == "heartbeat" and not names.count("heartbeat"):
                async with pool.acquire() as connection:
                    await revoke_tokens(connection, "viewer")
            names.append(name)
    assert "heartbeat" in names
    assert names[-1] == "signed-out"


async def test_a_viewer_that_reads_nothing_is_let_go(settings, pool, monkeypatch):
    """Nothing is kept for it but a number; after a while it is gone, and counted no more."""
    monkeypatch.setattr(live_api, "STUCK_S", 0.2)
    board = Board(settings, pool, Watch(settings, pool))
    values = await board.seen_by(Principal("somebody", Role.OPERATOR))
    never, counted = asyncio.Event(), []

    async def send(message):
        if message["type"] == "http.response.body":
            counted.append(board.watch.viewers)
            await never.wait()

    stream = live_api.Stream(board, values, None, Request({"type": "http", "headers": []}))
    await asyncio.wait_for(stream({}, never.wait, send), 20)
    assert counted == [1]
    assert board.watch.viewers == 0


async def test_too_many_viewers_are_told_to_ask_instead(site, monkeypatch):
    """503 with Retry-After; asking still works."""
    monkeypatch.setattr(live_api, "MOST_VIEWERS", 1)
    async with site.client.get("/v1/live", headers=bearer(Role.VIEWER)) as first:
        assert first.status == 200
        async with site.client.get("/v1/live", headers=bearer(Role.VIEWER)) as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "5"
        async with site.client.get("/v1/live/changes", headers=bearer(Role.VIEWER)) as answer:
            assert answer.status == 200


async def test_streams_end_with_the_service_at_once(settings, pool, tokens):
    """Whoever watches does not keep a service from stopping; the stream ends as a whole answer."""
    async with (
        listening(settings, pool) as site,
        site.client.get("/v1/live", headers=bearer(Role.VIEWER)) as answer,
    ):
        stream = events(answer)
        await anext(stream)
        site.runtime.stop.set()
        async with asyncio.timeout(4):
            async for _ in stream:
                pass


async def test_what_cannot_be_asked_keeps_its_values_and_is_called_old(settings, pool):
    """The board goes on with the rest, and says which part is out of date."""
    board = Board(settings, pool, Watch(settings, pool))
    await board._look()
    view = board.views[Audience.STAFF]
    before = json.loads(view.since(0))["put"]
    assert before["stale"] == []
    await pool.execute("alter view projections.annual_counter rename to annual_counter_away")
    for section in board._sections:
        section.gathered_at -= 1000
    await board._look()
    put = json.loads(view.since(0))["put"]
    assert put["stale"] == ["trends"]
    assert put["trends"] == before["trends"]
