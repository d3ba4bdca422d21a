"""Links by which somebody answers, or changes what we know of them, without an account: signed, and for a time.

A link in a message is short enough for a text message: it names one message to one person, and with that a call-out and a
version of its need. A link to one's own details names the person. Neither tells anything to anybody who reads it, nor can
it be changed into another.
"""

import base64
import binascii
import hmac
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.kernel.vault import blind, derive

VALID = timedelta(days=7)
"""Of a link in a message."""
OWN_VALID = timedelta(days=1)
"""Of a link to one's own details that is on a page or was asked for."""
_MESSAGE, _OWN = struct.Struct(">QI"), struct.Struct(">16sI")
_MAC_BYTES = 12


def token(master: bytes, number: int, created_at: datetime) -> str:
    """What the link to a message carries; always the same for the same message."""
    return _signed(master, "volunteer-links", _MESSAGE.pack(number, _seconds(created_at + VALID)))


def number_behind(master: bytes, given: str, now: datetime) -> int | None:
    """Which message it is about; None when it is not ours, or too old."""
    found = _opened(master, "volunteer-links", _MESSAGE, given, now)
    return None if found is None else int(found)


def own_token(master: bytes, volunteer_id: UUID, until: datetime) -> str:
    """What the link to somebody's own details carries."""
    return _signed(master, "volunteer-own-links", _OWN.pack(volunteer_id.bytes, _seconds(until)))


def volunteer_behind(master: bytes, given: str, now: datetime) -> UUID | None:
    """Whose details it is about; None when it is not ours, or too old."""
    found = _opened(master, "volunteer-own-links", _OWN, given, now)
    return UUID(bytes=found) if isinstance(found, bytes) else None


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _signed(master: bytes, purpose: str, content: bytes) -> str:
    return base64.urlsafe_b64encode(content + _mac(master, purpose, content)).decode()


def _opened(
    master: bytes, purpose: str, form: struct.Struct, given: str, now: datetime
) -> int | bytes | None:
    try:
        raw = base64.b64decode(given.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    content, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if len(content) != form.size or not hmac.compare_digest(mac, _mac(master, purpose, content)):
        return None
    about: int | bytes
    about, until = form.unpack(content)
    return about if now < datetime.fromtimestamp(until, UTC) else None


def _mac(master: bytes, purpose: str, content: bytes) -> bytes:
    return blind(derive(master, purpose), content.hex())[:_MAC_BYTES]
