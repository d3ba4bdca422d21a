"""The ways to a person: e-mail over SMTP, and whatever Apprise can reach."""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

import aiosmtplib

from services.kernel.errors import ZoeklichtError
from services.kernel.paging.duty import kind_of
from services.kernel.settings import Settings

CHANNEL_S = 15.0
"""How long one channel may take."""
_PORTS = {"smtp": 25, "smtps": 465}


class ChannelError(ZoeklichtError):
    """A channel did not take a message; says which kind of channel, never its address."""


class Message(EmailMessage):
    """A message to one person."""

    @property
    def title(self) -> str:
        """Its subject."""
        return str(self["Subject"])


def write(title: str, text: str, headers: Mapping[str, str]) -> Message:
    """A message of plain text."""
    message = Message()
    message.set_content(text)  # first: it removes headers about the content
    message["Subject"] = title
    message["Date"] = formatdate()
    message["Auto-Submitted"] = "auto-generated"
    for name, value in headers.items():
        message[name] = value
    return message


async def send(channel: str, message: Message, settings: Settings) -> None:
    """Sends over one channel. Raises ChannelError."""
    kind = kind_of(channel)
    try:
        async with asyncio.timeout(CHANNEL_S):
            if kind == "email":
                await _mail(channel, message, settings)
            else:
                await _notify(channel, message)
    except (aiosmtplib.SMTPException, OSError, TimeoutError, ssl.SSLError) as error:
        raise ChannelError(f"{kind}: {type(error).__name__}") from error


async def _mail(address: str, message: Message, settings: Settings) -> None:
    if settings.smtp_url is None:
        raise ChannelError("email: set ZOEKLICHT_SMTP_URL, for example smtps://user:password@host")
    parts = urlsplit(settings.smtp_url.get_secret_value())
    host = parts.hostname or "localhost"
    # A password never travels in clear; without one, encryption is taken where it is offered.
    encrypted = True if parts.username and not _here(host) else None
    sender = settings.smtp_from or f"zoeklicht@{urlsplit(settings.base_url).hostname or 'localhost'}"
    message["From"] = sender
    message["To"] = address
    try:
        await aiosmtplib.send(
            message,
            hostname=host,
            port=parts.port or _PORTS[parts.scheme],
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            use_tls=parts.scheme == "smtps",
            start_tls=None if parts.scheme == "smtps" else encrypted,
            timeout=CHANNEL_S,
        )
    finally:
        del message["From"], message["To"]


def _here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def _notify(url: str, message: Message) -> None:
    apprise = _apprise(url)
    text = message.get_content()
    if not await apprise.async_notify(title=message.title, body=text, body_format="text"):
        raise ChannelError(f"{kind_of(url)}: not taken")


def _apprise(url: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - apprise has no types
    import apprise  # noqa: PLC0415 - 40 MB, for whoever uses it

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it logs addresses
    found = apprise.Apprise()
    if not found.add(url):
        raise ChannelError(f"{kind_of(url)}: Apprise does not know this form; see its list of services")
    return found


def check(channel: str) -> None:
    """Raises ChannelError when a channel can never work."""
    if kind_of(channel) != "email":
        _apprise(channel)
