"""Refusals of the domain as problem documents of the HTTP edge."""

from services.intake.domain.errors import ContentError, IntakeError, NotAllowedError, StateRuleError
from services.kernel.problems import ConflictError, ForbiddenError, InvalidError, Problem


def problem(error: IntakeError) -> Problem:
    """The same refusal for the HTTP edge."""
    kinds: dict[type[IntakeError], type[Problem]] = {
        StateRuleError: ConflictError,
        ContentError: InvalidError,
        NotAllowedError: ForbiddenError,
    }
    return kinds[type(error)](error.rule, error.detail, **error.extra)
