"""Messages as they come from Kafka, and how far their consumer has come. Nothing here needs a stream processor."""

from collections.abc import Sequence
from typing import NamedTuple

from services.kernel.postgres import Connection


class Message(NamedTuple):
    """A message as it came: nothing is decoded, so that a poison one can be set aside whole."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


async def record_progress(connection: Connection, consumer: str, messages: Sequence[Message]) -> None:
    """Notes how far `consumer` has come, in the transaction of its work."""
    ends = {(m.topic, m.partition): m.offset + 1 for m in messages}
    await connection.executemany(
        "insert into kernel.consumer_progress (consumer, topic, partition, next_offset) values ($1, $2, $3, $4)"
        " on conflict (consumer, topic, partition) do update set next_offset = excluded.next_offset,"
        " moved_at = clock_timestamp()",
        [(consumer, topic, partition, offset) for (topic, partition), offset in sorted(ends.items())],
    )
