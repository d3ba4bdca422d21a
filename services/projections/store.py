"""The engine's own tables: checkpoints, the versions seen of each stream, what stopped."""

from collections import Counter
from collections.abc import Iterable, Mapping

from services.kernel.paging import all_clear
from services.kernel.postgres import Connection, Pool, queries
from services.kernel.topic_identity import TopicIdentity
from services.projections.errors import ZombieError
from services.projections.projection import Projection, label

SQL = queries("services.projections")
Partition = tuple[str, int]
"""Full topic name and partition."""


async def take_lock(connection: Connection, projection: Projection) -> bool:
    """Makes this session the one that runs the projection; False while another is."""
    return bool(await connection.fetchval(SQL["lock"], f"projection:{label(projection)}"))


async def begin(
    connection: Connection, projection: Projection, identity: TopicIdentity, partitions: Iterable[Partition]
) -> dict[Partition, int]:
    """Where to go on in each partition; 0 in another cluster, or in a topic that was made anew."""
    known = list(partitions)
    await connection.execute(
        SQL["begin"],
        projection.name,
        projection.version,
        identity.cluster_id,
        [topic for topic, _ in known],
        [partition for _, partition in known],
        [identity.topic_ids[topic] for topic, _ in known],
    )
    await connection.execute(SQL["unstop"], projection.name, projection.version)
    await all_clear(connection, [page_matter(projection)])
    rows = await connection.fetch(
        SQL["checkpoints"], projection.name, projection.version, list(identity.topic_ids)
    )
    found = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
    return {partition: found[partition] for partition in known}


async def move(
    connection: Connection, projection: Projection, moves: Mapping[Partition, tuple[int, int]]
) -> None:
    """Moves checkpoints from one offset to another. Raises ZombieError when they are not where we left them."""
    moved = await connection.fetch(
        SQL["move"],
        projection.name,
        projection.version,
        [topic for topic, _ in moves],
        [partition for _, partition in moves],
        [at for at, _ in moves.values()],
        [to for _, to in moves.values()],
    )
    if len(moved) != len(moves):
        raise ZombieError(
            f"the checkpoint of {label(projection)} moved under this process: another one is at work; this one ends"
        )


async def seen(connection: Connection, projection: Projection, streams: Iterable[str]) -> dict[str, int]:
    """The last version taken in of each of these streams; absent: none."""
    rows = await connection.fetch(SQL["seen"], projection.name, projection.version, list(streams))
    return {row["stream"]: row["stream_version"] for row in rows}


async def see(connection: Connection, projection: Projection, versions: Mapping[str, int]) -> None:
    """Remembers the last version of each stream."""
    # In one order always, so that two writers wait for each other instead of blocking each other.
    ordered = sorted(versions.items())
    await connection.execute(
        SQL["see"],
        projection.name,
        projection.version,
        [stream for stream, _ in ordered],
        [version for _, version in ordered],
    )


async def count_unknown(connection: Connection, projection: Projection, types: Counter[str]) -> None:
    """Counts what this version of the software does not know."""
    await connection.execute(
        SQL["unknown"], projection.name, projection.version, list(types), list(types.values())
    )


def page_matter(projection: Projection) -> str:
    """What a stopped projection is paged as."""
    return f"projection:{label(projection)}"


async def note_stop(connection: Connection, projection: Projection, place: str, error: str) -> None:
    """Notes which event stopped the projection."""
    await connection.execute(SQL["stop"], projection.name, projection.version, place, error)


async def progress(pool: Pool, projections: Iterable[Projection]) -> dict[Partition, int]:
    """The next offset that the slowest of these projections reads, for each partition it has a checkpoint for."""
    rows = await pool.fetch(SQL["all_checkpoints"])
    at = {(r["projection"], r["version"], r["topic"], r["partition"]): r["next_offset"] for r in rows}
    found: dict[Partition, int] = {}
    for projection in projections:
        for topic, partition in {(r["topic"], r["partition"]) for r in rows}:
            # A topic's full name ends with its family; a projection that has not begun is at 0.
            if topic.endswith(projection.topics):
                offset = at.get((projection.name, projection.version, topic, partition), 0)
                found[topic, partition] = min(offset, found.get((topic, partition), offset))
    return found
