"""What a claim finds, and what it costs, however many wait and however many of them have no room."""

import re
from uuid import UUID

import pytest
from sender_ground import Ground

from services.dispatch.lanes import claim

A_FEW = 8
"""Asked for: a claim then looks at the 32 lanes that were due first, and at 64 recipients in a turn."""


@pytest.fixture
def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


async def found(pool, most: int = A_FEW) -> list[UUID]:
    claims = await claim(pool, "test", 30, lambda: 0.0, most=most, most_withdrawals=most)
    return [one.recipient_id for one in claims]


async def crowd(ground: Ground, count: int, state: str = "active") -> list[UUID]:
    """Many recipients at once; none of them can be sent to, since their secrets are another's."""
    model = await ground.recipient("http://127.0.0.1:9/hook", state)
    rows = await ground.pool.fetch(
        "insert into dispatch.recipient (recipient_id, name, url, format, content, areas, languages, contact, audience,"
        " exercise, state, secret) select gen_random_uuid(), gen_random_uuid()::text, url, format, content, areas,"
        " languages, contact, audience, exercise, state, secret from dispatch.recipient, generate_series(2, $2)"
        " where recipient_id = $1 returning recipient_id",
        model,
        count,
    )
    return [model, *(row["recipient_id"] for row in rows)]


async def open_breakers(pool, recipients: list[UUID], probe_in_s: int = 3600) -> None:
    await pool.execute(
        "insert into dispatch.breaker (recipient_id, failures, total, failed, is_open, probe_at, probe_s)"
        " select r, 5, 5, 5, true, clock_timestamp() + make_interval(secs => $2), 60 from unnest($1::uuid[]) r",
        recipients,
        probe_in_s,
    )


async def test_partner_with_room_is_found_behind_many_lanes_of_one_without(ground, pool):
    """A partner that hangs, with more due than a claim looks at, keeps nothing from the one that comes after it."""
    full, other = await crowd(ground, 2)
    for _ in range(40):
        await ground.alert([full])
    await ground.alert([other])
    assert await found(pool) == [full] * 3 + [other]
    assert await found(pool) == []


async def test_partner_with_room_is_found_behind_many_partners_without(ground, pool):
    """Behind more partners that are away than one turn looks at, too: turns go on where the last one ended."""
    away = await crowd(ground, 150)
    await ground.alert(away)
    await open_breakers(pool, away)
    there = await crowd(ground, 3)
    await ground.alert(there)
    claimed = await found(pool)
    assert sorted(claimed) == sorted(there)


async def test_probe_is_found_behind_many_lanes_that_are_due(ground, pool):
    """A partner that may be back is asked, whatever else is due and whenever its next delivery would be."""
    away, back = await crowd(ground, 700), await ground.recipient("http://127.0.0.1:9/hook")
    await ground.alert(away)
    await open_breakers(pool, away)
    await ground.alert([back])
    await open_breakers(pool, [back], probe_in_s=-1)
    await pool.execute(
        "update dispatch.lane set due_at = due_at + interval '1 hour' where recipient_id = $1", back
    )
    assert await found(pool) == [back]
    assert await found(pool) == []


async def test_withdrawal_comes_first_behind_many_that_have_no_room(ground, pool):
    """Withdrawals of partners that hang do not keep another's withdrawal back, nor let an appeal overtake it."""
    full, other, third = await crowd(ground, 3)
    for _ in range(40):
        await ground.revise(await ground.alert([full]), "withdrawn")
    await ground.alert([third])
    assert await found(pool, 4) == [full] * 4
    late = await ground.alert([other])
    await ground.revise(late, "withdrawn")
    claimed = await found(pool)
    assert set(claimed) == {other, third}
    assert claimed[0] == other


@pytest.mark.parametrize("withdrawn", [False, True])
async def test_claim_costs_the_same_however_many_wait(ground, pool, withdrawn):
    """Pages read by a claim: no more with 2,000 recipients than with 300, whatever the tables were when it was planned."""
    read = []
    for count in (300, 1700):
        alert = await ground.alert(await crowd(ground, count))
        if withdrawn:
            await ground.revise(alert, "withdrawn")
        await pool.execute("vacuum dispatch.lane, dispatch.delivery, dispatch.attempt, dispatch.recipient")
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            plan = await connection.fetch(
                "explain (analyze, buffers) select * from dispatch.claim('test', interval '30 s', 96, 128)"
            )
            await transaction.rollback()
        hit = re.search(r"Buffers: shared hit=(\d+)(?: read=(\d+))?", "\n".join(row[0] for row in plan))
        read.append(sum(int(pages or 0) for pages in hit.groups()))
    assert read[1] < 1.5 * read[0], read
