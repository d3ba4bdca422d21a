"""What volunteers refuse, and what to do about it."""

from services.kernel.errors import ZoeklichtError


class VolunteersError(ZoeklichtError):
    """A command is refused. `rule` is a short stable name; the text says what to do next.

    VolunteersError
    ├── CalloutStateError   not possible in this state of the call-out (409)
    ├── NotAskedError       this person has no part in the call-out (404)
    └── WorldsMetError      an exercise and the real thing were to meet: a bug of ours, never a wrong command
    """

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule
        self.detail = detail


class CalloutStateError(VolunteersError):
    """The state of the call-out forbids it now."""


class NotAskedError(VolunteersError):
    """Nobody asked this person, so that there is nothing to answer or to do."""


class WorldsMetError(VolunteersError):
    """Somebody of an exercise was to be called for real, or the other way round."""
