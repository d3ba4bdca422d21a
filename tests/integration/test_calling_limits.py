"""Too many calls: who must wait, and who never does."""

import pytest
from web_ground import listening

from services.kernel.principals import Role, issue_token
from services.kernel.settings import load_settings

LIMIT = 10


@pytest.fixture
async def call(settings, pool):
    used = load_settings(**settings.model_dump() | {"calls_per_minute": LIMIT, "sign_ins_per_minute": 3})
    roles = [Role.VIEWER, Role.OPERATOR, Role.PARTNER]
    async with pool.acquire() as connection:
        tokens = {role: await issue_token(connection, f"a {role}", role) for role in roles}
    async with listening(used, pool) as web:

        async def one(method, path, who, **more):
            headers = {"Authorization": f"Bearer {tokens[who]}"} if who else {}
            async with web.client.request(method, path, headers=headers, **more) as answer:
                return answer.status, answer.headers.get("Retry-After")

        yield one


async def test_who_reads_too_often_waits_and_keeps_nobody_else_waiting(call):
    """429 with the seconds to wait, for that caller alone."""
    done = [await call("GET", "/v1/cases", Role.VIEWER) for _ in range(LIMIT + 5)]
    assert {status for status, _ in done[:LIMIT]} == {200}
    assert 429 in {status for status, _ in done}
    assert all(0 < int(wait) <= 7 for status, wait in done if status == 429)
    assert (await call("GET", "/v1/cases", Role.OPERATOR))[0] == 200


async def test_staff_is_never_kept_from_acting(call):
    """The line opens cases and ends campaigns however often it called; partners' programs are limited in all."""
    acting = [await call("POST", "/v1/cases", Role.OPERATOR, json={}) for _ in range(3 * LIMIT)]
    assert {status for status, _ in acting} == {422}
    sent = [await call("POST", "/v1/receipts", Role.PARTNER, json={}) for _ in range(LIMIT + 5)]
    assert 429 in {status for status, _ in sent}


async def test_guessing_is_slowed_down_by_address_and_locks_no_account(call):
    """The fourth try of a minute waits; whoever has a valid token works on."""
    tries = [await call("POST", "/login", None, data={"token": f"zl_{n}"}) for n in range(5)]
    assert [status for status, _ in tries[:3]] == [401, 401, 401]
    assert 429 in {status for status, _ in tries}
    assert (await call("GET", "/v1/cases", Role.OPERATOR))[0] == 200


async def test_who_reads_public_figures_too_often_waits_too(call):
    """Without a token it is the address that has a measure; people inside have their own."""
    done = [await call("GET", "/v1/statistics/dictionary", None) for _ in range(LIMIT + 5)]
    assert done[0] == (200, None)
    assert 429 in {status for status, _ in done}
    assert (await call("GET", "/v1/cases", Role.VIEWER))[0] == 200
