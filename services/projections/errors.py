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
    ├── ProjectionStoppedError
    ├── InstallError
    ├── NoSuchVersionError
    ├── VersionIsLiveError
    ├── BeingBuiltError
    ├── NotCaughtUpError
    ├── DifferentError
    └── BusyError
    """


class ZombieError(ProjectionError):
    """The checkpoint moved under this process: another one is at work, so this one ends."""


class TopicChangedError(ProjectionError):
    """A topic was made anew, or its offsets went back: the process ends, and begins again at the right place."""


class SilentConsumerError(ProjectionError):
    """Kafka has more, and the consumer is brought nothing: the process ends, and begins again with another one."""


class MissingEventError(ProjectionError):
    """Kafka knows an event that the event store does not have: the store was restored from an older backup."""


class ProjectionStoppedError(ProjectionError):
    """An event cannot be projected; a person was paged, and the other projections go on."""


class InstallError(ProjectionError):
    """A projection's tables do not fit; the message says what to change."""


class NoSuchVersionError(ProjectionError):
    """There is no such projection, or no such version of it."""


class VersionIsLiveError(ProjectionError):
    """Readers see this version: it cannot be dropped."""


class BeingBuiltError(ProjectionError):
    """A version of this projection is being built already."""


class NotCaughtUpError(ProjectionError):
    """Readers would miss events: the version is still being built, was stopped, or is behind."""


class DifferentError(ProjectionError):
    """The version does not hold what the live one does, and no change of its definition explains it."""


class BusyError(ProjectionError):
    """Long reports kept the views in use: nothing was changed."""


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
