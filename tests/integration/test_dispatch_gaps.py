"""What a reader of the design misses first: unknown types, criteria that do not count, keys, areas that shrink."""

from datetime import timedelta
from uuid import UUID

import pytest
from dispatch_ground import GHENT, LEUVEN, Ground, add_recipient
from dispatch_http import become_active, client_of

from schemas.events import EventData
from schemas.vocabulary import Criterion
from services.dispatch.auditor import audit
from services.dispatch.campaigns import campaign_alert
from services.dispatch.healing import heal
from services.dispatch.stops import darken
from services.eventlog.store import campaign_stream
from services.kernel.paging import page


class Reviewed(EventData):
    """A type of a later release."""

    TYPE = "campaign.reviewed.v1"


@pytest.fixture
def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


@pytest.fixture
async def call(pool, vault, settings):
    async with client_of(pool, vault, settings) as client:
        yield client


async def test_newer_type_in_a_gap_stops_nothing(ground):
    """An event of a type that this release does not know, among those missed, is passed over; the rest is planned."""
    await add_recipient(ground.pool)
    await ground.release()
    await ground.put(campaign_stream(ground.campaign), Reviewed())
    await ground.update()
    await ground.planner.apply([(await ground.messages())[-1]])
    assert await ground.pool.fetchval("select count(*) from dispatch.parked") == 0
    assert await ground.revisions() == [(1, "issued"), (2, "updated")]


async def test_unit_is_told_the_criteria_that_count(ground):
    """The reasons decide, not the findings: a case worrying by its kind names no criterion, in a list that is there."""
    await add_recipient(ground.pool, audience="missing_persons_unit")
    await ground.assess(1, criteria=(Criterion.UNDER_13,), reasons=("kind:undefined",))
    await ground.assess(
        1,
        criteria=(Criterion.UNDER_13, Criterion.OUT_OF_CHARACTER),
        reasons=("criterion:out_of_character", "override"),
        case_version=2,
    )
    await ground.replay()
    told = [(await ground.body(row))["data"]["criteria"] for row in await ground.deliveries()]
    assert told == [[], ["out_of_character"]]


async def test_same_key_acknowledges_once(call, pool):
    """The second acknowledgement with a key gets the answer of the first; another body or key does not."""
    async with pool.acquire() as connection:
        await page(connection, "m-1", "look after it")
    [item] = (await call("GET", "/v1/pages")).json["items"]
    path = f"/v1/pages/{item['page_id']}/acknowledge"
    first = await call("POST", path, key="k-1")
    again = await call("POST", path, key="k-1")
    assert (first.status, again.status, again.json) == (200, 200, first.json)
    assert again.headers["idempotency-replayed"] == "true"
    assert (await call("POST", path, key="k-2")).status == 404


async def test_same_key_resumes_once(call, ground):
    """The second resumption with a key says what the first one did; one that failed may be tried again."""
    await add_recipient(ground.pool)
    await ground.release()
    [good] = await ground.messages()
    await ground.planner.apply([broken(good)])
    path = f"/v1/parked/{ground.case}/resume"
    assert (await call("POST", path, key="k-1")).status == 409
    await ground.pool.execute("update dispatch.parked set value = $1", good.value)
    first = await call("POST", path, key="k-1")
    again = await call("POST", path, key="k-1")
    assert (first.status, first.json["resumed"]) == (200, 1)
    assert (again.json, again.headers["idempotency-replayed"]) == (first.json, "true")


def broken(message):
    return type(message)(
        message.topic, message.partition, message.offset, message.key, b'{"no": 1}', message.headers
    )


async def test_smaller_area_takes_back_what_is_lit_there(call, ground):
    """A partner whose areas shrink gets a withdrawal of its own, once; the others get nothing, and keep the alert."""
    new = {
        "name": "Screens Ltd",
        "url": "http://127.0.0.1:9/hook",
        "format": "json",
        "content": "full",
        "areas": [GHENT, LEUVEN],
        "languages": ["nl"],
        "contact": "ops",
        "audience": "display",
    }
    partner = (await call("POST", "/v1/partners", new)).json
    await become_active(ground.pool, partner)
    other = await add_recipient(ground.pool)
    await ground.release()
    await ground.replay()
    for _ in range(2):
        changed = await call("PATCH", f"/v1/partners/{partner['partner_id']}", {"areas": [GHENT]})
        assert changed.status == 200
    shrunk = await ground.deliveries(recipient_id=UUID(partner["partner_id"]))
    assert [(row["content"], row["state"]) for row in shrunk] == [
        ("issued", "superseded"),
        ("withdrawn", "pending"),
    ]
    assert [row["content"] for row in await ground.deliveries(recipient_id=other)] == ["issued"]
    assert await ground.pool.fetchval("select not withdrawn from dispatch.alert")
    late = (await call("POST", "/v1/partners", new | {"name": "Late"})).json
    await become_active(ground.pool, late)
    assert len(await ground.deliveries(recipient_id=UUID(late["partner_id"]))) == 1
    await ground.end()
    assert await darken(ground.publisher, timedelta(hours=1)) == 1


async def test_alert_that_cannot_be_withdrawn_keeps_no_other_lit(pool, vault, settings):
    """Its tables are damaged: the stop loop and the auditor go on with the others, and a person is left to be paged."""
    await add_recipient(pool)
    two = [Ground(pool, vault, settings) for _ in range(2)]
    for one in two:
        await one.release()
        await one.replay()
    broken, sound = sorted(campaign_alert(one.campaign) for one in two)
    await pool.execute("update dispatch.alert set head_revision = 0 where alert_id = $1", broken)
    for one in two:
        await one.end()
    assert await darken(two[0].publisher, timedelta(hours=1)) == 1
    lit = "select alert_id from dispatch.alert where not withdrawn"
    assert [row["alert_id"] for row in await pool.fetch(lit)] == [broken]
    await pool.execute("update eventlog.stop set stopped_at = stopped_at - interval '1 minute'")
    left = await heal(two[0].publisher, await audit(pool, timedelta(0)))
    assert ("stopped", broken) in {(one.rule, one.alert_id) for one in left}
    assert sound not in {one.alert_id for one in left}
