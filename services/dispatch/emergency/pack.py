"""What an emergency pack holds, and how it is sealed: an age file that only chosen keys open."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal
from uuid import UUID

import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from schemas.base import Strict
from schemas.vocabulary import AlertKind, Mode
from services.dispatch.domain import DispatchError
from services.kernel.signing import SigningKeys

REVISION = 1_000_000
"""The revision of every emergency withdrawal: higher than any that the engine makes, and the same from every pack.

One more than the newest would not do: a pack is up to five minutes old, and a receiver that has had an update since
would take the withdrawal for an old message.
"""


class PackError(DispatchError):
    """A pack or a key cannot be used; the message says what to do."""


class PackedPartner(Strict):
    """A recipient with everything that sending to it takes. `secrets` and `private` are hexadecimal."""

    recipient_id: UUID
    name: str
    contact: str
    url: str
    format: str
    secrets: tuple[str, ...]
    private: str

    @property
    def keys(self) -> SigningKeys:
        """What signs for it."""
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.private))
        return SigningKeys([bytes.fromhex(secret) for secret in self.secrets], private)


class PackedAlert(Strict):
    """An alert that may be shown somewhere, and its withdrawal: frozen bodies by format, and to whom they go."""

    alert_id: UUID
    kind: AlertKind
    mode: Mode
    campaign_id: UUID | None
    issued_at: datetime
    shown_revision: int
    revision: int
    bodies: dict[str, str]
    to: tuple[UUID, ...]


class Pack(Strict):
    """Everything that sending withdrawals takes when nothing else is there."""

    version: Literal[1] = 1
    made_at: datetime
    installation: str
    delivery_timeout_s: float
    allow_loopback_partners: bool
    partner_hosts: frozenset[str]
    partner_ca: str | None = None
    partners: tuple[PackedPartner, ...]
    alerts: tuple[PackedAlert, ...]


def seal(pack: Pack, recipients: Iterable[str]) -> bytes:
    """The pack as an age file that the private key of any of these public keys opens. Raises PackError."""
    try:
        keys = [pyrage.x25519.Recipient.from_str(one) for one in sorted(recipients)]
        return bytes(pyrage.encrypt(pack.model_dump_json().encode(), keys))
    except (pyrage.RecipientError, pyrage.EncryptError) as error:
        raise PackError("ZOEKLICHT_EMERGENCY_RECIPIENTS holds something that is no age public key") from error


def open_pack(sealed: bytes, identity: str) -> Pack:
    """The pack again; `identity` is the text of an age key file. Raises PackError."""
    lines = (line.strip() for line in identity.splitlines())
    try:
        keys = [pyrage.x25519.Identity.from_str(line) for line in lines if line.startswith("AGE-SECRET-KEY-")]
    except pyrage.IdentityError as error:
        raise PackError("the key file holds a damaged key: take a copy of it") from error
    if not keys:
        raise PackError(
            "the key file holds no AGE-SECRET-KEY-…: name the file that `zoeklicht emergency-key` wrote"
        )
    try:
        return Pack.model_validate_json(pyrage.decrypt(sealed, keys))
    except pyrage.DecryptError as error:
        raise PackError("the pack does not open: wrong key, or a damaged file; try an older pack") from error
    except ValidationError as error:
        raise PackError("the pack was written by another version: use the command of that version") from error


def new_identity() -> tuple[str, str]:
    """A fresh key: what opens packs, to be kept where the packs are not, and its public key."""
    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())
