"""What a backup says about itself."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from services.kernel.backup.errors import UnfitBackupError

Kind = Literal["main", "keys"]
Step = tuple[str, str, str]
"""An applied migration: the package it belongs to, its file, and the SHA-256 of its text."""
FORMAT = 1
"""Of the file itself; raised when an older version could not read it."""


class Manifest(BaseModel):
    """A backup's content, by figures: nothing in it is personal.

    `made_at` is the one moment that the backup shows; `digest` and `size` are of its content, SHA-256 and bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    kind: Kind
    made_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    """Of keys: from this moment on they are never brought back."""
    software: str
    """The version of this software that made it."""
    master: str
    """The fingerprint of the master key that everything in it needs."""
    steps: tuple[Step, ...]
    """The migrations of the database when it was made."""
    keys: int
    """How many keys the vault held, destroyed ones apart."""
    epoch: int = 0
    events: int = 0
    audit_number: int = 0
    audit_digest: str = ""
    """The newest entry of the audit: `zoeklicht audit verify --kept` finds it in what was brought back."""
    digest: str = ""
    size: int = 0

    def is_over(self, now: datetime, days: int) -> bool:
        """Whether these keys must not be brought back any more: certificates of erasure promise that.

        `days` is how long backups of keys live by the settings of today: a shorter time counts for older backups too.
        """
        if self.expires_at is None:
            return False
        return now >= min(self.expires_at, self.made_at + timedelta(days=days))


def check_steps(steps: Iterable[Step], known: frozenset[Step], software: str) -> None:
    """Raises UnfitBackupError when a database with these steps is of a newer version, or of another line, than this one.

    `software` names the version that made them.
    """
    for owner, name, digest in steps:
        if (owner, name, digest) in known:
            continue
        same_name = any((owner, name) == (one[0], one[1]) for one in known)
        why = "differs from" if same_name else "is newer than"
        raise UnfitBackupError(
            f"what is to come back {why} this version ({owner}/{name}): install {software} or a later one,"
            " and restore again"
        )
