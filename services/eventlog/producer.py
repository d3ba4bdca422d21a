"""The one producer. Only the relay may hold it; an import rule says so."""

from aiokafka import AIOKafkaProducer

from services.kernel.kafka import MAX_MESSAGE_BYTES
from services.kernel.kafka_access import client_settings
from services.kernel.settings import Settings


def producer(settings: Settings) -> AIOKafkaProducer:
    """An idempotent producer that waits for all in-sync replicas."""
    return AIOKafkaProducer(
        **client_settings(settings),
        acks="all",
        enable_idempotence=True,
        max_request_size=MAX_MESSAGE_BYTES,
        linger_ms=0,
        request_timeout_ms=15_000,
    )
