"""A leased display from end to end: a real sender, renewals, and a simulated partner that honours its lease."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from dispatch_ground import Ground
from dispatch_http import PARTNER, become_active, client_of
from sender_ground import sending, until

from services.dispatch.campaigns import campaign_alert
from services.dispatch.renewals import Renewals
from services.dispatch.sender import Sender
from services.dispatch.transport import Transport
from services.simulation.receivers import Field, Receiver

LEASE_S = 3


@pytest.fixture
def short(settings):
    """Seconds instead of minutes."""
    return settings.model_copy(update={"display_for_s": LEASE_S, "renew_every_s": 0.5})


@asynccontextmanager
async def renewing(pool, settings):
    transport = Transport(settings)
    renewals = Renewals(pool, settings, transport)

    async def work():
        while True:
            await renewals.step()
            await asyncio.sleep(0.1)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await transport.close()


async def test_display_stays_lit_while_it_is_renewed_and_not_longer(pool, vault, short):
    """Twice as long as its lease with renewals; dark within one lease without them; lit again by the next one."""
    ground, receiver = Ground(pool, vault, short), Receiver(1, "Screens Ltd")
    alert = str(campaign_alert(ground.campaign))
    loop = asyncio.get_running_loop()

    async def lit():
        return receiver.lit(alert)

    async def dark():
        return not receiver.lit(alert)

    async with (
        client_of(pool, vault, short) as call,
        Field([receiver]) as field,
        sending(Sender(pool, vault, short)),
    ):
        partner = (await call("POST", "/v1/partners", {**PARTNER, "url": field.url(receiver)})).json
        receiver.know(partner["partner_id"], partner["secret"], partner["token"])
        await become_active(pool, partner)
        await ground.release()
        async with renewing(pool, short):
            await ground.replay()
            await until(lit)
            end = loop.time() + 2 * LEASE_S
            while loop.time() < end:
                assert receiver.lit(alert)
                await asyncio.sleep(0.05)
        await until(dark)
        async with renewing(pool, short):
            await until(lit)
            await ground.end()
            await ground.replay()
            await until(dark)
            assert receiver.shown == {}
    assert receiver.violations == []
