"""What the keys of the vault are wrapped with: keys of our own, or one that stays inside a key service.

The first of a ring wraps, all of them open: so one takes the place of another while every process goes on.
"""

import base64
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp

from services.kernel.key_settings import KEY_BYTES, KeySettings
from services.kernel.vault.sealing import VaultError, fingerprint, seal_bytes, unseal_bytes

ANSWER_S = 3.0
"""A key service that takes longer is away: who waits for it holds leases."""
OPENED_S, OPENED_KEYS = 60.0, 10_000
"""How long, and how many, opened keys are remembered."""
_OK = 200
_REFUSED = {401, 403}


class WrappingError(VaultError):
    """A key of the vault can be neither wrapped nor opened now; the message says what to do."""


class WrappingKey(Protocol):
    """Wraps keys, each bound to its name: put under another name it does not open."""

    @property
    def key_id(self) -> str:
        """What the vault notes beside each key, and gives nothing away."""

    async def wrap(self, keys: Mapping[str, bytes]) -> dict[str, bytes]:
        """Name → wrapped key. Raises WrappingError."""

    async def unwrap(self, wrapped: Mapping[str, bytes]) -> dict[str, bytes]:
        """Name → key. Raises WrappingError."""


class LocalKey:
    """A key of 32 bytes that every process which opens data holds; AES-256-GCM."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise WrappingError("a key that wraps others has 32 bytes: openssl rand -base64 32")
        self._key = key

    @property
    def key_id(self) -> str:
        """Its fingerprint: of 32 random bytes that tells nothing."""
        return fingerprint(self._key)

    async def wrap(self, keys: Mapping[str, bytes]) -> dict[str, bytes]:
        """Sealed, bound to the name."""
        return {name: seal_bytes(self._key, key, name.encode()) for name, key in keys.items()}

    async def unwrap(self, wrapped: Mapping[str, bytes]) -> dict[str, bytes]:
        """The keys again. Raises WrappingError when one was damaged or moved."""
        try:
            return {name: unseal_bytes(box, self._key, name.encode()) for name, box in wrapped.items()}
        except VaultError as error:
            raise WrappingError(
                f"a key in the vault does not open with its own {self.key_id}: it was damaged or moved; bring the keys"
                " back from a backup"
            ) from error


class TransitKey:
    """A key that never leaves its key service, which speaks the `transit` protocol of OpenBao and HashiCorp Vault.

    What it opened is remembered for OPENED_S, so that the service is not asked for every message.
    """

    def __init__(self, url: str, token_file: Path, ca_file: Path | None = None) -> None:
        """`url`: https://host:8200/v1/transit/NAME. `token_file` is read each time: an agent may renew what is in it."""
        self._mount, _, self._name = url.rstrip("/").rpartition("/")
        self._host = urlsplit(url).netloc
        self._token_file, self._ca_file = token_file, ca_file
        self._opened: dict[tuple[str, bytes], bytes] = {}
        self._opened_until = 0.0

    @property
    def key_id(self) -> str:
        """By the name of its key: the service may move."""
        return f"transit:{self._name}"

    async def wrap(self, keys: Mapping[str, bytes]) -> dict[str, bytes]:
        """As the service writes it (vault:vN:…), with its newest version of the key."""
        answers = await self._ask(
            "encrypt", [_item(name, "plaintext", _text(key)) for name, key in keys.items()]
        )
        return {name: str(one["ciphertext"]).encode() for name, one in zip(keys, answers, strict=True)}

    async def unwrap(self, wrapped: Mapping[str, bytes]) -> dict[str, bytes]:
        """The keys again, whatever version of the key wrapped them."""
        if time.monotonic() > self._opened_until or len(self._opened) > OPENED_KEYS:
            self._opened, self._opened_until = {}, time.monotonic() + OPENED_S
        opened = self._opened  # another task may begin a new one while this one waits
        shut = [item for item in wrapped.items() if item not in opened]
        if shut:
            items = [_item(name, "ciphertext", box.decode("ascii", "replace")) for name, box in shut]
            answers = await self._ask("decrypt", items)
            opened |= {
                item: base64.b64decode(str(one["plaintext"])) for item, one in zip(shut, answers, strict=True)
            }
        return {item[0]: opened[item] for item in wrapped.items()}

    async def _ask(self, what: str, items: Sequence[Mapping[str, str]]) -> list[Mapping[str, Any]]:
        mount, name, host = self._mount, self._name, self._host
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
            tls = ssl.create_default_context(cafile=self._ca_file) if mount.startswith("https:") else True
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session,
                session.post(
                    f"{mount}/{what}/{name}",
                    json={"batch_input": items},
                    headers={"X-Vault-Token": token},
                    ssl=tls,
                    allow_redirects=False,
                ) as answer,
            ):
                status, body = answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            raise WrappingError(
                f"the key service at {host} does not answer ({type(error).__name__}): see whether it runs and is"
                " unsealed, and whether ZOEKLICHT_KEY_SERVICE_TOKEN_FILE and _CA_FILE can be read"
            ) from error
        if status in _REFUSED:
            raise WrappingError(
                f"the key service at {host} refuses the token in ZOEKLICHT_KEY_SERVICE_TOKEN_FILE: give it one that may"
                f" {what} with the key {name}"
            )
        results = ((body or {}).get("data") or {}).get("batch_results") or []
        if status != _OK or len(results) != len(items) or any(one.get("error") for one in results):
            raise WrappingError(
                f"the key service at {host} answers {status} and could not {what} with the key {name}: see whether the key"
                " and the version that wrapped are still there"
            )
        return list(results)


def _item(name: str, what: str, value: str) -> dict[str, str]:
    return {what: value, "associated_data": _text(name.encode())}


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


class Ring:
    """The keys that a process wraps and opens with; the first one wraps."""

    def __init__(self, keys: Iterable[WrappingKey]) -> None:
        ordered = list(keys)
        if not ordered:
            raise WrappingError("no key wraps the keys of the vault: set ZOEKLICHT_MASTER_KEY")
        self._first = ordered[0]
        self._by_id = {one.key_id: one for one in reversed(ordered)}

    @property
    def key_id(self) -> str:
        """Of the key that wraps."""
        return self._first.key_id

    @property
    def is_asked(self) -> bool:
        """Whether somebody else wraps: then nothing is wrapped that might not be needed."""
        return isinstance(self._first, TransitKey)

    @property
    def key_ids(self) -> frozenset[str]:
        """Of all that open."""
        return frozenset(self._by_id)

    async def wrap(self, keys: Mapping[str, bytes]) -> dict[str, bytes]:
        """Name → key wrapped by the first of the ring. Raises WrappingError."""
        return await self._first.wrap(keys) if keys else {}

    async def unwrap(self, key_id: str, wrapped: Mapping[str, bytes]) -> dict[str, bytes]:
        """Name → key, with the key of that id. Raises WrappingError."""
        key = self._by_id.get(key_id)
        if key is None:
            raise WrappingError(
                f"the keys in the vault are wrapped with {key_id}, which this process does not have: name that key in"
                " ZOEKLICHT_WRAPPING_KEYS after the first one (or in ZOEKLICHT_MASTER_KEY when it was the master key)"
            )
        return await key.unwrap(wrapped) if wrapped else {}


def ring_of(settings: KeySettings) -> Ring:
    """The keys that the settings name; without any, the master key alone. Raises WrappingError."""
    named = settings.wrapping_key_entries
    return Ring([_key(entry, settings) for entry in named] or [LocalKey(settings.master_key_bytes)])


def _key(entry: str, settings: KeySettings) -> WrappingKey:
    if "://" not in entry:
        return LocalKey(base64.b64decode(entry))
    token = settings.key_service_token_file
    if token is None:  # the settings have said so
        raise WrappingError("set ZOEKLICHT_KEY_SERVICE_TOKEN_FILE")
    return TransitKey(entry, token, settings.key_service_ca_file)
