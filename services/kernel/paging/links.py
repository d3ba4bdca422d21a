"""Links by which a person acknowledges a page without logging in: signed, for one person and one page, for a while."""

import base64
import hmac
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.kernel.vault import blind, derive

VALID = timedelta(days=1)


def token(master: bytes, page_id: int, person_id: UUID, now: datetime) -> str:
    """What a link carries."""
    until = str(int((now + VALID).timestamp()))
    return f"{person_id.hex}.{until}.{_signature(master, page_id, person_id.hex, until)}"


def person_behind(master: bytes, page_id: int, given: str, now: datetime) -> UUID | None:
    """Whose link it is; None when it is not ours, of another page, or too old."""
    if not given.isascii():
        return None
    person, _, rest = given.partition(".")
    until, _, signature = rest.partition(".")
    wanted = _signature(master, page_id, person, until)
    if not hmac.compare_digest(wanted.encode(), signature.encode()):
        return None
    return UUID(hex=person) if now < datetime.fromtimestamp(int(until), UTC) else None


def _signature(master: bytes, page_id: int, person: str, until: str) -> str:
    mac = blind(derive(master, "page-links"), str(page_id), person, until)
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")
