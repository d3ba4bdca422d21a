"""Sealing: one key per child, case or alert; destroying the key is forgetting, in every copy at once."""

from services.kernel.vault.keys import Vault
from services.kernel.vault.sealing import (
    KeyDestroyedError,
    VaultError,
    blind,
    context,
    derive,
    key_name,
    seal,
    seal_bytes,
    unseal,
    unseal_bytes,
)

__all__ = [
    "KeyDestroyedError",
    "Vault",
    "VaultError",
    "blind",
    "context",
    "derive",
    "key_name",
    "seal",
    "seal_bytes",
    "unseal",
    "unseal_bytes",
]
