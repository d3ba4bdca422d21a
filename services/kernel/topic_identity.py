"""Which cluster, and which incarnation of a topic: an offset or a position means nothing elsewhere.

aiokafka asks for metadata as of version 5, which has no topic ids; they came with version 10 (KIP-516). This is
that one request in version 12, in the words of Kafka's MetadataRequest.json.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from uuid import UUID

from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from services.kernel.kafka_access import admin
from services.kernel.settings import Settings

_METADATA = 3
_VERSION = 12
_UUID_BYTES = 16


@dataclass(frozen=True, slots=True)
class TopicIdentity:
    """The cluster's id, and the id of each topic by its full name."""

    cluster_id: str
    topic_ids: dict[str, str]


class _Uuid(AbstractType[UUID]):  # type: ignore[misc]
    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(_UUID_BYTES))

    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes


class _Answer(Response):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Question(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = _METADATA
    API_VERSION = _VERSION
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicIds(Request[_Question]):  # type: ignore[misc]
    API_KEY = _METADATA

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_Question]) -> _Question:
        return request_struct_class([(UUID(int=0), name, {}) for name in self._names], False, False, {})


async def topic_identity(settings: Settings, names: Sequence[str]) -> TopicIdentity:
    """The ids of these topics of the installation.

    Raises UnknownTopicOrPartitionError when one is missing: run `zoeklicht topics create`.
    """
    async with admin(settings) as client:
        answer = await client._send_request(_TopicIds([settings.topic(n) for n in names]))  # noqa: SLF001 - pinned version
    found = {}
    for code, name, topic_id, *_ in answer.topics:
        if code:
            raise for_code(code)(f"topic {name} is missing: run `zoeklicht topics create`")
        found[name] = str(topic_id)
    return TopicIdentity(answer.cluster_id, found)
