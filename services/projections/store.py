"""The engine's own tables: checkpoints, the versions seen of each stream, what stopped."""

from collections import Counter
from collections.abc import Iterable, Mapping

from services.kernel.paging import all_clear
from services.kernel.postgres import Connection, Pool, queries
from services.kernel.topic_identity import TopicIdentity
from services.projections import versions
from services.projections.errors import ZombieError
from services.projections.projection import Projection, Version

SQL = queries("services.projections")
Partition = tuple[str, int]
"""Full topic name and partition."""


async def take_lock(connection: Connection, version: Version) -> bool:
    """Makes this session the one that runs the version; False while another is."""
    return bool(await connection.fetchval(SQL["lock"], f"projection:{version.label}"))


async def begin(
    connection: Connection, version: Version, identity: TopicIdentity, partitions: Iterable[Partition]
) -> dict[Partition, int]:
    """Where to go on in each partition; 0 in another cluster, or in a topic that was made anew."""
    known = list(partitions)
    await connection.execute(
        SQL["begin"],
        version.name,
        version.number,
        identity.cluster_id,
        [topic for topic, _ in known],
        [partition for _, partition in known],
        [identity.topic_ids[topic] for topic, _ in known],
    )
    rows = await connection.fetch(SQL["checkpoints"], version.name, version.number, list(identity.topic_ids))
    found = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
    return {partition: found[partition] for partition in known}


async def begin_at(
    connection: Connection, version: Version, identity: TopicIdentity, ends: Mapping[Partition, int]
) -> None:
    """Where to go on in each partition once the event store is read; a build that began before keeps its places."""
    await connection.execute(
        SQL["begin_at"],
        version.name,
        version.number,
        identity.cluster_id,
        [topic for topic, _ in ends],
        [partition for _, partition in ends],
        [identity.topic_ids[topic] for topic, _ in ends],
        list(ends.values()),
    )


async def move(connection: Connection, version: Version, moves: Mapping[Partition, tuple[int, int]]) -> None:
    """Moves checkpoints from one offset to another. Raises ZombieError when they are not where we left them."""
    moved = await connection.fetch(
        SQL["move"],
        version.name,
        version.number,
        [topic for topic, _ in moves],
        [partition for _, partition in moves],
        [at for at, _ in moves.values()],
        [to for _, to in moves.values()],
    )
    if len(moved) != len(moves):
        raise ZombieError(
            f"the checkpoint of {version.label} moved under this process: another one is at work; this one ends"
        )


async def seen(connection: Connection, streams: Iterable[str]) -> dict[str, int]:
    """The last version taken in of each of these streams, where the version was entered; absent: none."""
    rows = await connection.fetch(SQL["seen"], list(streams))
    return {row["stream"]: row["version"] for row in rows}


async def see(connection: Connection, last: Mapping[str, int]) -> None:
    """Remembers the last version of each stream, where the version was entered."""
    # In one order always, so that two writers wait for each other instead of blocking each other.
    ordered = sorted(last.items())
    await connection.execute(SQL["see"], [stream for stream, _ in ordered], [number for _, number in ordered])


async def count_unknown(connection: Connection, version: Version, types: Counter[str]) -> None:
    """Counts what this version of the software does not know."""
    await connection.execute(SQL["unknown"], version.name, version.number, list(types), list(types.values()))


async def note_stop(connection: Connection, version: Version, place: str, error: str) -> None:
    """Notes which event stopped the version."""
    await connection.execute(SQL["stop"], version.name, version.number, place, error)


async def unstop(connection: Connection, name: str, number: int) -> bool:
    """The version goes on, and who was paged is told; whether it had been stopped."""
    had = await connection.fetchval(SQL["unstop"], name, number)
    await all_clear(connection, [versions.matter(f"{name}.v{number}")])
    return bool(had)


async def is_stopped(source: Pool | Connection, version: Version) -> bool:
    """Whether an event stopped the version, and nobody has said yet that it may go on."""
    rows = await source.fetch(SQL["all_stopped"])
    return any((row["projection"], row["version"]) == (version.name, version.number) for row in rows)


async def progress(pool: Pool, projections: Iterable[Projection]) -> dict[Partition, int]:
    """The next offset that the slowest of these projections reads, for each partition that any has begun.

    Counted are the versions that readers see; one that still reads the event store is at 0.
    """
    topics = {projection.name: projection.topics for projection in projections}
    rows = await pool.fetch(SQL["live_checkpoints"])
    partitions = {(r["topic"], r["partition"]) for r in rows if r["topic"] is not None}
    at = {(r["projection"], r["topic"], r["partition"]): r["next_offset"] for r in rows}
    found: dict[Partition, int] = {}
    for name in {row["projection"] for row in rows} & topics.keys():
        for topic, partition in partitions:
            # A topic's full name ends with its family; a projection that has not begun is at 0.
            if topic.endswith(topics[name]):
                offset = at.get((name, topic, partition), 0)
                found[topic, partition] = min(offset, found.get((topic, partition), offset))
    return found
