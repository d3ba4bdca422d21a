"""Reading a case: as known at a moment, page by page, audited, and whatever a newer process wrote."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from intake_ground import CASE, LOU, NOA, NOW, assessed, consent, running

from schemas.events import AlertIssued, DeliveryDelivered
from services.eventlog.store import (
    UNKNOWN_TYPES,
    alert_stream,
    assessment_stream,
    delivery_stream,
    read_case,
    recorded,
)
from services.intake.handlers.steps import IntakeDeps
from services.intake.import_lines import case_of_ref
from services.intake.importer import import_lines
from services.intake.policy import load_policy

SEARCH = {name: LOU[name] for name in ("given_name", "family_name", "date_of_birth")}


@pytest.fixture
def deps(settings, pool, vault) -> IntakeDeps:
    return IntakeDeps(pool, vault, settings, load_policy())


@pytest.fixture
async def api(deps):
    async with running(deps) as found:
        yield found


# ── as known at a moment ────────────────────────────────────────────────────────────────────────────────────


async def test_the_whole_answer_is_as_known_then(api):
    """After every event the answer for its moment is, word for word, what was answered at that moment."""
    case, alert, display = await api.opened(children=[LOU, NOA]), uuid4(), uuid4()
    shown = {"alert_id": alert, "kind": "vignette"}
    seen = []

    async def then() -> None:
        moment = await api.pool.fetchval("select max(recorded_time) from eventlog.events")
        seen.append((moment, await api.case(case)))

    await then()
    await api.fact(case, "circumstance_reported", criterion="out_of_character", value="yes", child=0)
    await then()
    await api.put(case, assessment_stream(UUID(case)), assessed(worrying=True))
    await then()
    campaign = await api.requested(case, consents=[consent("police")])
    await then()
    await api.post(f"/v1/campaigns/{campaign}/consents", consent("child_focus"))
    await api.post(f"/v1/campaigns/{campaign}/release", {}, "coordinator")
    await then()
    issued = AlertIssued(revision=1, recipients=1, displays=1, to=(display,), **shown)
    await api.put(case, alert_stream(alert), issued)
    await then()
    done = DeliveryDelivered(
        revision=1, content="issued", recipient=display, audience="display", attempts=1, at=NOW, **shown
    )
    await api.put(case, delivery_stream(alert, display), done)
    await then()
    await api.fact(case, "child_located", child=0, outcome="found_safe", at=NOW)
    await then()
    await api.fact(case, "details_corrected", children=[{"child": 1, "given_name": "Noor"}])
    await then()
    await api.fact(case, "closed", outcomes=[{"child": 1, "outcome": "returned"}])
    await then()

    assert len({json.dumps(answer) for _, answer in seen}) == len(seen), "each step is visible"
    for moment, answer in seen:
        at = await api.get(f"/v1/cases/{case}?at={moment.isoformat()}")
        assert at.body == answer
    before = seen[0][0] - timedelta(microseconds=1)
    early = await api.get(f"/v1/cases/{case}?at={before.isoformat()}")
    assert (early.status, early.body["rule"]) == (404, "case-not-known-yet")
    to_come = await api.get(f"/v1/cases/{case}?at={(datetime.now(UTC) + timedelta(hours=1)).isoformat()}")
    assert (to_come.status, to_come.body["rule"]) == (422, "at")
    assert (await api.get(f"/v1/cases/{uuid4()}?at={before.isoformat()}")).body["rule"] == "no-such-case"
    for wrong in ("2021-03-04T17:30:00", "1614875400", "0001-01-01T00:00:00%2B14:00", "yesterday"):
        assert (await api.get(f"/v1/cases/{case}?at={wrong}")).status == 422


async def test_when_it_happened_and_when_we_learned_it_are_two_things(api):
    """A child found on Monday of whom we learn later is missing, as known on Tuesday; the fact keeps its Monday."""
    case = await api.opened()
    opened = (await api.get(f"/v1/cases/{case}/events")).body["items"][0]["recorded_at"]
    await api.fact(case, "child_located", child=0, outcome="found_safe", at="2021-03-05T08:00:00+01:00")
    then = await api.get(f"/v1/cases/{case}?at={opened}")
    assert then.body["children"][0]["outcome"] is None
    located = (await api.get(f"/v1/cases/{case}/events")).body["items"][-1]
    assert datetime.fromisoformat(located["data"]["at"]) == datetime.fromisoformat("2021-03-05T07:00:00Z")
    assert located["recorded_at"] > opened


async def test_imported_history_was_known_when_it_happened(api, deps):
    """Its `at` counts though the import is of today; a line that goes back before the opening shows nothing alone."""

    def line(kind, at, data):
        return json.dumps({"ref": "a", "type": kind, "at": f"2021-03-{at}T12:00:00Z", "data": data})

    correction = {"children": [{"child": 0, "date_of_birth": "2010-01-01"}]}
    released = {"campaign": "c", "kind": "public", "areas": ["24062"]}
    lines = [
        line("case.opened", "04", CASE),
        line("case.closed", "10", {"outcomes": [{"child": 0, "outcome": "returned"}]}),
        line("case.details_corrected", "06", correction),
        line("case.details_corrected", "02", {"last_seen": {"postal_code": "5000"}}),
        line("campaign.released", "08", released),
        line("campaign.ended", "07", {"campaign": "c", "reason": "other"}),
    ]
    assert (await import_lines(deps, lines)).bad == []

    async def at(day):
        return await api.get(f"/v1/cases/{case_of_ref('a')}?at=2021-03-{day}T12:00:00Z")

    assert (await at("03")).status == 404
    known = [(await at(day)).body for day in ("05", "06", "07", "08", "10")]
    assert {one["last_seen"]["postal_code"] for one in known} == {"5000"}
    assert [one["children"][0]["age_min"] for one in known] == [12, 11, 11, 11, 11]
    assert [one["state"] for one in known] == ["open", "open", "open", "open", "closed"]
    assert [len(one["campaigns"]) for one in known] == [0, 0, 0, 1, 1]


# ── history ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_history_comes_in_pages(api):
    """Following next_cursor gives every event once and in order; a wrong cursor is 422, an unknown case 404."""
    case = await api.opened()
    for number in range(6):
        await api.fact(case, "note_added", text=f"note {number}")
    whole = (await api.get(f"/v1/cases/{case}/events")).body
    assert (len(whole["items"]), whole["next_cursor"]) == (7, None)
    found, cursor = [], ""
    for _ in range(4):
        page = (await api.get(f"/v1/cases/{case}/events?limit=2{cursor}")).body
        found += page["items"]
        cursor = f"&cursor={page['next_cursor']}"
    assert (found, page["next_cursor"]) == (whole["items"], None)
    assert (await api.get(f"/v1/cases/{case}/events?limit=7")).body["next_cursor"] is None
    assert (await api.get(f"/v1/cases/{case}/events?cursor=x")).status == 422
    assert (await api.get(f"/v1/cases/{uuid4()}/events?cursor=1")).status == 404


async def test_an_event_of_a_newer_process_stops_nobody(api, deps):
    """An unknown type is passed over and counted; the case is read, changed and known at a moment all the same."""
    case = await api.opened()
    await api.pool.execute(
        "insert into eventlog.events (epoch, stream, version, event_id, type, topic, subject, time, correlation_id,"
        " actor, origin, mode, data) select epoch, stream, version + 1, gen_random_uuid(), 'case.dreamt.v9', topic,"
        " subject, clock_timestamp(), correlation_id, actor, origin, mode, '{\"new\": 1}' from eventlog.events"
    )
    before = UNKNOWN_TYPES["case.dreamt.v9"]
    read = await api.case(case)
    assert (read["state"], read["version"]) == ("open", 2)
    assert UNKNOWN_TYPES["case.dreamt.v9"] > before
    assert (await api.fact(case, "note_added", text="x")).body["version"] == 3
    items = (await api.get(f"/v1/cases/{case}/events")).body["items"]
    assert [one["type"] for one in items] == ["case.opened.v1", "case.dreamt.v9", "case.note_added.v1"]
    assert [event.version for event in await read_case(api.pool, UUID(case))] == [1, 2, 3]
    row = await api.pool.fetchrow("select * from eventlog.events where type = 'case.dreamt.v9'")
    with pytest.raises(ValueError, match="upgrade"):
        recorded(row)


async def test_a_search_is_repeated_by_its_key(api):
    """Same key and body: the first answer, though the child is in a further case since; another body: 422."""
    await api.opened()
    first = await api.post("/v1/children:search", SEARCH, Idempotency_Key="k-1")
    await api.opened()
    again = await api.post("/v1/children:search", SEARCH, Idempotency_Key="k-1")
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len((await api.post("/v1/children:search", SEARCH)).body["items"][0]["cases"]) == 2
    other = SEARCH | {"family_name": "Anders"}
    wrong = await api.post("/v1/children:search", other, Idempotency_Key="k-1")
    assert (wrong.status, wrong.body["rule"]) == (422, "idempotency-key")
