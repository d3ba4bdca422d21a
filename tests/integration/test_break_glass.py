"""Seeing an identity in an emergency: for one case and half an hour, with a reason, audited, and somebody is paged."""

from uuid import uuid4

import pytest
from intake_ground import SECRETS, running

from services.intake.handlers.steps import IntakeDeps
from services.intake.policy import load_policy

WHY = {"reason": "imminent_danger", "reference": "PV-2026/117"}


@pytest.fixture
async def api(settings, pool, vault):
    async with running(IntakeDeps(pool, vault, settings, load_policy())) as found:
        yield found


def names(case):
    return [child.get("given_name") for child in case["children"]]


async def test_broken_glass_shows_one_case_for_a_while(api):
    """That case and no other, to whoever broke it and nobody else, until the time is over."""
    case, other = await api.opened(), await api.opened()
    assert names(await api.case(case, "viewer")) == [None]
    got = await api.post(f"/v1/cases/{case}/break-glass", WHY, "viewer")
    assert got.status == 201, got.body
    assert names(await api.case(case, "viewer")) == ["Lou"]
    history = (await api.get(f"/v1/cases/{case}/events", "viewer")).body
    assert "Voorbeeld" in str(history)
    assert names(await api.case(other, "viewer")) == [None]
    async with api.pool.acquire() as connection:
        await connection.execute("update kernel.token set principal = 'another' where principal = 'viewer'")
    assert names(await api.case(case, "viewer")) == [None], "another viewer"
    await api.pool.execute("update kernel.token set principal = 'viewer' where principal = 'another'")
    await api.pool.execute("update intake.break_glass set until = clock_timestamp()")
    assert names(await api.case(case, "viewer")) == [None], "the time is over"


async def test_somebody_is_paged_and_everything_is_audited(api):
    """One page for one case and person, which names who to call and no child; every look is an entry."""
    case = await api.opened()
    for _ in range(2):
        await api.post(f"/v1/cases/{case}/break-glass", WHY, "viewer")
    await api.case(case, "viewer")
    [page] = await api.pool.fetch("select matter, text, times from kernel.page")
    assert (page["matter"], page["times"]) == (f"break-glass:{case}:viewer", 2)
    assert "viewer (viewer)" in page["text"]
    assert "PV-2026/117" in page["text"]
    assert not [secret for secret in SECRETS if secret in page["text"]]
    rows = await api.pool.fetch(
        "select action from kernel.audit where principal = 'viewer' order by audit_id"
    )
    called = "called POST /v1/cases/{case_id}/break-glass"
    broken = "glass.broken imminent_danger"
    assert [row["action"] for row in rows] == [called, broken, called, broken, "case.read"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        (WHY | {"reason": "curious"}, 422),
        (WHY | {"reference": "ask Lou Voorbeeld"}, 422),
        (WHY | {"reference": ""}, 422),
        (WHY | {"note": "x"}, 422),
    ],
)
async def test_without_a_listed_reason_and_a_reference_the_glass_holds(api, body, status):
    """Nothing opens, nobody is paged; a reference is a number and has no room for a name."""
    case = await api.opened()
    assert (await api.post(f"/v1/cases/{case}/break-glass", body, "viewer")).status == status
    assert names(await api.case(case, "viewer")) == [None]
    assert await api.pool.fetchval("select count(*) from kernel.page") == 0


async def test_there_must_be_a_case_and_staff_need_no_glass(api):
    """404 for no case; 403 for those who see identities anyway, and for partners."""
    assert (await api.post(f"/v1/cases/{uuid4()}/break-glass", WHY, "viewer")).status == 404
    case = await api.opened()
    for who in ("operator", "admin", "partner"):
        assert (await api.post(f"/v1/cases/{case}/break-glass", WHY, who)).status == 403
