"""Standard Webhooks signatures over id, timestamp and body: `v1` (HMAC-SHA256, one for each live secret), `v1a` (ed25519)."""

import base64
import hashlib
import hmac
import secrets as randomness
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.kernel.errors import ZoeklichtError

PREFIX = "whsec_"
PUBLIC_PREFIX = "whpk_"
SECRET_BYTES = 24
_LEAST_BYTES = 16
TOLERANCE_S = 300
"""How far the timestamp of a message may be from the receiver's clock, as Standard Webhooks recommends."""


class SignatureError(ZoeklichtError):
    """A secret has the wrong form, or a message is not from whom it says; the message says which."""


def new_secret() -> str:
    """A fresh secret as partners get it: `whsec_` and base64."""
    return PREFIX + base64.b64encode(randomness.token_bytes(SECRET_BYTES)).decode()


def parse_secret(text: str) -> bytes:
    """The bytes of a secret, with or without its prefix. Raises SignatureError."""
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except ValueError:  # also for what is not ASCII
        secret = b""
    if len(secret) < _LEAST_BYTES:
        raise SignatureError(f"write a secret as {PREFIX} and base64 of at least {_LEAST_BYTES} bytes")
    return secret


def public_text(private: Ed25519PrivateKey) -> str:
    """The public half as partners get it: `whpk_` and base64 of 32 bytes."""
    return PUBLIC_PREFIX + base64.b64encode(private.public_key().public_bytes_raw()).decode()


def parse_public(text: str) -> Ed25519PublicKey:
    """A public key, with or without its prefix. Raises SignatureError."""
    try:
        return Ed25519PublicKey.from_public_bytes(
            base64.b64decode(text.removeprefix(PUBLIC_PREFIX), validate=True)
        )
    except ValueError:
        raise SignatureError(f"write a public key as {PUBLIC_PREFIX} and base64 of 32 bytes") from None


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """What signs for one recipient. `secrets`: newest first, two while a rotation lasts."""

    secrets: Sequence[bytes]
    private: Ed25519PrivateKey


def _signed(message_id: str, timestamp: int, body: bytes) -> bytes:
    if "." in message_id:
        raise SignatureError("a message id must not hold a dot; use msg_ and hexadecimal digits")
    return f"{message_id}.{timestamp}.".encode() + body


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The `v1` signature of exactly these bytes; `timestamp` in seconds since 1970.

    Raises SignatureError for an id with a dot: the signed string could then be read in two ways.
    """
    digest = hmac.new(secret, _signed(message_id, timestamp, body), hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def sign_asymmetric(private: Ed25519PrivateKey, message_id: str, timestamp: int, body: bytes) -> str:
    """The `v1a` signature of exactly these bytes. Whoever can check it can not make it."""
    return "v1a," + base64.b64encode(private.sign(_signed(message_id, timestamp, body))).decode()


def headers(keys: SigningKeys, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three signature headers; while a rotation lasts, both secrets sign."""
    signatures = [sign(secret, message_id, timestamp, body) for secret in keys.secrets]
    signatures.append(sign_asymmetric(keys.private, message_id, timestamp, body))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def verify(
    secrets: Sequence[bytes],
    received: Mapping[str, str],
    body: bytes,
    now: int,
    publics: Sequence[Ed25519PublicKey] = (),
) -> None:
    """What a receiver does before it believes a message; `now` in seconds since 1970.

    One signature that fits a secret or a public key is enough. `received` holds the headers by their lower-case
    names. Raises SignatureError.
    """
    try:
        message_id, timestamp = received["webhook-id"], int(received["webhook-timestamp"])
        message_id.encode()
        given = [(one, one.encode()) for one in received["webhook-signature"].split(" ")]
    except (KeyError, ValueError) as error:
        raise SignatureError(
            "webhook-id, webhook-timestamp or webhook-signature is missing or wrong"
        ) from error
    if abs(now - timestamp) > TOLERANCE_S:
        raise SignatureError(f"webhook-timestamp is more than {TOLERANCE_S} s away: check the clock")
    expected = [sign(secret, message_id, timestamp, body).encode() for secret in secrets]
    # Every pair is compared, so that the time taken tells nothing about which one fits.
    fits = [hmac.compare_digest(one, other) for one in expected for _, other in given]
    fits += [_fits(one, other, _signed(message_id, timestamp, body)) for one in publics for other, _ in given]
    if not any(fits):
        raise SignatureError("no signature fits: the secret is another one, or the body was changed")


def _fits(public: Ed25519PublicKey, signature: str, signed: bytes) -> bool:
    version, _, text = signature.partition(",")
    try:
        public.verify(base64.b64decode(text, validate=True), signed)
    except (InvalidSignature, ValueError):
        return False
    return version == "v1a"
