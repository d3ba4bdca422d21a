"""The chain of the audit, counted again: pure, so that an export is checked without a database.

A digest is SHA-256 over the digest before it and the entry's fields, each written as its length in bytes, a colon and
the field, in this order: number, time in microseconds since 1970, principal, role, action, correlation id, subjects.
The first entry builds on the digest of nothing.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

BEGINNING = hashlib.sha256(b"").digest()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `digest` covers it and the digest of the entry before; `audit_id` counts without gaps from 1."""

    audit_id: int
    at: datetime
    principal: str
    role: str
    action: str
    subjects: tuple[str, ...]
    correlation_id: str
    digest: bytes

    @property
    def view(self) -> dict[str, object]:
        """The entry as an answer or a line of an export shows it."""
        return {
            "audit_id": self.audit_id,
            "at": self.at,
            "principal": self.principal,
            "role": self.role,
            "action": self.action,
            "subjects": list(self.subjects),
            "correlation_id": self.correlation_id,
            "digest": self.digest.hex(),
        }

    @classmethod
    def of_view(cls, view: Mapping[str, Any]) -> Self:
        """The entry that `view` shows; KeyError, TypeError or ValueError when it is none."""
        return cls(
            int(view["audit_id"]),
            datetime.fromisoformat(view["at"]),
            view["principal"],
            view["role"],
            view["action"],
            tuple(view["subjects"]),
            view["correlation_id"],
            bytes.fromhex(view["digest"]),
        )


def digest_of(previous: bytes, entry: Entry) -> bytes:
    """What the entry's digest must be after the entry with the digest `previous`."""
    at = (entry.at - _EPOCH) // timedelta(microseconds=1)
    fields = (
        str(entry.audit_id),
        str(at),
        entry.principal,
        entry.role,
        entry.action,
        entry.correlation_id,
        *entry.subjects,
    )
    written = b"".join(b"%d:%b" % (len(raw), raw) for raw in (one.encode() for one in fields))
    return hashlib.sha256(previous + written).digest()


@dataclass
class Chain:
    """Entries are added in order; `broken` says what does not fit, in words for whoever has to find out why."""

    number: int = 0
    digest: bytes = BEGINNING
    seen: set[bytes] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        """The next entry. After a break the count goes on from what is written, so that each break is told once."""
        if entry.audit_id != self.number + 1:
            self.broken.append(f"entries {self.number + 1} to {entry.audit_id - 1} are missing")
        elif digest_of(self.digest, entry) != entry.digest:
            self.broken.append(
                f"entry {entry.audit_id} of {entry.at:%Y-%m-%d %H:%M:%S} was changed or slipped in"
            )
        self.number, self.digest = entry.audit_id, entry.digest
        self.seen.add(entry.digest)

    def findings(
        self, head: tuple[int, bytes] | None = None, witnessed: bytes | None = None
    ) -> Iterator[str]:
        """What is broken, with the newest entry known to the database and a digest kept elsewhere, if given."""
        yield from self.broken
        if head is not None and head != (self.number, self.digest):
            yield f"the end was cut off or replaced: {self.number} entries are there, {head[0]} were written"
        if witnessed is not None and witnessed not in self.seen:
            yield "the digest that was kept elsewhere is not in the chain: it was written anew since"
