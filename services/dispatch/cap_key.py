"""The key that signs this installation's CAP messages."""

from functools import cache
from pathlib import Path

from services.cap import SigningKey
from services.cap.errors import CapKeyError
from services.cap.keys import SEED_BYTES
from services.kernel.settings import Settings
from services.kernel.vault import derive

_NAME = "zoeklicht"


def signing_key(settings: Settings) -> SigningKey:
    """The one in ZOEKLICHT_CAP_KEY_FILE, else one that follows from the master key. Raises CapKeyError."""
    return _key(settings.cap_key_file, settings.master_key_bytes)


@cache
def _key(file: Path | None, master: bytes) -> SigningKey:
    if file is None:
        seed = derive(master, "cap-signature/1") + derive(master, "cap-signature/2")
        return SigningKey.derived(seed[:SEED_BYTES], _NAME)
    try:
        return SigningKey.from_pem(file.read_bytes())
    except OSError as error:
        raise CapKeyError(f"ZOEKLICHT_CAP_KEY_FILE cannot be read: {error.strerror}") from error
