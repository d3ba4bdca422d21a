"""The whole log once more: from the store through a relay that knows nothing, to a planner that has seen nothing."""

from typing import Any

import asyncpg
from aiokafka import TopicPartition
from storm import Storm
from world import World, until

from schemas.events import CASE_EVENTS
from services.dispatch.stream import CONSUMER
from services.kernel.kafka import consumer, end_offsets

FORGET = (
    "delete from eventlog.relay_checkpoint",
    "delete from dispatch.stream_seen",
    f"delete from kernel.consumer_progress where consumer = '{CONSUMER}'",
)


async def from_the_beginning(world: World) -> None:
    """To be called at rest: relay and planner begin anew, the planner also with what Kafka held before."""
    for statement in FORGET:
        await world.pool.execute(statement)
    client = consumer(world.settings, group=CONSUMER)
    await client.start()
    try:
        topic = world.settings.topic(CASE_EVENTS)
        partitions = [TopicPartition(topic, p) for p in range(world.settings.topic_partitions)]
        client.assign(partitions)
        await client.commit(dict.fromkeys(partitions, 0))
    finally:
        await client.stop()


async def replayed(storm: Storm) -> None:
    """Waits until everything was read again: a new campaign is at the log's end, and the planner is there, too."""
    await storm.published(await storm.issue())
    world = storm.world
    client = consumer(world.settings)
    await client.start()
    try:
        ends = await end_offsets(client, [world.settings.topic(CASE_EVENTS)])
    finally:
        await client.stop()

    async def there() -> bool:
        rows = await world.pool.fetch(
            "select topic, partition, next_offset from kernel.consumer_progress where consumer = $1", CONSUMER
        )
        done = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        return all(done.get(place, 0) >= end for place, end in ends.items())

    await until(there, 180, "the planner has read the whole log again")


async def copied(storm: Storm, name: str) -> None:
    """A backup of the main database, taken at rest."""
    world = storm.world
    await world.close()
    connection = await asyncpg.connect(world.servers.postgres.dsn("postgres"))
    try:
        await connection.execute(f'create database "{name}" template "{world.name}"')
    finally:
        await connection.close()
    await _reopen(storm)


async def restored(storm: Storm, name: str) -> None:
    """The main database as it was; everything since is unknown to it."""
    world = storm.world
    await world.close()
    connection = await asyncpg.connect(world.servers.postgres.dsn("postgres"))
    try:
        await connection.execute(f'drop database "{world.name}" with (force)')
        await connection.execute(f'alter database "{name}" rename to "{world.name}"')
    finally:
        await connection.close()
    await _reopen(storm)


async def _reopen(storm: Storm) -> None:
    await storm.world.open()
    await storm.world.rights()
    for campaign in storm.campaigns:
        campaign.facts.pool, campaign.facts.vault = storm.world.pool, storm.world.vault


def what_is_shown(storm: Storm) -> list[dict[str, Any]]:
    """What each display shows now."""
    return [dict(receiver.shows) for receiver in storm.world.receivers.all]
