"""Sealing: one key per child, case or alert; destroying the key is forgetting, in every copy at once."""

from services.kernel.vault.keys import Vault
from services.kernel.vault.sealing import (
    KeyDestroyedError,
    VaultError,
    blind,
    context,
    derive,
    fingerprint,
    key_name,
    seal,
    seal_bytes,
    unseal,
    unseal_bytes,
)
from services.kernel.vault.wrapping import LocalKey, Ring, TransitKey, WrappingError, ring_of

__all__ = [
    "KeyDestroyedError",
    "LocalKey",
    "Ring",
    "TransitKey",
    "Vault",
    "VaultError",
    "WrappingError",
    "blind",
    "context",
    "derive",
    "fingerprint",
    "key_name",
    "ring_of",
    "seal",
    "seal_bytes",
    "unseal",
    "unseal_bytes",
]
