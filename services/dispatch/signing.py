"""Standard Webhooks signatures: HMAC-SHA256 over id, timestamp and body, one for each live secret."""

import base64
import binascii
import hashlib
import hmac
import secrets as randomness
from collections.abc import Mapping, Sequence

from services.kernel.errors import ZoeklichtError

PREFIX = "whsec_"
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
    except binascii.Error:
        secret = b""
    if len(secret) < _LEAST_BYTES:
        raise SignatureError(f"write a secret as {PREFIX} and base64 of at least {_LEAST_BYTES} bytes")
    return secret


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature of exactly these bytes; `timestamp` in seconds since 1970.

    Raises SignatureError for an id with a dot: the signed string could then be read in two ways.
    """
    if "." in message_id:
        raise SignatureError("a message id must not hold a dot; use msg_ and hexadecimal digits")
    digest = hmac.new(secret, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def headers(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three signature headers; while a rotation lasts, both secrets sign."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, message_id, timestamp, body) for secret in secrets),
    }


def verify(secrets: Sequence[bytes], received: Mapping[str, str], body: bytes, now: int) -> None:
    """What a receiver does before it believes a message; `now` in seconds since 1970.

    `received` holds the headers by their lower-case names. Raises SignatureError.
    """
    try:
        message_id, timestamp = received["webhook-id"], int(received["webhook-timestamp"])
        given = received["webhook-signature"].split(" ")
    except (KeyError, ValueError) as error:
        raise SignatureError(
            "webhook-id, webhook-timestamp or webhook-signature is missing or wrong"
        ) from error
    if abs(now - timestamp) > TOLERANCE_S:
        raise SignatureError(f"webhook-timestamp is more than {TOLERANCE_S} s away: check the clock")
    expected = [sign(secret, message_id, timestamp, body).encode() for secret in secrets]
    # Every pair is compared, so that the time taken tells nothing about which one fits.
    fits = [hmac.compare_digest(one, other.encode()) for one in expected for other in given]
    if not any(fits):
        raise SignatureError("no signature fits: the secret is another one, or the body was changed")
