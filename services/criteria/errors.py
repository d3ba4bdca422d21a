"""What can go wrong here."""

from uuid import UUID

from services.kernel.errors import ZoeklichtError


class CriteriaError(ZoeklichtError):
    """Criteria cannot go on.

    CriteriaError
    ├── StaleCaseError     another worker was faster: done again with what it left
    ├── MissingEventError  the event store does not hold what Kafka sent
    ├── StillPoisonError   a case cannot be resumed yet
    ├── UnreadableHistoryError  a case cannot be looked at
    └── UnknownCaseError   there is no such case
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


class UnreadableHistoryError(CriteriaError):
    """The event store holds an event of the case that this version cannot read."""

    def __init__(self, case_id: UUID, error_class: str) -> None:
        super().__init__(
            f"case {case_id} cannot be assessed: an event of its history gives {error_class}; judge it by hand, and"
            " install a version that can read it"
        )


class UnknownCaseError(CriteriaError):
    """There is no case with this id or number: take it from the list of cases."""

    def __init__(self) -> None:
        super().__init__("there is no case with this id or number: take it from the list of cases")
