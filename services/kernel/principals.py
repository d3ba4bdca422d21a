"""Who may be calling: roles, and the tokens of this installation, of which only a fingerprint is kept."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.kernel.postgres import Connection, Pool


class Role(StrEnum):
    """What somebody is here for."""

    OPERATOR = "operator"
    COORDINATOR = "coordinator"
    ADMIN = "admin"
    VIEWER = "viewer"
    CASE_MANAGER = "case_manager"
    """Opens and follows cases, as an operator does."""
    MAGISTRATE_LIAISON = "magistrate_liaison"
    """Reads cases and brings what magistrates and parties decided; changes nothing else."""
    PARTNER = "partner"


STAFF = (Role.OPERATOR, Role.CASE_MANAGER, Role.COORDINATOR, Role.ADMIN)
"""Who works on cases."""
READERS = (*STAFF, Role.MAGISTRATE_LIAISON)
"""Who may see identities."""
LEADS = (Role.COORDINATOR, Role.ADMIN)
EVERYONE_INSIDE = (*READERS, Role.VIEWER)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. `name` is the person or, for a partner, its id."""

    name: str
    role: Role


def fingerprint(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


async def issue_token(
    connection: Connection, principal: str, role: Role, *, expires_at: datetime | None = None
) -> str:
    """A new token; it can be read only now."""
    token = f"zl_{secrets.token_urlsafe(32)}"
    await connection.execute(
        "insert into kernel.token (digest, principal, role, expires_at) values ($1, $2, $3, $4)",
        fingerprint(token),
        principal,
        role,
        expires_at,
    )
    return token


async def adopt_token(connection: Connection, token: str, principal: str, role: Role) -> None:
    """Registers a token made elsewhere; twice is as good as once."""
    await connection.execute(
        "insert into kernel.token (digest, principal, role) values ($1, $2, $3) on conflict (digest) do nothing",
        fingerprint(token),
        principal,
        role,
    )


async def revoke_tokens(connection: Connection, principal: str) -> int:
    """No token of this principal is valid any more; returns how many were until now."""
    gone = await connection.fetch(
        "update kernel.token set revoked_at = clock_timestamp() where principal = $1 and revoked_at is null"
        " returning expires_at is null or expires_at > clock_timestamp() as valid",
        principal,
    )
    return sum(row["valid"] for row in gone)


async def valid_tokens(source: Pool | Connection) -> Sequence[Mapping[str, Any]]:
    """`principal`, `role`, how many `tokens` are valid and `until` when the last is; None for without end."""
    rows: Sequence[Mapping[str, Any]] = await source.fetch(
        "select principal, role, count(*) as tokens,"
        " case when bool_and(expires_at is not null) then max(expires_at) end as until from kernel.token"
        " where revoked_at is null and (expires_at is null or expires_at > clock_timestamp())"
        " group by principal, role order by role, principal"
    )
    return rows
