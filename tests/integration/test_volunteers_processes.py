"""Real processes of volunteers, killed while they call 490 people: everybody gets exactly one message a step."""

import asyncio
import os
import signal
import sys
from collections import Counter

import pytest
from sender_ground import until
from volunteers_ground import another, ground_of

from schemas.vocabulary import StandDown
from services.volunteers import callouts

COMMAND = "from services.volunteers.main import main; raise SystemExit(main())"
PEOPLE = 490
KILLED_AT = (60, 300)
"""At which request of a step a process is killed: its message is taken, and nobody hears that it was."""


class Team:
    """Two processes that call; `strike` kills one, whatever it is doing, and starts another."""

    def __init__(self, ground):
        self.ground = ground
        self.processes = []
        self.requests = 0
        self.kills = 0
        self._starting = []

    def environment(self):
        settings = self.ground.settings
        return os.environ | {
            "DATABASE_URL": settings.database_url.get_secret_value(),
            "ZOEKLICHT_VAULT_DATABASE_URL": settings.vault_url,
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "ZOEKLICHT_MASTER_KEY": settings.master_key.get_secret_value(),
            "ZOEKLICHT_VOLUNTEER_CHANNELS": "live",
            "ZOEKLICHT_SMS_URL": settings.sms_url.get_secret_value(),
            "ZOEKLICHT_VOLUNTEER_ANSWER_S": "3600",
            "ZOEKLICHT_VOLUNTEER_WAVE_S": "3600",
        }

    async def start(self):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", COMMAND, env=self.environment(), stdout=asyncio.subprocess.DEVNULL
        )
        self.processes.append(process)

    async def behave(self, message):
        """Takes a message first, so that it has arrived, and then kills whoever may have sent it."""
        self.requests += 1
        if self.requests in KILLED_AT:
            provider = self.ground.provider
            provider.taken.setdefault(message["id"], message)
            await self.strike()

    async def strike(self):
        victim = self.processes.pop(0)
        victim.send_signal(signal.SIGKILL)
        await victim.wait()
        self.kills += 1
        # As if the time of its leases had gone by: nobody else is told that it is dead.
        await self.ground.pool.execute(
            "update volunteers.lane set lease_until = clock_timestamp() where owner like $1",
            f"%:{victim.pid}:%",
        )
        await self.start()

    async def end(self):
        for process in self.processes:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()


@pytest.mark.timeout(300)
async def test_490_people_get_one_message_a_step_whoever_is_killed(pool, vault, settings):
    """Asked and called back, while processes are killed four times: nobody is told twice, and nobody is left out."""
    async with ground_of(pool, vault, settings) as ground:
        await asyncio.gather(*(register(ground, part) for part in range(10)))
        team = Team(ground)
        ground.provider.behaviour = team.behave
        callout = await ground.call_out(await ground.case(), people=PEOPLE // 2, lat=50.9, lon=4.7)
        try:
            await team.start()
            await team.start()
            await until(lambda: told(ground, PEOPLE), 200)
            team.requests = 0
            await ground.act(callout, callouts.stand_down, StandDown.CALLED_OFF)
            await until(lambda: told(ground, 2 * PEOPLE), 200)
            await until(lambda: quiet(ground), 60)
        finally:
            await team.end()
        assert team.kills == 2 * len(KILLED_AT)
        by_number = ground.provider.by_number()
        assert len(by_number) == PEOPLE
        steps = [["voorbij" in one["text"] for one in got] for got in by_number.values()]
        assert Counter(map(tuple, steps)) == {(False, True): PEOPLE}
        assert len(ground.provider.requests) > 2 * PEOPLE, "something was handed over again, and taken once"
        events = await pool.fetch("select data from eventlog.events where type = 'callout.told.v1'")
        assert len(events) > 0


async def register(ground, part):
    """Every tenth of them, beside the others."""
    await ground.people(
        *(another(n, lat=50.9, lon=4.7, channels=[f"sms:+3247{n:07}"]) for n in range(part, PEOPLE, 10))
    )


async def told(ground, messages):
    return len(ground.provider.taken) >= messages


async def quiet(ground):
    return not await ground.pool.fetchval(
        "select count(*) from volunteers.lane where due_at is not null and owner is not null"
    )
