"""Pages and people on duty over HTTP, and the page behind the link in a message."""

import asyncio
import re

import pytest
from dispatch_http import client_of
from paging_ground import Ground, mail_server
from pydantic import SecretStr

from services.kernel.paging import open_pages
from services.kernel.principals import Role

ANN = {"name": "Ann", "language": "nl", "channels": ["ann@example.org", "json://127.0.0.1:9/ann"]}


@pytest.fixture
async def call(pool, vault, settings):
    async with client_of(pool, vault, settings) as client:
        yield client


async def test_people_are_added_changed_and_removed(call):
    """An administrator keeps the list; colleagues see it without addresses."""
    made = await call(
        "POST", "/v1/duty", ANN | {"slots": [{"day": "sun", "from": "18:00", "until": "08:00"}]}
    )
    assert made.status == 201
    assert made.json["channels"] == ["email", "json"]
    second = await call("POST", "/v1/duty", ANN | {"name": "Bob", "place": 1})
    path = f"/v1/duty/{made.json['person_id']}"
    changed = await call("PATCH", path, {"slots": None, "language": "fr"})
    assert (changed.json["slots"], changed.json["language"], changed.json["name"]) == (None, "fr", "Ann")
    assert (await call("PATCH", path, {"name": "Anne"})).json["slots"] is None
    listed = (await call("GET", "/v1/duty", role=Role.OPERATOR)).json["items"]
    assert [one["name"] for one in listed] == ["Anne", "Bob"]
    assert "example.org" not in str(listed)
    assert (await call("DELETE", path)).status == 204
    assert (await call("DELETE", path)).status == 404
    assert (await call("PATCH", path, {"name": "x"})).status == 404
    assert [one["person_id"] for one in (await call("GET", "/v1/duty")).json["items"]] == [
        second.json["person_id"]
    ]


async def test_person_whose_hours_are_none_is_never_on_duty(call, pool, settings):
    """`slots: []` is different from leaving it out."""
    made = await call("POST", "/v1/duty", ANN | {"slots": []})
    assert made.json["slots"] == []
    assert (await call("POST", "/v1/duty", ANN)).json["slots"] is None


async def test_wrong_people_are_refused_without_repeating_anything(call):
    """A channel that Apprise does not know, or something that is no channel, is 422."""
    for wrong in ("nonsense://secret-token", "secret token"):
        answer = await call("POST", "/v1/duty", ANN | {"channels": [wrong]})
        assert answer.status == 422
        assert "secret" not in answer.body.decode()


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.COORDINATOR, Role.VIEWER])
async def test_only_an_administrator_keeps_the_list(call, role):
    """Others may not."""
    assert (await call("POST", "/v1/duty", ANN, role=role)).status == 403
    expected = 403 if role is Role.VIEWER else 200
    assert (await call("GET", "/v1/duty", role=role)).status == expected
    assert (await call("GET", "/v1/pages", role=role)).status == expected


async def test_the_same_key_adds_somebody_once(call):
    """An Idempotency-Key makes a repeat harmless."""
    first = await call("POST", "/v1/duty", ANN, key="k1")
    again = await call("POST", "/v1/duty", ANN, key="k1")
    assert first.json == again.json
    assert len((await call("GET", "/v1/duty")).json["items"]) == 1


async def test_link_in_a_mail_acknowledges_by_its_button_alone(call, pool, settings):
    """Looking at the link changes nothing, since mail scanners do that; the button acknowledges as that person."""
    async with mail_server() as (box, url):
        ground = Ground(pool, settings.model_copy(update={"smtp_url": SecretStr(url)}))
        await ground.person("Ann <b>", "ann@example.org", language="de")
        await ground.page("audit:head", "see <alert>")
        await ground.work()
        mail = box.got[0][1].get_content()
    path, token = re.search(r"http://[^/]+(/pages/\d+)\?token=(\S+)", mail).groups()
    for _ in range(2):
        shown = await call("GET", f"{path}?token={token}", token="none")
        assert shown.status == 200
        text = shown.body.decode()
        assert "<form method=post><button autofocus>Ich kümmere mich darum</button>" in text
        assert "see &lt;alert&gt;" in text
        assert "lang=de" in text
        assert shown.headers["content-security-policy"].startswith("default-src 'none'")
    [one] = await open_pages(pool)
    assert one.acknowledged_by is None
    for _ in range(2):
        pressed = await call("POST", f"{path}?token={token}", token="none")
        assert "Ann &lt;b&gt; kümmert sich darum." in pressed.body.decode()
        assert "<form" not in pressed.body.decode()
    assert await open_pages(pool) == []
    assert await pool.fetchval("select acknowledged_by from kernel.page") == "Ann <b>"


async def test_links_that_are_not_ours_are_refused(call, pool, settings):
    """A made-up token, none, or one of another page is 403, whether there is such a page or not."""
    ground = Ground(pool, settings)
    await ground.person("ann")
    await ground.page()
    [one] = await open_pages(pool)
    for number in (one.page_id, one.page_id + 1, 10**30):
        for query in ("", "token=x", "token=a.1.b"):
            for method in ("GET", "POST"):
                assert (await call(method, f"/pages/{number}?{query}", token="none")).status == 403
    [one] = await open_pages(pool)
    assert one.acknowledged_by is None


async def test_two_people_acknowledge_at_once(call, pool):
    """One of them looks after it; the other is told that somebody does."""
    await pool.execute("insert into kernel.page (matter, text, lasting) values ('audit:head', 't', true)")
    [item] = (await call("GET", "/v1/pages")).json["items"]
    path = f"/v1/pages/{item['page_id']}/acknowledge"
    answers = await asyncio.gather(*(call("POST", path, {}) for _ in range(2)))
    assert sorted(answer.status for answer in answers) == [200, 404]
    [item] = (await call("GET", "/v1/pages")).json["items"]
    assert item["acknowledged_by"] == "admin"
