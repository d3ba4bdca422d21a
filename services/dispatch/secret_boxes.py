"""The keys that sign for recipients: secrets are kept sealed, bound to their recipient; private keys are not kept."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.base import Sealed
from services.kernel.signing import SigningKeys, parse_secret
from services.kernel.vault import derive, unseal

PURPOSE = "partner-secrets"
_ASYMMETRIC = "partner-ed25519"


def open_secrets(row: Mapping[str, Any], master: bytes) -> SigningKeys:
    """What signs for this recipient now. Raises VaultError.

    `row` has recipient_id, secret and previous_secret (None when it has run out).
    """
    boxes = tuple(box for box in (row["secret"], row["previous_secret"]) if box is not None)
    return _opened(row["recipient_id"], boxes, master)


@lru_cache(maxsize=4096)
def _opened(recipient_id: UUID, boxes: tuple[str, ...], master: bytes) -> SigningKeys:
    key, place = derive(master, PURPOSE), str(recipient_id).encode()
    secrets = tuple(parse_secret(unseal(Sealed.model_validate_json(box), key, place)) for box in boxes)
    return SigningKeys(secrets, private_key(recipient_id, master))


@lru_cache(maxsize=4096)
def private_key(recipient_id: UUID, master: bytes) -> Ed25519PrivateKey:
    """The recipient's own ed25519 key, derived from the master key: no store holds it. Deriving costs more than signing."""
    return Ed25519PrivateKey.from_private_bytes(derive(master, f"{_ASYMMETRIC}/{recipient_id}"))
