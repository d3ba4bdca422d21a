"""Facts that contradict each other are refused by a problem that names the rule and what to do; nothing is appended."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from intake_ground import CASE, LOU, NOA, NOW, Api, Got, consent, running

from services.intake.handlers.steps import IntakeDeps
from services.intake.policy import load_policy

RETURNED = [{"child": 0, "outcome": "returned"}]
Tried = Callable[[Api, str], Awaitable[Got]]


@pytest.fixture
def deps(settings, pool, vault) -> IntakeDeps:
    return IntakeDeps(pool, vault, settings, load_policy())


@pytest.fixture
async def api(deps):
    async with running(deps) as found:
        yield found


def opening(**changes: object) -> Tried:
    async def tried(api: Api, _case: str) -> Got:
        return await api.post("/v1/cases", CASE | changes)

    return tried


def fact(kind: str, **fields: object) -> Tried:
    async def tried(api: Api, case: str) -> Got:
        return await api.fact(case, kind, **fields)

    return tried


def after(*facts: dict[str, object], then: Tried) -> Tried:
    """Some facts first, which are taken, then what is refused."""

    async def tried(api: Api, case: str) -> Got:
        for one in facts:
            assert (await api.post(f"/v1/cases/{case}/events", one)).status == 201
        return await then(api, case)

    return tried


def wanted(kind: str = "vignette", **more: object) -> Tried:
    async def tried(api: Api, case: str) -> Got:
        return await api.post(f"/v1/cases/{case}/campaigns", {"kind": kind, "areas": ["24062"], **more})

    return tried


def step(
    name: str, body: dict[str, object], *, kind: str = "vignette", released: bool = True, **more: object
) -> Tried:
    """A step of a campaign that is released, or only requested."""

    async def tried(api: Api, case: str) -> Got:
        campaign = await (api.released if released else api.requested)(case, kind, **more)
        return await api.post(f"/v1/campaigns/{campaign}/{name}", body, "coordinator")

    return tried


async def fourth_extension(api: Api, case: str) -> Got:
    campaign = await api.released(case, "child_alert")
    path = f"/v1/campaigns/{campaign}/extend"
    for hours in (7, 8, 9):
        got = await api.post(path, {"expires_at": in_hours(hours)}, "coordinator")
        assert got.status == 200, got.body
    return await api.post(path, {"expires_at": in_hours(10)}, "coordinator")


async def merged(api: Api, case: str) -> Got:
    other = await api.opened()
    assert (await api.fact(case, "merged_into", case_id=other)).status == 201
    return await api.fact(case, "police_informed", at=NOW)


async def own_release(api: Api, case: str) -> Got:
    campaign = await api.requested(case, who="coordinator")
    return await api.post(f"/v1/campaigns/{campaign}/release", {}, "coordinator")


async def second_of_a_kind(api: Api, case: str) -> Got:
    await api.released(case, "child_alert")
    campaign = await api.requested(case, "child_alert")
    return await api.post(f"/v1/campaigns/{campaign}/release", {}, "coordinator")


def counted(what: str, **figures: int) -> Tried:
    async def tried(api: Api, case: str) -> Got:
        about = {"case_id": case} if what == "reach" else {}
        return await api.post(f"/v1/{what}", {**about, **figures, "at": in_hours(1)})

    return tried


async def ended(api: Api, case: str) -> Got:
    campaign = await api.released(case)
    await api.post(f"/v1/campaigns/{campaign}/end", {"reason": "other"}, "coordinator")
    return await api.post(f"/v1/campaigns/{campaign}/update", {"areas": ["BE"], "reason": "x"}, "coordinator")


def in_hours(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


CLOSED = {"type": "closed", "outcomes": [*RETURNED, {"child": 1, "outcome": "returned"}]}
FOUND = {"type": "child_located", "child": 0, "outcome": "returned", "at": NOW}
BOTH_FOUND = (FOUND, FOUND | {"child": 1})
TEXTS = {"nl": {"headline": "Lou", "body": "x"}}

CONTRADICTIONS: dict[str, tuple[Tried, int, str]] = {
    "a closed case gets a campaign": (after(CLOSED, then=wanted()), 409, "case-closed"),
    "a closed case gets a fact": (after(CLOSED, then=fact("police_informed", at=NOW)), 409, "case-closed"),
    "a closed case is closed": (after(CLOSED, then=fact("closed", outcomes=RETURNED)), 409, "case-closed"),
    "an open case is reopened": (fact("reopened", reason="x"), 409, "case-open"),
    "a merged case gets a fact": (merged, 409, "case-merged"),
    "closing without an outcome for each child": (fact("closed", outcomes=RETURNED), 409, "outcome-missing"),
    "an outcome for an unknown child": (
        fact("closed", outcomes=[*CLOSED["outcomes"], {"child": 7, "outcome": "returned"}]),
        422,
        "child-index",
    ),
    "an outcome for a child below the first": (
        fact("closed", outcomes=[*CLOSED["outcomes"], {"child": -1, "outcome": "returned"}]),
        422,
        "content",
    ),
    "two outcomes for a child": (fact("closed", outcomes=RETURNED * 2), 422, "outcome-twice"),
    "an unknown child is found": (
        fact("child_located", child=7, outcome="returned", at=NOW),
        422,
        "child-index",
    ),
    "a found child is found": (
        after(FOUND, then=fact("child_located", child=0, outcome="returned", at=NOW)),
        409,
        "child-located",
    ),
    "nobody is missing any more": (after(*BOTH_FOUND, then=wanted()), 409, "nobody-missing"),
    "a birth date after the disappearance": (
        opening(children=[LOU | {"date_of_birth": "2021-03-05"}]),
        422,
        "born-after-disappearance",
    ),
    "a correction to a birth date after the disappearance": (
        fact("details_corrected", children=[{"child": 0, "date_of_birth": "2021-03-05"}]),
        422,
        "born-after-disappearance",
    ),
    "a correction to a disappearance before the birth": (
        fact("details_corrected", disappeared_at="2001-01-01T00:00:00Z"),
        422,
        "born-after-disappearance",
    ),
    "a birth date of long ago": (
        fact("details_corrected", children=[{"child": 0, "date_of_birth": "1890-01-01"}]),
        422,
        "too-old",
    ),
    "a child that was found before the disappearance": (
        fact("child_located", child=0, outcome="returned", at="2021-03-04T17:29:59+01:00"),
        422,
        "found-before-disappearance",
    ),
    "the same child twice": (
        opening(children=[LOU, NOA, LOU | {"given_name": " lóu ", "description": "x"}]),
        422,
        "child-twice",
    ),
    "a sighting before the disappearance": (
        fact("sighting_reported", at="2021-03-04T17:29:59+01:00"),
        422,
        "sighting-before-disappearance",
    ),
    "a disappearance in the future": (opening(disappeared_at=in_hours(1)), 422, "in-the-future"),
    "a correction to a disappearance in the future": (
        fact("details_corrected", disappeared_at=in_hours(1)),
        422,
        "in-the-future",
    ),
    "a sighting in the future": (fact("sighting_reported", at=in_hours(1)), 422, "in-the-future"),
    "the police will be informed": (fact("police_informed", at=in_hours(1)), 422, "in-the-future"),
    "a child will be found": (
        fact("child_located", child=0, outcome="returned", at=in_hours(1)),
        422,
        "in-the-future",
    ),
    "a consent in the future": (step("consents", consent("police", at=in_hours(1))), 422, "in-the-future"),
    "a request with a consent in the future": (
        wanted(consents=[consent("police"), consent("child_focus", at=in_hours(1))]),
        422,
        "in-the-future",
    ),
    "calls of the future": (counted("calls", count=1), 422, "in-the-future"),
    "reach in the future": (counted("reach", people=1, interactions=1), 422, "in-the-future"),
    "an unknown postcode at the opening": (
        opening(last_seen={"postal_code": "1999"}),
        422,
        "unknown-postcode",
    ),
    "an unknown postcode of a sighting": (
        fact("sighting_reported", at=NOW, postal_code="1999"),
        422,
        "unknown-postcode",
    ),
    "an unknown area": (wanted(areas=["24999"]), 422, "unknown-area"),
    "details of another kind": (
        fact("details_corrected", details={"subject": "young_adult"}),
        422,
        "details-of-kind",
    ),
    "a circumstance that nobody reported": (
        fact("circumstance_retracted", event_id=str(uuid4()), reason="x"),
        409,
        "no-circumstance",
    ),
    "no override to withdraw": (fact("override_withdrawn"), 409, "no-override"),
    "release without consents": (step("release", {}, released=False, consents=[]), 409, "consents-missing"),
    "release of a Child Alert without a magistrate": (
        step("release", {}, kind="child_alert", released=False, consents=[consent("police")]),
        409,
        "consents-missing",
    ),
    "release against a refusal": (
        step("release", {}, released=False, consents=[consent("police", "refused"), consent("child_focus")]),
        409,
        "refused",
    ),
    "release by whoever requested": (own_release, 403, "four-eyes"),
    "release twice": (step("release", {}), 409, "already-released"),
    "a second campaign of a kind": (second_of_a_kind, 409, "kind-is-shown"),
    "a waiver by somebody who may not": (
        step("consents", consent("police", waives=["parents"], reason="x")),
        422,
        "waiver",
    ),
    "an update before the release": (
        step("update", {"areas": ["BE"], "reason": "x"}, released=False),
        409,
        "not-released",
    ),
    "an update after the end": (ended, 409, "campaign-ended"),
    "a campaign that ends in the past": (
        wanted(expires_at="2021-03-04T17:30:00Z"),
        422,
        "expires-in-the-past",
    ),
    "a campaign longer than allowed": (wanted("child_alert", expires_at=in_hours(7)), 422, "too-long"),
    "an extension longer than allowed": (
        step("extend", {"expires_at": in_hours(12.5)}, kind="child_alert"),
        422,
        "too-long",
    ),
    "an extension that shortens": (
        step("extend", {"expires_at": in_hours(5)}, kind="child_alert"),
        422,
        "not-later",
    ),
    "an extension past the limit": (fourth_extension, 409, "extensions-used"),
    "own texts name a found child": (after(FOUND, then=wanted(texts=TEXTS)), 422, "names-found-child"),
    "a merge into itself": (
        lambda api, case: api.fact(case, "merged_into", case_id=case),
        422,
        "merge-into-itself",
    ),
    "a merge into nothing": (fact("merged_into", case_id=str(uuid4())), 422, "no-such-case"),
}


async def test_contradictions_are_refused_by_name(api, monkeypatch):
    """Each of the table: its status, its rule, what to do; and the refused call leaves nothing in the log."""
    call, before = api.call, 0

    async def counted(*args, **more):
        nonlocal before
        before = await api.count()
        return await call(*args, **more)

    monkeypatch.setattr(api, "call", counted)
    for name, (tried, status, rule) in CONTRADICTIONS.items():
        case = await api.opened(children=[LOU, NOA])
        got = await tried(api, case)
        assert (name, got.status, got.body["rule"]) == (name, status, rule)
        assert (name, await api.count()) == (name, before)
        assert got.headers["Content-Type"] == "application/problem+json"
        assert got.body["type"] == f"urn:zoeklicht:problem:{rule}"
        assert len(got.body["detail"]) > 20, "says what to do"
