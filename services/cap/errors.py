"""What is wrong with a message: rules by name, never a value of the message."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.kernel.errors import ZoeklichtError


class CapError(ZoeklichtError):
    """A message or a key cannot be used.

    CapError
    ├── CapRefusedError   a message breaks rules
    └── CapKeyError       a signing key cannot be read
    """


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule that is broken: its name, the element where, and what to do."""

    rule: str
    where: str
    detail: str


class CapRefusedError(CapError):
    """A message that must not be acted upon; `faults` says why, all of them at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{one.rule} ({one.where}): {one.detail}" for one in faults))
        self.faults = tuple(faults)


class CapKeyError(CapError):
    """The file of a signing key does not hold what it must."""
