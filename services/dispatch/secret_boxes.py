"""The secrets of recipients, as they are kept: sealed, bound to their recipient."""

from collections.abc import Mapping
from typing import Any

from schemas.base import Sealed
from services.dispatch.signing import parse_secret
from services.kernel.vault import derive, unseal

PURPOSE = "partner-secrets"


def open_secrets(row: Mapping[str, Any], master: bytes) -> list[bytes]:
    """The secrets that sign for this recipient, newest first: two while a rotation lasts. Raises VaultError.

    `row` has recipient_id, secret and previous_secret (None when it has run out).
    """
    key = derive(master, PURPOSE)
    boxes = [row["secret"], row["previous_secret"]]
    place = str(row["recipient_id"]).encode()
    return [
        parse_secret(unseal(Sealed.model_validate_json(box), key, place)) for box in boxes if box is not None
    ]
