"""What the simulation asks of the system: through the public API, as anybody would."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from services.kernel.errors import ZoeklichtError

_TIMEOUT_S = 15


class SimulationError(ZoeklichtError):
    """The simulation cannot go on; the message says what to do."""


class Api:
    """The API of a running installation, with the tokens in its `access.json`."""

    def __init__(self, access_file: Path) -> None:
        try:
            access = json.loads(access_file.read_text(encoding="utf-8"))
            self.base_url: str = access["base_url"]
            self._tokens: Mapping[str, str] = access["tokens"]
        except (OSError, ValueError, KeyError) as error:
            raise SimulationError(
                f"{access_file} cannot be read: start the system with `zoeklicht run` on this --data folder first"
            ) from error
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self, role: str, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The answer to a call made in a role. Raises SimulationError with the problem's rule and detail."""
        if self._session is None:
            raise SimulationError("the connection is closed: open it with `async with`")
        headers = {"Authorization": f"Bearer {self._tokens[role]}"}
        try:
            async with self._session.request(
                method, self.base_url + path, json=body, headers=headers
            ) as answer:
                found: dict[str, Any] = await answer.json(content_type=None)
                if answer.ok:
                    return found
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SimulationError(
                f"{self.base_url} does not answer ({type(error).__name__}): is the system running?"
            ) from error
        raise SimulationError(
            f"{method} {path}: {answer.status} {found.get('detail', 'no problem document')}"
        )

    async def all_of(self, role: str, path: str) -> list[dict[str, Any]]:
        """Every item of a list, page by page."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            separator = "&" if "?" in path else "?"
            page = await self.call(role, "GET", path + (f"{separator}cursor={cursor}" if cursor else ""))
            found += page["items"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return found


def keep_private(path: Path, content: Mapping[str, Any]) -> None:
    """Replaces a file that only its owner may read."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file, indent=2)
    draft.replace(path)
