"""The whole log again, after a purge and after a restore from a backup: nothing that was dark is lit."""

import asyncio
from datetime import timedelta
from random import Random

import pytest
from oracle import judge, unsettled
from replay import copied, from_the_beginning, replayed, restored, what_is_shown
from storm import Storm
from world import World, until

from services.dispatch.retention import purge


async def quiet(storm: Storm) -> None:
    async def rests() -> bool:
        return not await unsettled(storm)

    await until(rests, 180, "every display shows what the store says")


async def some_history(storm: Storm) -> None:
    """Campaigns of every fate: lit, updated, ended, ended after an update."""
    for number in range(8):
        campaign = await storm.issue()
        if number % 2:
            await storm.update(campaign)
        if number % 4 < 2:
            await storm.end(campaign)
    await quiet(storm)


@pytest.mark.timeout(900)
async def test_replay_after_a_purge_lights_nothing(own_servers):
    """Deliveries of what is over are deleted, the whole log comes again: not one message is sent for it."""
    async with World(own_servers, "purged", Random(1)) as town:
        storm = Storm(town, Random(1))
        await some_history(storm)
        before = what_is_shown(storm)
        calls = sum(len(receiver.arrivals) for receiver in town.receivers.all)
        await town.rest()
        alerts, _ = await purge(town.pool, timedelta(0))
        assert alerts == 4
        await from_the_beginning(town)
        await town.start()
        await replayed(storm)
        await quiet(storm)
        known = [set(shown) for shown in before]
        after = what_is_shown(storm)
        assert [
            {a: s for a, s in now.items() if a in was} for now, was in zip(after, known, strict=True)
        ] == before
        assert [len(now) for now in after] == [len(was) + 1 for was in before]
        assert sum(len(r.arrivals) for r in town.receivers.all) == calls + len(town.receivers.all)
        assert await judge(storm) == []


@pytest.mark.timeout(900)
async def test_restored_database_lights_nothing(own_servers):
    """The database is of before, Kafka holds what came after: what was ended since goes or stays dark everywhere."""
    async with World(own_servers, "restored", Random(2)) as town:
        storm = Storm(town, Random(2))
        await some_history(storm)
        await town.rest()
        await copied(storm, "backup")
        await town.start()
        for campaign in [c for c in storm.campaigns if c.ended_at is None]:
            await storm.update(campaign)
            await storm.end(campaign)
        await quiet(storm)
        assert not any(what_is_shown(storm))
        shown = [len(receiver.shown) for receiver in town.receivers.all]
        await town.rest()
        await restored(storm, "backup")
        await from_the_beginning(town)
        await town.start()
        await replayed(storm)

        async def dark_but_for_the_new_one() -> bool:
            await asyncio.sleep(0)
            due = await town.pool.fetchval("select count(*) from dispatch.lane where due_at is not null")
            return due == 0 and all(len(shows) == 1 for shows in what_is_shown(storm))

        await until(dark_but_for_the_new_one, 180, "dark again, but for what was released since")
        for receiver, count in zip(town.receivers.all, shown, strict=True):
            assert len([marker for *_, marker in receiver.shown[count:] if marker is not None]) == 1
