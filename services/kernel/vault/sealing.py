"""Sealing: one key per child, case or alert; destroying the key is forgetting, in every copy at once."""

import base64
import hashlib
import os
from typing import Any
from uuid import UUID

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.base import Sealed
from services.kernel.errors import ZoeklichtError

NONCE = 12
_DAMAGED = "a sealed value does not open: wrong key, moved, or damaged; see the audit log"


class VaultError(ZoeklichtError):
    """A sealed value cannot be made or opened."""


class KeyDestroyedError(VaultError):
    """The key is gone: what it sealed is erased for ever."""


def key_name(kind: str, subject: UUID) -> str:
    """The name of a key: `child:<uuid>`, `case:<uuid>`, `alert:<uuid>`."""
    return f"{kind}:{subject}"


def context(stream: str, event_id: UUID, field: str) -> bytes:
    """What a sealed value is bound to: moved to another stream, event or field it does not open."""
    return f"{stream}|{event_id}|{field}".encode()


def seal(key: str, secret: bytes, value: Any, bound_to: bytes) -> Sealed:
    """Encrypts any JSON value with AES-256-GCM under the key named `key`."""
    box = seal_bytes(secret, orjson.dumps(value), bound_to)
    return Sealed(key=key, box=base64.b64encode(box).decode())


def seal_bytes(secret: bytes, content: bytes, bound_to: bytes) -> bytes:
    """Encrypts bytes with AES-256-GCM: a nonce and what it hides."""
    nonce = os.urandom(NONCE)
    return nonce + AESGCM(secret).encrypt(nonce, content, bound_to)


def unseal(sealed: Sealed, secret: bytes, bound_to: bytes) -> Any:
    """The value again. Raises VaultError when key, place or bytes are not those it was sealed with."""
    try:
        return orjson.loads(unseal_bytes(base64.b64decode(sealed.box, validate=True), secret, bound_to))
    except ValueError as error:
        raise VaultError(_DAMAGED) from error


def unseal_bytes(box: bytes, secret: bytes, bound_to: bytes) -> bytes:
    """The bytes again. Raises VaultError when key, place or bytes are not those they were sealed with."""
    try:
        return AESGCM(secret).decrypt(box[:NONCE], box[NONCE:], bound_to)
    except (InvalidTag, ValueError) as error:
        raise VaultError(_DAMAGED) from error


def derive(master: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose, from the master key."""
    return HKDF(hashes.SHA256(), 32, salt=None, info=f"zoeklicht/{purpose}".encode()).derive(master)


def fingerprint(key: bytes) -> str:
    """Names a key without giving it away."""
    return hashlib.sha256(key).hexdigest()[:16]


def blind(secret: bytes, *parts: str) -> bytes:
    """A keyed fingerprint: equal for equal parts, and useless without the secret."""
    mac = HMAC(secret, hashes.SHA256())
    mac.update("\x1f".join(parts).encode())
    return mac.finalize()
