"""The ways to a volunteer: a provider of text messages and calls, e-mail, Apprise, or the sandbox that reaches nobody.

A message carries the same number however often it is handed over: a provider takes it once, a mail reader shows it once.
"""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

import aiohttp
import aiosmtplib
import structlog

from schemas.vocabulary import Language
from services.kernel.paging import channels
from services.kernel.settings import Settings
from services.volunteers.domain.people import kind_of

_MOST_WAIT_S = 300.0
_REFUSED = frozenset({400, 404, 410, 422})
"""The provider will never take this message for this address; anything else may be mended."""
_KNOWN_ALREADY = 409

log = structlog.get_logger()


class Fate(StrEnum):
    """What became of a message that was handed over."""

    ACCEPTED = "accepted"
    FAILED = "failed"
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class Handed:
    """How it ended. `wait_s`: before it may be tried again, as the other side wishes."""

    fate: Fate
    error_class: str | None = None
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Letter:
    """A message for one address. `number` is the same at every try."""

    number: str
    address: str
    language: Language
    title: str
    text: str


class Gateways:
    """Hands messages over. Use `async with`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        token = self._settings.sms_token
        headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._settings.delivery_timeout_s),
            headers=headers,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def hand_over(self, letter: Letter) -> Handed:
        """Never raises for what the other side does."""
        if self._settings.volunteer_channels == "sandbox":
            return Handed(Fate.ACCEPTED, "sandbox")
        if kind_of(letter.address) in ("sms", "voice"):
            return await self._provider(letter)
        return await self._mail_or_app(letter)

    async def _provider(self, letter: Letter) -> Handed:
        if self._settings.sms_url is None or self._session is None:
            return Handed(Fate.FAILED, "no_provider")
        kind, _, number = letter.address.partition(":")
        body = {
            "id": letter.number,
            "kind": kind,
            "to": number,
            "language": letter.language.value,
            "text": letter.text,
            "report_to": f"{self._settings.base_url}/v1/volunteers/reports",
        }
        try:
            async with self._session.post(
                self._settings.sms_url.get_secret_value(),
                json=body,
                headers={"Idempotency-Key": letter.number},
                allow_redirects=False,
            ) as answer:
                return _of_status(answer.status, answer.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Handed(Fate.AGAIN, type(error).__name__)

    async def _mail_or_app(self, letter: Letter) -> Handed:
        headers = {
            "Message-ID": f"<{letter.number}@zoeklicht.invalid>",
            "Content-Language": letter.language.value,
        }
        try:
            async with asyncio.timeout(self._settings.delivery_timeout_s):
                written = channels.write(letter.title, letter.text, headers)
                await channels.send(letter.address, written, self._settings)
        except TimeoutError:
            return Handed(Fate.AGAIN, "TimeoutError")
        except channels.ChannelError as error:
            cause = error.__cause__
            definite = cause is None or isinstance(cause, aiosmtplib.SMTPRecipientsRefused)
            return Handed(Fate.FAILED if definite else Fate.AGAIN, type(cause or error).__name__)
        except Exception as error:  # a library may raise anything, and the next channel must be tried
            log.exception("a channel crashed", exc_info=error)
            return Handed(Fate.FAILED, "crashed")
        return Handed(Fate.ACCEPTED)


def _of_status(status: int, retry_after: str | None) -> Handed:
    if 200 <= status < 300 or status == _KNOWN_ALREADY:  # noqa: PLR2004 - what 2xx means
        return Handed(Fate.ACCEPTED)
    if status in _REFUSED:
        return Handed(Fate.FAILED, f"http_{status}")
    wait = float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
    return Handed(Fate.AGAIN, f"http_{status}", min(wait, _MOST_WAIT_S))
