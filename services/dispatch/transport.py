"""One signed POST, with everything bounded: time, memory, redirects, and where it may go."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

import aiohttp

from services.dispatch.addresses import (
    AddressInfo,
    AddressRefusedError,
    Reviewed,
    check_url,
    guarded_sockets,
)
from services.kernel.errors import ZoeklichtError

MOST_ANSWER = 64 * 1024
"""Bytes of an answer's body that are read at most; the rest is nobody's business."""
HEAD = 4096
"""Bytes of an answer's body that are kept."""
BODY_S = 2.0
"""How long an answer's body is read: its status was known before."""
BeforeSend = Callable[[], Awaitable[None]]
CONTENT_TYPES = {"json": "application/json", "cap": "application/cap+xml"}
_USER_AGENT = f"zoeklicht/{version('zoeklicht')}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a partner answered; `head` is the beginning of the body, `size` how much of it was read."""

    status: int
    retry_after: str | None
    size: int
    head: bytes


class TransportError(ZoeklichtError):
    """No answer. `sent`: the request had begun to leave, so it may have arrived."""

    def __init__(self, error_class: str, *, sent: bool) -> None:
        super().__init__(f"no answer from the partner: {error_class}")
        self.error_class = error_class
        self.sent = sent


class Limits(Reviewed, Protocol):
    """What a transport asks of the settings, or of an emergency pack."""

    @property
    def delivery_timeout_s(self) -> float:
        """How long an answer may take."""

    @property
    def partner_ca(self) -> str | None:
        """Authorities in PEM that may vouch for partners, beside those that the system trusts."""


@dataclass(slots=True)
class _Progress:
    before_send: BeforeSend
    connected: bool = False
    sent: bool = False
    blocked: bool = False
    on_its_way: asyncio.Transport | None = None
    """The connection of a request that has no answer yet."""


_progress: ContextVar[_Progress] = ContextVar("progress")


def _trust(limits: Limits) -> ssl.SSLContext:
    """Certificates are always checked: against the system's authorities and those that the settings add."""
    context = ssl.create_default_context()
    if limits.partner_ca is not None:
        context.load_verify_locations(cadata=limits.partner_ca)
    return context


def _refused() -> None:
    _progress.get().blocked = True


_AT_ONCE = struct.pack("ii", 1, 0)


def _sockets(limits: Limits) -> Callable[[AddressInfo], socket.socket]:
    """Guarded sockets whose bytes do not arrive when they are old news, should the partner's machine not take them.

    The system drops them when the attempt ends or the sender dies (`SO_LINGER`), and when nothing was taken for as long
    as an attempt may last (`TCP_USER_TIMEOUT`; else it goes on trying for a quarter of an hour).
    """
    guarded = guarded_sockets(loopback=limits.allow_loopback_partners, refused=_refused)

    def make(info: AddressInfo) -> socket.socket:
        made = guarded(info)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            made.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limits.delivery_timeout_s * 1000)
            )
        return made

    return make


class _LastLook(aiohttp.TCPConnector):
    """Asks once more when the connection stands and not one byte has left: connecting may have taken seconds."""

    async def connect(self, req: Any, traces: Any, timeout: aiohttp.ClientTimeout) -> Any:  # noqa: ASYNC109 - aiohttp's own signature
        connection = await super().connect(req, traces, timeout)
        progress = _progress.get()
        progress.connected = True
        try:
            await progress.before_send()
        except BaseException:
            connection.close()
            raise
        progress.on_its_way = connection.transport
        progress.sent = True
        return connection


class Transport:
    """Posts to partners. To be closed at the end."""

    def __init__(self, settings: Limits) -> None:
        self._settings = settings
        self._reviewed: set[str] = set()
        timeout = settings.delivery_timeout_s
        self._session = aiohttp.ClientSession(
            connector=_LastLook(
                limit=0,
                keepalive_timeout=15,
                ssl=_trust(settings),
                ttl_dns_cache=60,
                socket_factory=_sockets(settings),
            ),
            timeout=aiohttp.ClientTimeout(
                total=timeout, connect=timeout / 2, sock_connect=timeout / 2, sock_read=timeout
            ),
            trust_env=False,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        """Closes every connection."""
        await self._session.close()

    async def post(
        self, url: str, body: bytes, headers: dict[str, str], before_send: BeforeSend, format_: str = "json"
    ) -> Answer:
        """Posts exactly these bytes. `before_send` is awaited on the open connection; what it raises prevents it.

        Raises TransportError, and whatever `before_send` raises.
        """
        progress = _Progress(before_send)
        _progress.set(progress)
        try:
            if url not in self._reviewed:
                check_url(url, self._settings)
                self._reviewed.add(url)
            return await self._post(url, body, headers | {"Content-Type": CONTENT_TYPES[format_]})
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise TransportError(_class_of(error, progress), sent=progress.sent) from error
        finally:
            if progress.on_its_way is not None:
                progress.on_its_way.abort()  # closing would go on sending

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            size, head, whole = 0, b"", False
            try:
                async with asyncio.timeout(BODY_S):
                    while size < MOST_ANSWER and not whole:
                        chunk = await response.content.read(MOST_ANSWER - size)
                        whole = not chunk
                        size += len(chunk)
                        head += chunk[: HEAD - len(head)]
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
                whole = False  # the status decides; how the body went on does not
            if not whole:
                response.close()
            _progress.get().on_its_way = None
            return Answer(response.status, response.headers.get("Retry-After"), size, head)


_CLASSES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    ((AddressRefusedError, aiohttp.InvalidURL), "blocked"),
    (aiohttp.ClientConnectorDNSError, "dns"),
    (aiohttp.ClientSSLError, "tls"),
    (aiohttp.ClientResponseError, "invalid_answer"),
)
AMBIGUOUS = ("timeout", "disconnect", "invalid_answer", "server_error", "unavailable", "internal")
"""Error classes after which it may have arrived all the same."""


_CERTIFICATE = {
    9: "certificate_expired",
    10: "certificate_expired",
    62: "certificate_name",
    64: "certificate_name",
}
"""OpenSSL's codes of what is wrong with a certificate; any other is that nobody we trust vouches for it."""


def _class_of(error: BaseException, progress: _Progress) -> str:
    if progress.blocked and not progress.sent:
        return "blocked"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        code = getattr(error.certificate_error, "verify_code", None)
        return _CERTIFICATE.get(code or 0, "certificate_untrusted")
    for kind, name in _CLASSES:
        if isinstance(error, kind):
            return name
    if isinstance(error, TimeoutError):
        early = "look_timeout" if progress.connected else "connect_timeout"
        return "timeout" if progress.sent else early
    return "disconnect" if progress.sent else "connect"
