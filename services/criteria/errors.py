"""What can go wrong here."""

from uuid import UUID

from services.kernel.errors import ZoeklichtError


class CriteriaError(ZoeklichtError):
    """Criteria cannot go on.

    CriteriaError
    ├── StaleCaseError     another worker was faster: done again with what it left
    ├── MissingEventError  the event store does not hold what Kafka sent
    └── StillPoisonError   a case cannot be resumed yet
    """


class StaleCaseError(CriteriaError):
    """Another worker changed a case meanwhile; load it again and go on from there."""


class MissingEventError(CriteriaError):
    """Kafka holds an event that the event store does not: look whether the database was restored."""


class StillPoisonError(CriteriaError):
    """A case in quarantine still holds an event that cannot be read or assessed."""

    def __init__(self, case_id: UUID, version: int, error_class: str) -> None:
        super().__init__(
            f"case {case_id} stays in quarantine: the event after version {version} of its stream still gives"
            f" {error_class}; install a version that can read it, and resume the case again"
        )
