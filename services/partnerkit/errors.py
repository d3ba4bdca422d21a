"""What a receiver did wrong, and what keeps the kit from finding out."""

from services.kernel.errors import ZoeklichtError


class KitError(ZoeklichtError):
    """The kit cannot test; the message says what to do."""


class FailedError(Exception):
    """A check failed; the message says what was seen."""
