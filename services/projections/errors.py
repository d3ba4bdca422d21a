"""What can go wrong while read models are built."""

import asyncpg
from aiokafka.errors import KafkaError

from services.kernel.errors import ZoeklichtError


class ProjectionError(ZoeklichtError):
    """A read model cannot go on.

    ProjectionError
    ├── ZombieError
    ├── TopicChangedError
    ├── MissingEventError
    └── ProjectionStoppedError
    """


class ZombieError(ProjectionError):
    """The checkpoint moved under this process: another one is at work, so this one ends."""


class TopicChangedError(ProjectionError):
    """A topic was made anew, or its offsets went back: the process ends, and begins again at the right place."""


class MissingEventError(ProjectionError):
    """Kafka knows an event that the event store does not have: the store was restored from an older backup."""


class ProjectionStoppedError(ProjectionError):
    """An event cannot be projected; a person was paged, and the other projections go on."""


_INFRASTRUCTURE = (
    ZombieError,
    TopicChangedError,
    KafkaError,
    OSError,
    TimeoutError,
    MemoryError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.TransactionRollbackError,
    asyncpg.exceptions.ObjectNotInPrerequisiteStateError,
    asyncpg.exceptions.InvalidTransactionStateError,
    asyncpg.exceptions.PostgresSystemError,
)


def is_poison(error: Exception) -> bool:
    """Whether the event is at fault, and not the servers: trying again would fail again."""
    # asyncpg refuses a value it cannot encode with an InterfaceError that is a ValueError too.
    return isinstance(error, ValueError) or not isinstance(error, _INFRASTRUCTURE)
