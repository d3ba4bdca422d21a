"""Kafka: the client settings that lose nothing (aiokafka's own defaults do), topics, headers."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from services.kernel.kafka_access import admin, client_settings
from services.kernel.settings import Settings

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
RETENTION_MS = 14 * 24 * 3600 * 1000
_KNOWN_WITHIN_S, _LOOK_S = 30.0, 0.05

Headers = Sequence[tuple[str, bytes]]


def consumer(settings: Settings, *, group: str | None = None) -> AIOKafkaConsumer:
    """A consumer that commits nothing by itself and starts at the beginning where it knows no offset."""
    return AIOKafkaConsumer(
        **client_settings(settings),
        group_id=settings.topic(group) if group else None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
        fetch_max_bytes=4 * MAX_MESSAGE_BYTES,
        session_timeout_ms=10_000,
        heartbeat_interval_ms=2_000,
        rebalance_timeout_ms=15_000,
        metadata_max_age_ms=10_000,
    )


async def create_topics(settings: Settings, names: Sequence[str]) -> list[str]:
    """Creates the topics that are missing, as the settings say; returns those it created, once brokers know them.

    Raises TimeoutError when they do not get to know them.
    """
    async with admin(settings) as client:
        present = set(await client.list_topics())
        missing = [name for name in map(settings.topic, names) if name not in present]
        if missing:
            answer = await client.create_topics([_new_topic(settings, name) for name in missing])
            for topic, code, *_ in answer.topic_errors:
                if code and for_code(code) is not TopicAlreadyExistsError:
                    raise for_code(code)(f"topic {topic} could not be created")
            # A controller answers before the brokers know of it: whoever asks them at once would find nothing.
            async with asyncio.timeout(_KNOWN_WITHIN_S):
                while not set(missing) <= set(await client.list_topics()):  # noqa: ASYNC110 - Kafka has no event for it
                    await asyncio.sleep(_LOOK_S)
        return missing


def _new_topic(settings: Settings, name: str) -> NewTopic:
    replication = settings.topic_replication
    return NewTopic(
        name=name,
        num_partitions=settings.topic_partitions,
        replication_factor=replication,
        topic_configs={
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
            "retention.ms": str(RETENTION_MS),
            "min.insync.replicas": str(max(1, replication - 1)),
            "cleanup.policy": "delete",
        },
    )


async def end_offsets(client: AIOKafkaConsumer, topics: Sequence[str]) -> dict[tuple[str, int], int]:
    """The end of each partition of these topics."""
    for topic in topics:
        await client._client.add_topic(topic)  # noqa: SLF001 - a consumer knows the partitions only of what it reads
    partitions = [TopicPartition(t, p) for t in topics for p in (client.partitions_for_topic(t) or ())]
    ends = await client.end_offsets(partitions)
    return {(tp.topic, tp.partition): offset for tp, offset in ends.items()}
