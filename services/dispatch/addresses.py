"""Where alerts may go: known hosts, and underneath a check on the address that is really connected to."""

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Protocol
from urllib.parse import urlsplit

from services.kernel.errors import ZoeklichtError

Address = IPv4Address | IPv6Address
AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]
"""As getaddrinfo gives it: family, type, protocol, canonical name, socket address."""

_PORTS = {"https": 443, "http": 80}
# Python's `is_global` lets several of these through; each leads, or may lead, into somebody's own network.
_DENIED = tuple(
    ip_network(text)
    for text in (
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local use
        "2002::/16",  # 6to4
        "2001::/32",  # Teredo
        "::/96",  # IPv4-compatible
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local, before fc00::/7
        "168.63.129.16/32",  # metadata service of a cloud
        "fd00:ec2::254/128",  # metadata service of a cloud
    )
)


class AddressRefusedError(ZoeklichtError, OSError):
    """A partner's address is not one to which anything is sent; an OSError, as failures to connect are."""


class Reviewed(Protocol):
    """Where may be sent to: of the settings, or of an emergency pack."""

    @property
    def partner_hosts(self) -> frozenset[str]:
        """host:port of every partner."""

    @property
    def allow_loopback_partners(self) -> bool:
        """Whether http and any port of this machine may be sent to."""


def place_of(url: str) -> tuple[str, bool]:
    """host:port of a URL, and whether it names this very machine. Raises AddressRefusedError when it has none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError as error:
        raise AddressRefusedError("the address is not a URL: write https://host[:port]/path") from error
    if not host or port is None or parts.username is not None or parts.password is not None:
        raise AddressRefusedError("write https://host[:port]/path, without user name or password")
    return f"{host}:{port}", _names_loopback(host)


def check_url(url: str, settings: Reviewed) -> None:
    """Raises AddressRefusedError unless `url` is https to a host and port on the reviewed list.

    With `allow_loopback_partners`, http and any port of the machine itself are allowed too.
    """
    place, loopback = place_of(url)
    if settings.allow_loopback_partners and loopback:
        return
    if urlsplit(url).scheme != "https":
        raise AddressRefusedError("only https is sent to: ask the partner for an https address")
    if place not in settings.partner_hosts:
        raise AddressRefusedError(
            "host and port are not on the reviewed list: add host:port to ZOEKLICHT_PARTNER_HOSTS after review"
        )


def _names_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return _plain(ip_address(host)).is_loopback
    except ValueError:
        return False


def _plain(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped one."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def check_address(text: str, *, loopback: bool) -> None:
    """Raises AddressRefusedError unless the numeric address `text` belongs to the public internet."""
    try:
        address = _plain(ip_address(text.partition("%")[0]))
    except ValueError as error:
        raise AddressRefusedError("the address to connect to is not an IP address") from error
    if loopback and address.is_loopback:
        return
    denied = any(address.version == network.version and address in network for network in _DENIED)
    if denied or address.is_multicast or not address.is_global:
        raise AddressRefusedError(
            "the partner's host leads to an address outside the public internet: check its DNS entry"
        )


def guarded_sockets(
    *, loopback: bool, refused: Callable[[], None] = lambda: None
) -> Callable[[AddressInfo], socket.socket]:
    """A socket factory for aiohttp's TCPConnector that checks the address actually connected to.

    A resolver would not do: IP literals never pass it. `refused` is called before each refusal is raised, because
    the error itself is lost when a host has several addresses.
    """

    def make(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, place = info
        try:
            check_address(str(place[0]), loopback=loopback)
        except AddressRefusedError:
            refused()
            raise
        return socket.socket(family, kind, protocol)

    return make
