"""Intake over HTTP, on a real PostgreSQL: every documented answer, and what must not happen with it."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from intake_ground import CASE, LOU, NOA, NOW, SECRETS, assessed, consent, in_time, running

from schemas.events import (
    AlertIssued,
    AlertUpdated,
    DeliveryDelivered,
    ReceiptRecorded,
)
from services.eventlog.store import (
    alert_stream,
    assessment_stream,
    case_stream,
    delivery_stream,
    lock_streams,
    stopped,
)
from services.intake.handlers.steps import IntakeDeps
from services.intake.main import arm_releases, run_due
from services.intake.policy import load_policy
from services.kernel.vault import Vault, key_name


@pytest.fixture
def deps(settings, pool, vault) -> IntakeDeps:
    return IntakeDeps(pool, vault, settings, load_policy())


@pytest.fixture
async def api(deps):
    async with running(deps) as found:
        yield found


# ── cases ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_case_is_opened_and_read(api):
    """Opening answers 201 with id, number, version and ETag; reading gives the identity back to staff."""
    got = await api.post("/v1/cases", CASE)
    assert got.status == 201
    assert set(got.body) >= {"case_id", "case_number", "version", "possible_duplicates"}
    assert got.headers["ETag"] == f'"{got.body["version"]}"'
    answer = await api.get(f"/v1/cases/{got.body['case_id']}")
    case = answer.body
    assert answer.headers["ETag"] == got.headers["ETag"]
    assert case["case_number"] == got.body["case_number"]
    assert (case["state"], case["worrying"], case["kind"]) == ("open", False, "runaway")
    child = case["children"][0]
    assert (child["given_name"], child["age_min"], child["age_max"]) == ("Lou", 12, 12)
    assert case["last_seen"]["place"] == "Verzonnenplein"
    assert case["circumstances"][0]["note"] == "verzonnen insuline"


async def test_a_viewer_sees_no_identity(api):
    """A viewer reads the case and its history without a single sealed value."""
    case = await api.opened(children=[LOU, NOA])
    await api.fact(case, "note_added", text="Verzonnenplein")
    await api.requested(case, texts={"nl": {"headline": "Lou", "body": "Noa"}})
    for path in (f"/v1/cases/{case}", f"/v1/cases/{case}/events"):
        got = await api.get(path, "viewer")
        assert got.status == 200
        assert not [secret for secret in SECRETS if secret in json.dumps(got.body)]
        assert "parent" not in json.dumps(got.body)


async def test_nothing_that_says_who_it_was_is_stored_in_clear(api, capfd):
    """After a whole life of a case no name, birth date, place, note or text is in the log's bytes or in our logs."""
    # Long names: three letters would turn up by chance in what is sealed.
    lou, noa = LOU | {"given_name": "Loukianne"}, NOA | {"given_name": "Noamberlie"}
    secrets = [secret for secret in SECRETS if len(secret) > 3] + ["Loukianne", "Noamberlie"]
    case = await api.opened(children=[lou, noa])
    await api.fact(
        case,
        "details_corrected",
        children=[{"child": 1, "given_name": "Noamberlie", "description": "rode jas"}],
    )
    await api.fact(
        case, "sighting_reported", at=NOW, place="Verzonnenplein", lat=50.8791234, lon=4.71, note="rode jas"
    )
    await api.fact(case, "circumstance_reported", criterion="under_13", value="yes", note="insuline")
    await api.fact(case, "worrying_overridden", worrying=True, reason="Loukianne")
    await api.fact(case, "police_informed", at=NOW, reference="Rechter")
    await api.fact(case, "note_added", text="Voorbeeld")
    await api.released(case, texts={"nl": {"headline": "Loukianne", "body": "Noamberlie"}})
    await api.fact(case, "child_located", child=1, outcome="returned", at=NOW)
    await api.fact(case, "closed", outcomes=[{"child": 0, "outcome": "found_safe"}])
    await api.get(f"/v1/cases/{case}")
    await api.post("/v1/children:search", {k: lou[k] for k in ("given_name", "family_name", "date_of_birth")})
    stored = await api.pool.fetchval("select string_agg(e::text, ' ') from eventlog.events e")
    tables = await api.pool.fetchval("select string_agg(b::text, ' ') from intake.blind_index b")
    written = stored + tables + "".join(capfd.readouterr())
    assert not [secret for secret in secrets if secret in written]
    history = (await api.get(f"/v1/cases/{case}/events")).body["items"]
    opened = json.dumps(history)
    assert not [secret for secret in secrets if secret not in opened]


async def test_a_case_as_known_at_a_moment(api):
    """`at` shows the case as it was known then; before its opening there is none; a naive time is 422."""
    case = await api.opened()
    first = (await api.get(f"/v1/cases/{case}/events")).body["items"][0]["recorded_at"]
    await api.fact(case, "closed", outcomes=[{"child": 0, "outcome": "returned"}])
    then = await api.get(f"/v1/cases/{case}?at={first.replace('+', '%2B')}")
    assert (then.body["state"], then.body["version"]) == ("open", 1)
    assert (await api.case(case))["state"] == "closed"
    assert (await api.get(f"/v1/cases/{case}?at=2000-01-01T00:00:00Z")).status == 404
    assert (await api.get(f"/v1/cases/{case}?at=2000-01-01T00:00:00")).status == 422


async def test_the_same_child_keeps_its_id_and_shows_the_duplicate(api):
    """Names and birth date, whatever case and accents, find the child; open cases are shown, closed ones not."""
    first = (await api.post("/v1/cases", CASE)).body
    twin = LOU | {"given_name": " lóu ", "family_name": "VOORBEELD"}
    second = (await api.post("/v1/cases", CASE | {"children": [twin]})).body
    assert second["possible_duplicates"] == [
        {"case_id": first["case_id"], "case_number": first["case_number"]}
    ]
    assert second["children"] == first["children"]
    assert first["case_number"] != second["case_number"]
    await api.fact(first["case_id"], "closed", outcomes=[{"child": 0, "outcome": "returned"}])
    third = (await api.post("/v1/cases", CASE)).body
    assert [twin["case_id"] for twin in third["possible_duplicates"]] == [second["case_id"]]
    assert [before["case_id"] for before in third["earlier_cases"]] == [first["case_id"]]
    found = await api.post(
        "/v1/children:search", {k: twin[k] for k in ("given_name", "family_name", "date_of_birth")}
    )
    states = [case["state"] for case in found.body["items"][0]["cases"]]
    assert (found.status, states) == (200, ["closed", "open", "open"])


async def test_an_identity_that_becomes_known_later_shows_the_duplicate(api):
    """A correction that completes names and birth date names the other cases, and a search finds every one of them."""
    first = (await api.post("/v1/cases", CASE)).body["case_id"]
    second = await api.opened(children=[{"given_name": "Lou"}])
    nothing_new = await api.fact(second, "details_corrected", children=[{"child": 0, "gender": "girl"}])
    assert nothing_new.body["possible_duplicates"] == []
    names = {k: LOU[k] for k in ("given_name", "family_name", "date_of_birth")}
    got = await api.fact(second, "details_corrected", children=[{"child": 0, **names}])
    assert [one["case_id"] for one in got.body["possible_duplicates"]] == [first]
    found = (await api.post("/v1/children:search", names)).body["items"]
    assert [[case["case_id"] for case in item["cases"]] for item in found] == [[first], [second]]
    third = (await api.post("/v1/cases", CASE)).body
    assert [one["case_id"] for one in third["possible_duplicates"]] == [first, second]
    assert third["children"][0]["child_id"] == found[0]["child_id"], "whoever was known first"


async def test_a_child_of_an_exercise_is_nobody_real(api):
    """Neither recognises the other: not at an opening, not by a correction; a search says which is which."""
    real = (await api.post("/v1/cases", CASE)).body
    drill = (await api.post("/v1/cases", CASE | {"mode": "exercise"})).body
    again = (await api.post("/v1/cases", CASE | {"mode": "exercise"})).body
    assert (
        real["children"][0]["child_id"]
        != drill["children"][0]["child_id"]
        == again["children"][0]["child_id"]
    )
    assert drill["possible_duplicates"] == []
    assert [one["case_id"] for one in again["possible_duplicates"]] == [drill["case_id"]]
    names = {k: LOU[k] for k in ("given_name", "family_name", "date_of_birth")}
    late = await api.opened(children=[{"given_name": "Lou"}])
    got = await api.fact(late, "details_corrected", children=[{"child": 0, **names}])
    assert [one["case_id"] for one in got.body["possible_duplicates"]] == [real["case_id"]]
    found = (await api.post("/v1/children:search", names)).body["items"]
    modes = {case["case_id"]: case["mode"] for item in found for case in item["cases"]}
    assert modes == {
        real["case_id"]: "actual",
        drill["case_id"]: "exercise",
        again["case_id"]: "exercise",
        late: "actual",
    }


async def test_a_child_called_in_twice_at_once_is_one_child(api):
    """Six openings at the same moment give one child id and six numbers."""
    got = await asyncio.gather(*(api.post("/v1/cases", CASE) for _ in range(6)))
    assert len({one.body["children"][0]["child_id"] for one in got}) == 1
    assert len({one.body["case_number"] for one in got}) == 6


async def test_a_closed_case_takes_only_notes_and_reopening(api):
    """409 with the rule, and nothing is appended."""
    case = await api.opened()
    assert (await api.fact(case, "reopened", reason="x")).body["rule"] == "case-open"
    assert (await api.fact(case, "closed", outcomes=[])).status == 409
    assert (await api.fact(case, "closed", outcomes=[{"child": 0, "outcome": "returned"}])).status == 201
    before = await api.count()
    got = await api.fact(case, "police_informed", at=NOW)
    assert (got.status, got.body["rule"]) == (409, "case-closed")
    assert await api.count() == before
    assert (await api.fact(case, "note_added", text="x")).status == 201
    assert (await api.fact(case, "reopened", reason="x")).status == 201
    again = await api.case(case)
    assert (again["state"], again["children"][0]["outcome"]) == ("open", None)


@pytest.mark.parametrize(
    ("fact", "status", "rule"),
    [
        ({"type": "child_located", "child": 5, "outcome": "returned", "at": NOW}, 422, "child-index"),
        (
            {"type": "circumstance_reported", "criterion": "under_13", "value": "yes", "child": 5},
            422,
            "child-index",
        ),
        ({"type": "details_corrected"}, 422, "nothing-corrected"),
        ({"type": "details_corrected", "children": [{"child": 5, "gender": "boy"}]}, 422, "child-index"),
        (
            {"type": "details_corrected", "children": [{"child": 0, "date_of_birth": "2022-01-01"}]},
            422,
            "born-after-disappearance",
        ),
        (
            {"type": "details_corrected", "disappeared_at": "2001-01-01T00:00:00Z"},
            422,
            "born-after-disappearance",
        ),
        ({"type": "details_corrected", "details": {"subject": "young_adult"}}, 422, "details-of-kind"),
        ({"type": "details_corrected", "last_seen": {"postal_code": "1999"}}, 422, "unknown-postcode"),
        (
            {"type": "sighting_reported", "at": "2021-03-04T17:00:00+01:00"},
            422,
            "sighting-before-disappearance",
        ),
        ({"type": "circumstance_retracted", "event_id": str(uuid4()), "reason": "x"}, 409, "no-circumstance"),
        ({"type": "override_withdrawn"}, 409, "no-override"),
        ({"type": "merged_into", "case_id": str(uuid4())}, 422, "no-such-case"),
        ({"type": "closed", "outcomes": [{"child": 0, "outcome": "returned"}] * 2}, 422, "outcome-twice"),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else str(value),
)
async def test_facts_that_do_not_fit_are_refused(api, fact, status, rule):
    """Content is 422, a rule of state 409; the problem names the rule and nothing is appended."""
    case = await api.opened()
    before = await api.count()
    got = await api.post(f"/v1/cases/{case}/events", fact)
    assert (got.status, got.body["rule"]) == (status, rule)
    assert got.headers["Content-Type"] == "application/problem+json"
    assert await api.count() == before


async def test_ages_follow_corrections(api):
    """A corrected birth date, disappearance or estimate changes the ages, which are those at the disappearance."""
    case = await api.opened(children=[LOU, NOA])
    await api.fact(case, "details_corrected", disappeared_at="2021-07-01T00:30:00+02:00")
    children = (await api.case(case))["children"]
    assert [(c["age_min"], c["age_max"]) for c in children] == [(13, 13), (8, 10)]
    await api.fact(case, "details_corrected", disappeared_at="2021-06-30T21:59:00Z")
    assert (await api.case(case))["children"][0]["age_min"] == 12
    change = {"child": 1, "date_of_birth": "2015-01-01"}
    await api.fact(
        case, "details_corrected", children=[change, {"child": 0, "age_estimate": {"min": 11, "max": 14}}]
    )
    lou, noa = (await api.case(case))["children"]
    assert (noa["age_min"], noa["age_max"], noa["given_name"]) == (6, 6, "Noa")
    assert (lou["age_min"], lou["age_max"], lou.get("date_of_birth")) == (11, 14, None)


async def test_a_merge_moves_the_children_and_leaves_exactly_one_campaign(api):
    """Its campaign is dark and goes on in the other case, with the children and what is known; it takes no facts."""
    told = [CASE["circumstances"][0] | {"child": 1}]
    case = await api.opened(children=[LOU, NOA], circumstances=told)
    other = await api.opened(circumstances=[])
    campaign = await api.released(case)
    assert (await api.fact(case, "merged_into", case_id=case)).status == 422
    assert (await api.fact(case, "merged_into", case_id=other)).status == 201
    merged, kept = await api.case(case), await api.case(other)
    assert (merged["state"], merged["merged_into"]) == ("closed", other)
    assert [child["given_name"] for child in kept["children"]] == ["Lou", "Noa"]
    assert kept["children"][1]["child_id"] == merged["children"][1]["child_id"]
    assert [(told["child"], told["note"]) for told in kept["circumstances"]] == [(1, "verzonnen insuline")]
    assert merged["campaigns"][0]["state"] == "ended"
    (going_on,) = kept["campaigns"]
    assert (going_on["active"], going_on["children"]) == (True, [0, 1])
    assert going_on["consents"] == merged["campaigns"][0]["consents"]
    assert going_on["continues"] == campaign
    assert going_on["released_at"] == merged["campaigns"][0]["released_at"]
    path = f"/v1/campaigns/{going_on['campaign_id']}/end"
    assert (await api.post(path, {"reason": "other"}, "coordinator")).status == 200
    ids = [UUID(case), UUID(campaign)]
    assert set(await stopped(api.pool, ids)) == {("case", ids[0]), ("campaign", ids[1])}
    assert (await api.fact(case, "police_informed", at=NOW)).body["rule"] == "case-merged"
    assert (await api.fact(other, "merged_into", case_id=case)).status == 409


async def test_closing_darkens_the_case_even_without_a_campaign(api):
    """A stop with the version of the closing, for the standby alerts; a requested campaign ends too."""
    case = await api.opened()
    await api.requested(case)
    got = await api.fact(case, "closed", outcomes=[{"child": 0, "outcome": "found_safe"}])
    assert await stopped(api.pool, [UUID(case)]) == {("case", UUID(case)): got.body["version"]}
    assert (await api.case(case))["campaigns"][0]["state"] == "ended"


# ── the edge ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "who", "status", "rule"),
    [
        (b'{"kind": ', "operator", 400, "malformed-json"),
        (CASE | {"hair": "rood"}, "operator", 422, "content"),
        (CASE | {"disappeared_at": "2021-03-04T17:30:00"}, "operator", 422, "content"),
        (CASE | {"kind": "Lou"}, "operator", 422, "content"),
        (CASE | {"disappeared_at": None}, "operator", 422, "content"),
        (CASE | {"last_seen": {"postal_code": "1999"}}, "operator", 422, "unknown-postcode"),
        (
            CASE | {"children": [LOU | {"date_of_birth": "2021-03-05"}]},
            "operator",
            422,
            "born-after-disappearance",
        ),
        (CASE, "", 401, "token"),
        (CASE, "zl_unknown", 401, "token"),
        (CASE, "viewer", 403, "role"),
        (CASE, "partner", 403, "role"),
        (
            CASE | {"circumstances": [CASE["circumstances"][0] | {"note": "x" * 70_000}]},
            "operator",
            413,
            "body-size",
        ),
    ],
)
async def test_openings_that_are_refused_change_nothing(api, body, who, status, rule):
    """Each documented error has its status and rule, repeats no value, and nothing is appended."""
    got = await api.post("/v1/cases", body, who)
    assert (got.status, got.body["rule"]) == (status, rule)
    assert got.headers["Content-Type"] == "application/problem+json"
    assert not [secret for secret in (*SECRETS, "rood") if secret in json.dumps(got.body)]
    assert await api.count() == 0


async def test_a_wrong_type_or_key_is_not_repeated(api):
    """Not even the name of an unknown fact or of a language that does not exist comes back."""
    case = await api.opened()
    wrong = await api.fact(case, "Lou")
    texts = {"Voorbeeld": {"headline": "", "body": "x"}}
    body = {"kind": "vignette", "areas": ["24062"], "texts": texts}
    keyed = await api.post(f"/v1/cases/{case}/campaigns", body)
    assert (wrong.status, keyed.status) == (422, 422)
    assert "Lou" not in json.dumps(wrong.body)
    assert "Voorbeeld" not in json.dumps(keyed.body)


async def test_unknown_ids_are_404(api):
    """Also ids that are none."""
    for name in (str(uuid4()), "nothing"):
        assert (await api.get(f"/v1/cases/{name}")).status == 404
        assert (await api.get(f"/v1/cases/{name}/events")).status == 404
        assert (await api.fact(name, "override_withdrawn")).status == 404
        assert (await api.post(f"/v1/campaigns/{name}/release", {}, "coordinator")).status == 404
    reach = {"case_id": str(uuid4()), "people": 1, "interactions": 1, "at": NOW}
    assert (await api.post("/v1/reach", reach)).status == 404
    assert await api.count() == 0


async def test_a_stale_version_is_refused_and_says_what_changed(api):
    """412 with the current version and the types of what came in between; the current one is taken."""
    case = await api.opened()
    note = {"type": "note_added", "text": "x"}
    assert (await api.post(f"/v1/cases/{case}/events", note, If_Match='"1"')).status == 201
    stale = await api.post(f"/v1/cases/{case}/events", note, If_Match='"1"')
    assert stale.status == 412
    (changed,) = stale.body["changed"]
    assert (stale.body["current_version"], changed["version"], changed["type"], changed["by"]) == (
        2,
        2,
        "case.note_added.v1",
        "operator",
    )
    assert changed["event_id"] == (await api.get(f"/v1/cases/{case}/events")).body["items"][1]["event_id"]
    assert (await api.post(f"/v1/cases/{case}/events", note, If_Match='"2"')).status == 201
    assert await api.count() == 3


async def test_of_two_with_one_version_one_wins(api):
    """Eight commands on the same version: one is 201, the others 412."""
    case = await api.opened()
    note = {"type": "note_added", "text": "x"}
    got = await asyncio.gather(
        *(api.post(f"/v1/cases/{case}/events", note, If_Match='"1"') for _ in range(8))
    )
    assert sorted(one.status for one in got) == [201] + [412] * 7


async def test_without_a_version_everybody_gets_in(api):
    """Eight commands at once are all appended, one after the other."""
    case = await api.opened()
    got = await asyncio.gather(*(api.fact(case, "note_added", text="x") for _ in range(8)))
    assert sorted(one.body["version"] for one in got) == list(range(2, 10))


async def test_a_repeat_gets_the_first_answer(api):
    """Same key and body: the first answer, once in the log; another body: 422."""
    first = await api.post("/v1/cases", CASE, Idempotency_Key="k-1")
    again = await api.post("/v1/cases", CASE, Idempotency_Key="k-1")
    assert (again.status, again.body, again.headers["ETag"]) == (201, first.body, first.headers["ETag"])
    other = await api.post("/v1/cases", CASE | {"reported_by": "police"}, Idempotency_Key="k-1")
    assert (other.status, other.body["rule"]) == (422, "idempotency-key")
    assert await api.count() == 1


async def test_a_repeat_after_closing_is_still_the_first_answer(api):
    """A lost answer can be asked for again though the state forbids the command now."""
    case = await api.opened()
    close = {"type": "closed", "outcomes": [{"child": 0, "outcome": "returned"}]}
    path = f"/v1/cases/{case}/events"
    first, second = [await api.post(path, close, Idempotency_Key="k") for _ in range(2)]
    assert (first.status, second.body) == (201, first.body)


async def test_a_key_in_flight_is_409(api):
    """While a request with the same key is at work, the second one is asked to come back; it is done once."""
    case = await api.opened()

    async def note() -> Any:
        return await api.post(
            f"/v1/cases/{case}/events", {"type": "note_added", "text": "x"}, Idempotency_Key="k"
        )

    async with api.pool.acquire() as connection, connection.transaction():
        await lock_streams(connection, [case_stream(UUID(case))])
        both = [asyncio.create_task(note()) for _ in range(2)]
        done, waiting = await asyncio.wait(both, timeout=15, return_when=asyncio.FIRST_COMPLETED)
    (refused,), (first,) = [one.result() for one in done], await asyncio.gather(*waiting)
    assert (refused.status, refused.body["rule"], first.status) == (409, "idempotency-in-flight", 201)
    assert refused.headers["Retry-After"] == "1"
    assert (await note()).body == first.body
    assert await api.types(case) == ["case.opened.v1", "case.note_added.v1"]


async def test_refused_commands_are_not_kept(api):
    """Only 2xx answers are remembered: after the cause is gone the same key works."""
    case = await api.opened()
    path, reopen = f"/v1/cases/{case}/events", {"type": "reopened", "reason": "x"}
    assert (await api.post(path, reopen, Idempotency_Key="k")).status == 409
    await api.fact(case, "closed", outcomes=[{"child": 0, "outcome": "returned"}])
    assert (await api.post(path, reopen, Idempotency_Key="k")).status == 201


# ── campaigns ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_whoever_requested_cannot_release(api):
    """403 four-eyes for the requester, 403 role for others than the policy's roles, 200 for a colleague."""
    case = await api.opened()
    campaign = await api.requested(case, who="coordinator")
    path = f"/v1/campaigns/{campaign}/release"
    before = await api.count()
    mine = await api.post(path, {}, "coordinator")
    assert (mine.status, mine.body["rule"]) == (403, "four-eyes")
    assert (await api.post(path, {}, "operator")).status == 403
    assert (await api.post(path, {}, "viewer")).status == 403
    assert (await api.post(path, {"force": True}, "admin")).status == 422
    assert await api.count() == before
    got = await api.post(path, {}, "admin")
    assert (got.status, got.body["state"]) == (200, "released")
    assert (await api.post(path, {}, "admin")).body["rule"] == "already-released"


async def test_consents_that_are_missing_or_refused_forbid_the_release(api):
    """409 names the parties; a prosecutor may do without the parents, with a reason; then it is released."""
    case = await api.opened()
    body = {"kind": "public", "areas": ["province:20001"], "consents": [consent("police")]}
    campaign = (await api.post(f"/v1/cases/{case}/campaigns", body)).body["campaign_id"]
    consents, release = (f"/v1/campaigns/{campaign}/{step}" for step in ("consents", "release"))
    missing = await api.post(release, {}, "coordinator")
    assert (missing.status, missing.body["rule"]) == (409, "consents-missing")
    assert missing.body["parties"] == ["child_focus", "parents", "public_prosecutor"]
    await api.post(consents, consent("child_focus"))
    await api.post(consents, consent("parents", "refused"))
    refused = await api.post(release, {}, "coordinator")
    assert (refused.status, refused.body["parties"]) == (409, ["parents"])
    waiver = {"waives": ["parents"], "reason": "een ouder is verdachte"}
    assert (await api.post(consents, consent("police", **waiver))).body["rule"] == "waiver"
    assert (await api.post(consents, consent("public_prosecutor", **waiver))).status == 201
    assert (await api.post(release, {}, "coordinator")).status == 200


async def test_a_released_appeal_says_who_in_every_language(api, deps):
    """Without own texts the policy's speak, in four languages: name, age, place, 116 000, and no medical fact."""
    case = await api.opened()
    await api.released(case)
    shown = (await api.case(case))["campaigns"][0]
    assert shown["languages"] == ["nl", "fr", "de", "en"]
    assert shown["texts"]["fr"]["body"].startswith(
        "Lou Voorbeeld, 12 ans. Vu pour la dernière fois à Louvain."
    )
    for text in shown["texts"].values():
        assert "116 000" in text["body"]
        assert "insuline" not in text["body"]
    assert datetime.fromisoformat(shown["expires_at"]) > datetime.now(UTC) + timedelta(days=29)


async def test_a_withdrawn_consent_ends_the_campaign_at_once(api):
    """A refusal after the release: the end and the stop are in the same commit."""
    case = await api.opened()
    campaign = await api.released(case)
    got = await api.post(f"/v1/campaigns/{campaign}/consents", consent("police", "refused"))
    assert (got.status, got.body["state"]) == (201, "ended")
    assert await stopped(api.pool, [UUID(campaign)]) == {("campaign", UUID(campaign)): got.body["version"]}
    assert (await api.case(case))["campaigns"][0]["end_reason"] == "consent_withdrawn"
    assert (await api.post(f"/v1/campaigns/{campaign}/consents", consent("police"))).status == 409


def _names_lou(texts: Any) -> bool:
    return "Lou" in json.dumps(texts).replace("Louvain", "")


async def test_a_located_child_leaves_every_active_campaign(api):
    """The same commit updates the campaign without the child; own texts, which may name it, are replaced."""
    case = await api.opened(children=[LOU, NOA])
    await api.released(case, texts={"nl": {"headline": "Lou en Noa", "body": "Lou en Noa"}})
    assert (await api.case(case))["campaigns"][0]["texts"]["nl"]["headline"] == "Lou en Noa"
    await api.fact(case, "child_located", child=0, outcome="found_safe", at=NOW)
    assert (await api.types(case))[-2:] == ["case.child_located.v1", "campaign.updated.v1"]
    campaign = (await api.case(case))["campaigns"][0]
    assert campaign["children"] == [1]
    assert not _names_lou(campaign["texts"])
    assert (await api.fact(case, "child_located", child=0, outcome="returned", at=NOW)).status == 409
    await api.fact(case, "child_located", child=1, outcome="returned", at=NOW)
    ended = (await api.case(case))["campaigns"][0]
    assert (ended["state"], ended["end_reason"]) == ("ended", "child_found")


async def test_own_texts_about_a_child_found_before_the_release_are_not_shown(api):
    """A child that was located between request and release is neither pictured nor named."""
    case = await api.opened(children=[LOU, NOA])
    campaign = await api.requested(case, texts={"nl": {"headline": "Lou en Noa", "body": "Lou en Noa"}})
    await api.fact(case, "child_located", child=0, outcome="found_safe", at=NOW)
    assert (await api.post(f"/v1/campaigns/{campaign}/release", {}, "coordinator")).status == 200
    shown = (await api.case(case))["campaigns"][0]
    assert shown["children"] == [1]
    assert not _names_lou(shown["texts"])


async def test_location_and_release_at_once_never_show_the_found_child(api):
    """Whichever comes first, the newest appeal of an active campaign holds only missing children."""
    for _ in range(4):
        case = await api.opened(children=[LOU, NOA])
        campaign = await api.requested(case)
        release = api.post(f"/v1/campaigns/{campaign}/release", {}, "coordinator")
        located = api.fact(case, "child_located", child=0, outcome="found_safe", at=NOW)
        got = await asyncio.gather(release, located)
        assert [one.status for one in got] == [200, 201]
        assert (await api.case(case))["campaigns"][0]["children"] == [1]


async def test_update_extend_and_end(api):
    """Each is a next step of a released campaign; a child alert lasts 6 h, three extensions, 24 h at most."""
    case = await api.opened()
    campaign = await api.requested(case, "child_alert")
    path = f"/v1/campaigns/{campaign}"
    early = await api.post(f"{path}/update", {"areas": ["BE"], "reason": "x"}, "coordinator")
    assert (early.status, early.body["rule"]) == (409, "not-released")
    released = (await api.post(f"{path}/release", {}, "coordinator")).body
    ends = datetime.fromisoformat(released["expires_at"])
    assert timedelta(hours=5.9) < ends - datetime.now(UTC) <= timedelta(hours=6)
    assert (await api.post(f"{path}/update", {"areas": ["24999"], "reason": "x"}, "admin")).status == 422
    got = await api.post(f"{path}/update", {"areas": ["BE"], "languages": ["nl"], "reason": "x"}, "admin")
    assert got.status == 200
    too_far = {"expires_at": (ends + timedelta(hours=7)).isoformat()}
    assert (await api.post(f"{path}/extend", too_far, "coordinator")).status == 422
    for times in (1, 2, 3):
        later = {"expires_at": (ends + timedelta(hours=6 * times)).isoformat()}
        assert (await api.post(f"{path}/extend", later, "coordinator")).status == 200
    later = {"expires_at": (ends + timedelta(hours=18, seconds=1)).isoformat()}
    assert (await api.post(f"{path}/extend", later, "coordinator")).body["rule"] == "extensions-used"
    shown = (await api.case(case))["campaigns"][0]
    assert (shown["areas"], shown["languages"], shown["extensions"]) == (["BE"], ["nl"], 3)
    assert shown["audiences"] == ["display"]
    ended = await api.post(f"{path}/end", {"reason": "other", "note": "x"}, "coordinator")
    assert (ended.status, ended.body["state"]) == (200, "ended")
    assert (await api.post(f"{path}/end", {"reason": "other"}, "coordinator")).status == 409


async def test_requests_that_do_not_fit(api):
    """Unknown areas and ends in the past or beyond the policy are 422; a closed case takes no request."""
    case = await api.opened()
    path, before = f"/v1/cases/{case}/campaigns", await api.count()
    for change in (
        {"areas": ["Lou"]},
        {"areas": []},
        {"expires_at": "2021-03-04T17:30:00+01:00"},
        {"expires_at": (datetime.now(UTC) + timedelta(hours=7)).isoformat()},
    ):
        got = await api.post(path, {"kind": "child_alert", "areas": ["BE"]} | change)
        assert got.status == 422
        assert "Lou" not in json.dumps(got.body)
    assert await api.count() == before
    await api.fact(case, "closed", outcomes=[{"child": 0, "outcome": "returned"}])
    assert (await api.post(path, {"kind": "vignette", "areas": ["BE"]})).body["rule"] == "case-closed"


# ── timers ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_expired_campaign_ends_by_itself(api, deps):
    """Once its time is past by the clock of the database it ends with reason expired and a stop; before, it stays."""
    case = await api.opened()
    campaign = await api.requested(case, expires_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    await api.post(f"/v1/campaigns/{campaign}/release", {}, "coordinator")
    assert await run_due(deps) == 0
    await api.pool.execute("update intake.timer set due_at = clock_timestamp() - interval '1 s'")
    assert await run_due(deps) == 1
    assert (await api.case(case))["campaigns"][0]["state"] == "released", "a timer alone ends nothing"
    later, _ = await in_time(lambda end: api.released(case, "public", expires_at=end.isoformat()))
    async with asyncio.timeout(90):
        while not await run_due(deps):
            await api.pool.execute("select pg_sleep(0.05)")
    shown = {one["campaign_id"]: one for one in (await api.case(case))["campaigns"]}
    assert (shown[later]["state"], shown[later]["end_reason"]) == ("ended", "expired")
    assert shown[campaign]["state"] == "released"
    assert ("campaign", UUID(later)) in await stopped(api.pool, [UUID(later)])
    assert await run_due(deps) == 0


async def test_automatic_release_waits_for_worrying_and_for_consents(api, deps):
    """With release = automatic the requested campaign is released once, when the case is worrying and all consent."""
    kinds = dict(deps.policy.kinds)
    kinds["vignette"] = kinds["vignette"].model_copy(update={"release": "automatic"})
    automatic = IntakeDeps(
        deps.pool, deps.vault, deps.settings, deps.policy.model_copy(update={"kinds": kinds})
    )
    case = await api.opened()
    campaign = await api.requested(case, consents=[consent("police")])
    await api.pool.execute(
        "insert into intake.timer values ($1, 'release', clock_timestamp())", UUID(campaign)
    )

    tried = 0

    async def state() -> str:
        await api.pool.execute("update intake.timer set due_at = clock_timestamp() where kind = 'release'")
        nonlocal tried
        tried = await run_due(automatic)
        return (await api.case(case))["campaigns"][0]["state"]

    assert (await state(), tried) == ("requested", 0), "a calm case costs nothing"
    await api.put(case, assessment_stream(UUID(case)), assessed(worrying=True))
    assert await state() == "requested"
    await api.post(f"/v1/campaigns/{campaign}/consents", consent("child_focus"))
    await api.put(case, assessment_stream(UUID(case)), assessed(worrying=False))
    assert await state() == "requested"
    await api.put(case, assessment_stream(UUID(case)), assessed(worrying=True))
    assert await state() == "released"
    assert await api.pool.fetchval("select count(*) from intake.timer where kind = 'release'") == 0


async def test_a_policy_that_became_automatic_releases_what_was_requested_before(api, deps):
    """At its start the service sees what waits: not another kind, not what is released or ended, not a closed case."""
    kinds = dict(deps.policy.kinds)
    kinds["vignette"] = kinds["vignette"].model_copy(update={"release": "automatic"})
    automatic = replace(deps, policy=deps.policy.model_copy(update={"kinds": kinds}))
    case, closed = await api.opened(), await api.opened()
    waiting, other = await api.requested(case), await api.requested(case, "public")
    over = await api.requested(case)
    await api.post(f"/v1/campaigns/{over}/end", {"reason": "other"}, "coordinator")
    await api.requested(closed)
    await api.fact(closed, "closed", outcomes=[{"child": 0, "outcome": "returned"}])
    assert (await arm_releases(deps), await arm_releases(automatic), await arm_releases(automatic)) == (
        0,
        1,
        0,
    )
    await api.put(case, assessment_stream(UUID(case)), assessed(worrying=True))
    await run_due(automatic)
    states = {one["campaign_id"]: one["state"] for one in (await api.case(case))["campaigns"]}
    assert states == {waiting: "released", other: "requested", over: "ended"}
    assert await arm_releases(automatic) == 0


async def test_an_automatic_release_that_came_too_late_is_not_tried_for_ever(api, deps):
    """Once the end that was asked for is past, nothing can release the campaign: its timer is gone."""
    kinds = dict(deps.policy.kinds)
    kinds["vignette"] = kinds["vignette"].model_copy(update={"release": "automatic"})
    automatic = replace(deps, policy=deps.policy.model_copy(update={"kinds": kinds}))
    case = await api.opened()
    campaign, soon = await in_time(lambda end: api.requested(case, expires_at=end.isoformat()))
    await api.put(case, assessment_stream(UUID(case)), assessed(worrying=True))
    await api.pool.execute("select pg_sleep_until($1)", soon)
    await api.pool.execute(
        "insert into intake.timer values ($1, 'release', clock_timestamp())", UUID(campaign)
    )
    assert await run_due(automatic) == 1
    assert await api.pool.fetchval("select count(*) from intake.timer") == 0
    assert (await api.case(case))["campaigns"][0]["state"] == "requested"


async def test_a_failing_timer_pages_and_holds_up_nobody(api, deps):
    """A campaign that cannot be read is put off and paged; the others are done."""
    case = await api.opened()
    campaign = await api.released(case)
    await api.pool.execute("update intake.timer set due_at = clock_timestamp()")
    await api.pool.execute("insert into intake.campaign values ($1, $2)", uuid4(), UUID(case))
    await api.pool.execute(
        "insert into intake.timer select campaign_id, 'expire', '2000-01-01' from intake.campaign where campaign_id <> $1",
        UUID(campaign),
    )
    assert await run_due(deps) == 2
    assert await run_due(deps) == 0
    assert await api.pool.fetchval("select count(*) from kernel.page") == 1


# ── reading what others wrote ───────────────────────────────────────────────────────────────────────────────


async def test_a_case_shows_assessment_and_displays(api):
    """The newest assessment, and per alert and recipient the newest revision and how far it is."""
    case, alert, recipient = await api.opened(), uuid4(), uuid4()
    await api.put(case, assessment_stream(UUID(case)), assessed(worrying=True))
    fact = {"alert_id": alert, "kind": "vignette", "recipients": 1, "displays": 1, "to": (recipient,)}
    done = {
        "alert_id": alert,
        "recipient": recipient,
        "kind": "vignette",
        "audience": "display",
        "attempts": 1,
    }
    stream = delivery_stream(alert, recipient)

    async def state() -> tuple[int, str]:
        (display,) = (await api.case(case))["displays"]
        assert (display["alert_id"], display["recipient"]) == (str(alert), str(recipient))
        return display["revision"], display["state"]

    await api.put(case, alert_stream(alert), AlertIssued(revision=1, **fact))
    assert await state() == (1, "pending"), "also one that was never reached"
    unit = {**done, "recipient": uuid4(), "audience": "missing_persons_unit"}
    other = delivery_stream(alert, unit["recipient"])
    await api.put(case, other, DeliveryDelivered(revision=1, content="issued", at=NOW, **unit))
    await api.put(case, stream, DeliveryDelivered(revision=1, content="issued", at=NOW, **done))
    assert await state() == (1, "delivered")
    shown = ReceiptRecorded(alert_id=alert, revision=1, recipient=recipient, state="displayed", at=NOW)
    await api.put(case, stream, shown)
    assert await state() == (1, "displayed")
    await api.put(case, alert_stream(alert), AlertUpdated(revision=2, **fact))
    assert await state() == (2, "pending")
    await api.put(case, stream, DeliveryDelivered(revision=3, content="withdrawn", at=NOW, **done))
    assert await state() == (3, "withdrawn")
    await api.put(case, alert_stream(alert), AlertUpdated(revision=4, **{**fact, "to": ()}))
    assert await state() == (3, "withdrawn"), "a revision for others changes nothing here"
    await api.put(
        case,
        stream,
        ReceiptRecorded(alert_id=alert, revision=3, recipient=recipient, state="removed", at=NOW),
    )
    assert await state() == (3, "removed")
    read = await api.case(case)
    assert (read["worrying"], read["assessment"]["reasons"]) == (True, ["criterion:under_13"])


async def test_an_erased_child_says_so(api, vault: Vault):
    """Without its key the identity is gone, the case remains, and it takes no new identity."""
    case = await api.opened(children=[LOU, NOA])
    child = (await api.case(case))["children"][0]
    await vault.destroy([key_name("child", UUID(child["child_id"])), key_name("case", UUID(case))])
    lou, noa = (await api.case(case))["children"]
    assert (lou["erased"], "given_name" in lou, lou["age_min"]) == (True, False, 12)
    assert noa["given_name"] == "Noa"
    history = await api.get(f"/v1/cases/{case}/events")
    assert history.body["items"][0]["data"]["children"][0]["identity"] == {"erased": True}
    for fact in (
        {"type": "note_added", "text": "x"},
        {"type": "details_corrected", "children": [{"child": 0, "given_name": "Lou"}]},
    ):
        got = await api.post(f"/v1/cases/{case}/events", fact)
        assert (got.status, got.body["rule"]) == (409, "erased")
    assert (
        await api.fact(case, "closed", outcomes=[{"child": n, "outcome": "returned"} for n in (0, 1)])
    ).status == 201


async def test_calls_and_reach_are_counted(api):
    """Counters are events of their own streams, at the time they are about."""
    case = await api.opened()
    calls = await api.post("/v1/calls", {"count": 3, "at": NOW})
    reach = await api.post("/v1/reach", {"case_id": case, "people": 10, "interactions": 2, "at": NOW})
    assert (calls.status, reach.status) == (201, 201)
    rows = await api.pool.fetch(
        "select stream, subject, time from eventlog.events where topic = 'ops-events' order by 1"
    )
    assert [(row["stream"], row["subject"]) for row in rows] == [
        (f"ops-{case}", case),
        ("ops-calls", "calls"),
    ]
    assert {row["time"] for row in rows} == {datetime.fromisoformat(NOW)}
