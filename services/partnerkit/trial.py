"""One receiver under test: sends to it as the sender does, and as nobody should."""

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.cap import SigningKey
from services.cap.keys import SEED_BYTES
from services.dispatch.outcomes import HTTP_OK
from services.kernel.signing import SigningKeys, headers, parse_secret
from services.partnerkit.cap_messages import CapExercise
from services.partnerkit.errors import FailedError, KitError
from services.partnerkit.messages import Exercise, content_type
from services.partnerkit.witness import Witness

LAST_REVISION = 1000


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the kit waits, in seconds."""

    patience_s: float = 5.0
    """For something that must happen: a receipt, a page that follows."""
    quiet_s: float = 1.0
    """To see that something does not happen."""
    lease_s: int = 5
    """Of the alerts whose lease is meant to run out."""
    samples: int = 30
    """Messages that are timed."""


@dataclass(slots=True)
class Trial:
    """Where messages go, and what they are signed with.

    `timeout_s`: after which the sender gives an attempt up. `restart`: a shell command that restarts the receiver.
    `cap_key`: what the alerts are signed with inside when they are CAP; None: they are JSON.
    """

    url: str
    keys: SigningKeys
    session: aiohttp.ClientSession
    witness: Witness
    timeout_s: float = 10.0
    pace: Pace = field(default_factory=Pace)
    restart: str | None = None
    cap_key: SigningKey | None = None
    _alerts: list[Exercise] = field(default_factory=list)

    def exercise(self) -> Exercise:
        """A new invented alert."""
        key, url = self.cap_key, self.witness.url
        alert = Exercise(url) if key is None else CapExercise(url, signing_key=key)
        self._alerts.append(alert)
        return alert

    async def leave_dark(self) -> None:
        """Withdraws every alert of the trial, so that nothing stays behind whatever failed."""
        for alert in self._alerts:
            body = alert.withdrawn(LAST_REVISION)
            with suppress(FailedError):
                await self.post(body, self.signed(body))
        self._alerts.clear()

    def signed(self, body: bytes, *, age_s: int = 0, message_id: str | None = None) -> dict[str, str]:
        """The headers of a message that was signed `age_s` seconds ago."""
        return headers(self.keys, message_id or f"msg_{uuid4().hex}", int(time.time()) - age_s, body)

    async def post(self, body: bytes, head: Mapping[str, str]) -> int:
        """The status of the answer. Raises FailedError when there is none in time, KitError when there can be none."""
        try:
            async with self.session.post(
                self.url,
                data=body,
                headers={"Content-Type": content_type(body), **head},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self.timeout_s),
            ) as answer:
                return answer.status
        except aiohttp.InvalidURL:
            raise KitError("write the URL as https://host/path or http://127.0.0.1:port/path") from None
        except TimeoutError:
            raise FailedError(f"no answer within {self.timeout_s:.0f} s") from None
        except aiohttp.ClientError as error:
            raise FailedError(f"no answer ({type(error).__name__})") from error

    async def send(self, body: bytes, *, age_s: int = 0, message_id: str | None = None) -> None:
        """Sends what must be taken. Raises FailedError when the answer is not 2xx."""
        await self.taken(body, self.signed(body, age_s=age_s, message_id=message_id))

    async def taken(self, body: bytes, head: Mapping[str, str]) -> None:
        """Posts what must be answered with 2xx. Raises FailedError."""
        if (status := await self.post(body, head)) not in HTTP_OK:
            raise FailedError(f"answered {status}, not 2xx")

    async def refused(self, what: str, body: bytes, head: Mapping[str, str]) -> None:
        """Posts what must not be believed. Raises FailedError when it is taken."""
        if (status := await self.post(body, head)) in HTTP_OK:
            raise FailedError(f"{what} was answered {status}")


def keys_of(secret: str) -> SigningKeys:
    """What the kit signs with; its ed25519 key follows from the secret, so that it is the same each time.

    Raises SignatureError when the secret has the wrong form.
    """
    shared = parse_secret(secret)
    seed = hashlib.sha256(b"zoeklicht/partner-kit/" + shared).digest()
    return SigningKeys([shared], Ed25519PrivateKey.from_private_bytes(seed))


def cap_key_of(secret: str) -> SigningKey:
    """The key of the XML signature inside CAP messages; it follows from the secret, as the other does."""
    seed = hashlib.shake_256(b"zoeklicht/partner-kit/cap/" + parse_secret(secret)).digest(SEED_BYTES)
    return SigningKey.derived(seed, "zoeklicht partner kit")
