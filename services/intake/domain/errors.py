"""What intake refuses, and what to do about it."""

from typing import Any

from services.kernel.errors import ZoeklichtError


class IntakeError(ZoeklichtError):
    """A command is refused. `rule` is a short stable name; the text says what to do next.

    IntakeError
    ├── StateRuleError    not possible in this state of the case or campaign (409)
    ├── ContentError      the content does not fit what is known (422)
    └── NotAllowedError   not by this person (403)
    """

    def __init__(self, rule: str, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.rule = rule
        self.detail = detail
        self.extra = extra


class StateRuleError(IntakeError):
    """The state of the case or the campaign forbids it now."""


class ContentError(IntakeError):
    """The content does not fit; `field` is the path of what is wrong."""

    def __init__(self, field: str, rule: str, detail: str) -> None:
        super().__init__(rule, detail, errors=[{"field": field, "rule": rule, "detail": detail}])
        self.field = field


class NotAllowedError(IntakeError):
    """Somebody else must do it."""
