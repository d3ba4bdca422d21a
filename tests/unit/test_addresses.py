"""Nothing is sent to an address outside the public internet, however it is written."""

import asyncio
import socket

import aiohttp
import pytest

from services.dispatch.addresses import AddressRefusedError, check_address, check_url, guarded_sockets
from services.kernel.settings import load_settings

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def settings(*, loopback=False, hosts=""):
    return load_settings(
        database_url="postgresql://u:p@127.0.0.1:1/x",
        kafka_bootstrap_servers="127.0.0.1:1",
        master_key=KEY,
        allow_loopback_partners=loopback,
        partner_hosts=hosts,
    )


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.1",
        "192.0.0.9",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "203.0.113.1",
        "224.0.0.1",
        "233.252.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::7f00:1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:168.63.129.16",
        "::ffff:192.88.99.1",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:808:808::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "localhost",
        "",
    ],
)
def test_denied(address):
    """Private, special, translated and unspecified addresses are refused."""
    with pytest.raises(AddressRefusedError):
        check_address(address, loopback=False)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "193.190.198.1", "2a00:1450:4007:80c::200e", "::ffff:8.8.8.8"]
)
def test_public(address):
    """Ordinary addresses of the internet pass."""
    check_address(address, loopback=False)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"])
def test_loopback_only_when_allowed(address):
    """The start option opens loopback, and nothing else."""
    check_address(address, loopback=True)
    with pytest.raises(AddressRefusedError):
        check_address(address, loopback=False)


def test_loopback_option_opens_nothing_else():
    """With the option, private and metadata addresses stay closed."""
    for address in ("10.0.0.1", "169.254.169.254", "::ffff:192.168.0.1", "fe80::1", "0.0.0.0"):  # noqa: S104
        with pytest.raises(AddressRefusedError):
            check_address(address, loopback=True)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://screens.example:443/hook", "https"),
        ("https://screens.example:8443/hook", "reviewed list"),
        ("https://other.example/hook", "reviewed list"),
        ("https://user:pw@screens.example/hook", "user name"),
        ("https://screens.example:0x1bb/hook", "not a URL"),
        ("https://screens.example:99999/hook", "not a URL"),
        ("https://[::1/hook", "not a URL"),
        ("ftp://screens.example/hook", "https?:"),
        ("/hook", "https"),
        ("", "https"),
        ("http://127.0.0.1:8080/", "https"),
        ("http://localhost:8080/", "https"),
        ("https://screens.example.:443/hook", "reviewed list"),
    ],
)
def test_url_refused(url, text):
    """Only https to a reviewed host and port; the message says what to do."""
    with pytest.raises(AddressRefusedError, match=text):
        check_url(url, settings(hosts="screens.example:443"))


@pytest.mark.parametrize("url", ["https://screens.example/hook", "https://SCREENS.example:443/hook?x=1"])
def test_url_allowed(url):
    """Hosts are compared without regard to case, ports with their default."""
    check_url(url, settings(hosts="screens.example:443"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/x", "https://localhost/x", "http://[::1]:1/x"])
def test_loopback_url_when_allowed(url):
    """For tests and demonstrations: http and any port of the machine itself."""
    check_url(url, settings(loopback=True))
    with pytest.raises(AddressRefusedError):
        check_url("http://10.0.0.1:8080/x", settings(loopback=True))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "0",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:ffff:7f00:1]",
    ],
)
async def test_no_form_of_loopback_connects(host):
    """However loopback is written, no connection is made: IP literals pass no resolver, so the socket is guarded."""
    arrived, refusals = [], []
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = await asyncio.start_server(lambda _r, w: (arrived.append(1), w.close()), "127.0.0.1", port)
    try:
        sockets = guarded_sockets(loopback=False, refused=lambda: refusals.append(1))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=sockets)) as session:
            with pytest.raises((aiohttp.ClientError, OSError)) as caught:
                await session.post(
                    f"http://{host}:{port}/", data=b"x", timeout=aiohttp.ClientTimeout(total=5)
                )
    finally:
        server.close()
        await server.wait_closed()
    assert arrived == []
    assert refusals or isinstance(caught.value, aiohttp.InvalidURL)
