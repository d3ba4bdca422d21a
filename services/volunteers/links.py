"""Links by which somebody answers without an account: short enough for a text message, signed, for a week.

A link names one message to one person, and with that a call-out and a version of its need. It tells nothing to anybody
who reads it, and cannot be changed into another.
"""

import base64
import binascii
import hmac
import struct
from datetime import UTC, datetime, timedelta

from services.kernel.vault import blind, derive

VALID = timedelta(days=7)
_FORM = ">QI"
_MAC_BYTES = 12
_TOKEN = struct.calcsize(_FORM) + _MAC_BYTES


def token(master: bytes, number: int, created_at: datetime) -> str:
    """What the link to a message carries; always the same for the same message."""
    content = struct.pack(_FORM, number, int((created_at + VALID).timestamp()))
    return base64.urlsafe_b64encode(content + _mac(master, content)).decode()


def number_behind(master: bytes, given: str, now: datetime) -> int | None:
    """Which message it is about; None when it is not ours, or too old."""
    try:
        raw = base64.b64decode(given.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    content, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if len(raw) != _TOKEN or not hmac.compare_digest(mac, _mac(master, content)):
        return None
    number, until = struct.unpack(_FORM, content)
    return int(number) if now < datetime.fromtimestamp(until, UTC) else None


def _mac(master: bytes, content: bytes) -> bytes:
    return blind(derive(master, "volunteer-links"), content.hex())[:_MAC_BYTES]
