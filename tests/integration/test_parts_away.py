"""A part that is away: whoever calls is told so, nothing is half done, and the same call works once it is back."""

import asyncio
from dataclasses import replace

import pytest
from intake_ground import CASE, running
from key_service import TOKEN, key_service

from services.intake.handlers.steps import IntakeDeps
from services.intake.policy import load_policy
from services.kernel.postgres import create_pool
from services.kernel.vault import Ring, TransitKey, Vault


@pytest.fixture
def deps(settings, pool, vault) -> IntakeDeps:
    return IntakeDeps(pool, vault, settings, load_policy())


@pytest.fixture
async def service(tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    async with key_service() as one:
        yield one, TransitKey(one.url, tmp_path / "token")


async def test_a_case_waits_for_the_key_service(deps, pool, vault, service):
    """503 that names it and what to do, nothing recorded; the same call with the same key opens one case afterwards."""
    one, key = service
    one.token = "another"
    async with running(replace(deps, vault=Vault(vault._pool, Ring([key])))) as api:
        call = {"Idempotency-Key": "once-and-again"}
        got = await api.post("/v1/cases", CASE, **call)
        assert (got.status, got.body["rule"], got.headers["Retry-After"]) == (503, "away", "2")
        assert "refuses the token" in got.body["detail"]
        assert "Idempotency-Key" in got.body["detail"]
        assert TOKEN not in str(got.body)
        assert await pool.fetchval("select count(*) from eventlog.events") == 0
        one.token = TOKEN
        first = await api.post("/v1/cases", CASE, **call)
        assert first.status == 201
        assert (await api.post("/v1/cases", CASE, **call)).body == first.body
        assert (await api.case(first.body["case_id"]))["children"][0]["given_name"] == "Lou"


async def test_a_database_that_ends_our_session_is_a_503(deps, settings, pool):
    """PostgreSQL that goes while it is asked is nobody's fault: 503, and the next call works."""
    shared = await create_pool(settings.database_url.get_secret_value(), size=1, application="doomed")
    try:
        async with running(replace(deps, pool=shared)) as api:
            case = await api.opened()
            end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'doomed'"
            async with pool.acquire() as other, other.transaction():
                await other.execute("lock table eventlog.events in access exclusive mode")
                asking = api.get(f"/v1/cases/{case}")
                got = await _ended_while_asking(asking, pool, end)
            assert (got.status, got.body["rule"]) == (503, "away")
            assert (await api.get(f"/v1/cases/{case}")).status == 200
    finally:
        await shared.close()


async def _ended_while_asking(asking, pool, end):
    task = asyncio.create_task(asking)
    waits = (
        "select count(*) from pg_stat_activity where application_name = 'doomed' and wait_event_type = 'Lock'"
    )
    while not await pool.fetchval(waits):
        assert not task.done()
        await asyncio.sleep(0.01)
    await pool.execute(end)
    return await task
