"""The settings that keys come from: the master key, and what wraps the keys of the vault."""

import base64
from functools import cached_property
from typing import Self
from urllib.parse import urlsplit

from pydantic import FilePath, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from services.kernel.errors import ZoeklichtError

KEY_BYTES = 32


class NoMasterKeyError(ZoeklichtError):
    """Something was to be opened by a process that opens nothing."""

    def __init__(self) -> None:
        super().__init__(
            "this process was not told the master key: it opens nothing; set ZOEKLICHT_MASTER_KEY"
        )


class KeySettings(BaseSettings):
    """A part of `Settings`."""

    master_key: SecretStr = SecretStr("")
    """32 bytes in base64; fingerprints and partners' secrets stand on it, and it wraps keys where nothing else does. The
    relay, criteria and projections open nothing, and do without."""
    wrapping_keys: SecretStr | None = None
    """What wraps the keys of children, cases and alerts: 32 bytes in base64 or https://host/v1/transit/NAME of a key
    service, separated by commas. The first wraps, all open; by default the master key. See docs/keys.md."""
    wrapping_keys_file: FilePath | None = None
    """The same in a file, one a line."""
    key_service_token_file: FilePath | None = None
    """Who we are to that key service."""
    key_service_ca_file: FilePath | None = None
    """The authority in PEM that vouches for it; by default those that the system trusts."""

    @field_validator("master_key")
    @classmethod
    def _whole_key(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not _is_key(value.get_secret_value()):
            raise ValueError("write 32 random bytes in base64, for example from: openssl rand -base64 32")
        return value

    @model_validator(mode="after")
    def _whole_ring(self) -> Self:
        if self.wrapping_keys and self.wrapping_keys_file:
            raise ValueError("set ZOEKLICHT_WRAPPING_KEYS or ZOEKLICHT_WRAPPING_KEYS_FILE, not both")
        entries = self.wrapping_key_entries
        if not all(_wraps(entry) for entry in entries):
            raise ValueError(
                "ZOEKLICHT_WRAPPING_KEYS must be 32 random bytes in base64 each (openssl rand -base64 32), or"
                " https://host/v1/transit/NAME"
            )
        if any("://" in entry for entry in entries) and not self.key_service_token_file:
            raise ValueError(
                "ZOEKLICHT_WRAPPING_KEYS names a key service: set ZOEKLICHT_KEY_SERVICE_TOKEN_FILE"
            )
        return self

    @cached_property
    def master_key_bytes(self) -> bytes:
        """The master key itself. Raises NoMasterKeyError."""
        if not self.master_key.get_secret_value():
            raise NoMasterKeyError
        return base64.b64decode(self.master_key.get_secret_value())

    @cached_property
    def wrapping_key_entries(self) -> tuple[str, ...]:
        """What wraps the keys of the vault, in order; nothing: the master key does."""
        text = self.wrapping_keys.get_secret_value() if self.wrapping_keys else ""
        if self.wrapping_keys_file:
            text = ",".join(self.wrapping_keys_file.read_text(encoding="utf-8").splitlines())
        return tuple(part.strip() for part in text.split(",") if part.strip())


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == KEY_BYTES
    except ValueError:  # binascii.Error is one
        return False


def _wraps(entry: str) -> bool:
    parts = urlsplit(entry)
    here = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}
    return _is_key(entry) or ((parts.scheme == "https" or here) and "/transit/" in parts.path)
