"""Where a message can be led to: names that resolve to somewhere else, redirects, addresses in disguise."""

import asyncio
import socket
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from dispatch_http import PARTNER, client_of
from sender_ground import Ground, bare_settings, partners, recording

from services.dispatch.sender import Sender
from services.dispatch.transport import Transport, TransportError

NAME = "screens.example"


@asynccontextmanager
async def inside():
    """Something that listens inside, on IPv4 and IPv6; it counts who comes."""
    came = []
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    async def count(_reader, writer):
        came.append(writer.get_extra_info("peername"))
        writer.close()

    servers = [await asyncio.start_server(count, "127.0.0.1", port)]
    with suppress(OSError):  # a machine without IPv6
        servers.append(await asyncio.start_server(count, "::1", port))
    try:
        yield port, came
    finally:
        for server in servers:
            server.close()


def strict(*places):
    """As in production: no loopback, a reviewed list."""
    return bare_settings(partner_hosts=frozenset(places), delivery_timeout_s=2.0)


def resolve_to(monkeypatch, *answers):
    """The name server's answers, one after the other; the last one again and again."""
    real, left = socket.getaddrinfo, list(answers)

    def fake(host, port, *args, **kwargs):
        if host != NAME:
            return real(host, port, *args, **kwargs)
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [_info(address, port) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", fake)


def _info(address, port):
    six = ":" in address
    place = (address, port, 0, 0) if six else (address, port)
    return (socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM, 6, "", place)


async def nothing():
    pass


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["::ffff:7f00:1"],
        ["::127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["2002:7f00:1::1"],
        ["0.0.0.0"],  # noqa: S104 - an address to refuse
        ["169.254.169.254"],
        ["168.63.129.16"],
        ["fd00:ec2::254"],
        ["fe80::1%lo"],
        ["10.0.0.1", "192.168.0.1", "::1"],
    ],
)
async def test_reviewed_name_that_leads_inside_is_blocked(monkeypatch, addresses):
    """The list is asked for the name, the guard for each address that is really connected to: nobody is called."""
    resolve_to(monkeypatch, addresses)
    async with inside() as (port, came):
        transport = Transport(strict(f"{NAME}:{port}"))
        with pytest.raises(TransportError) as caught:
            await transport.post(f"https://{NAME}:{port}/hook", b"{}", {}, nothing)
        assert (caught.value.error_class, caught.value.sent) == ("blocked", False)
        assert came == []
        await transport.close()


async def test_name_that_changes_between_check_and_connect_is_blocked(monkeypatch):
    """The first answer is harmless, the second leads inside: every new connection is guarded by itself."""
    # Loopback stands for the public internet here, a private address for the inside.
    resolve_to(monkeypatch, ["127.0.0.1"], ["10.0.0.1"])
    async with partners() as [partner]:
        port = int(partner.url.rpartition(":")[2].partition("/")[0])
        loopback = strict(f"{NAME}:{port}").model_copy(update={"allow_loopback_partners": True})
        transport = Transport(loopback)
        monkeypatch.setattr("services.dispatch.transport.check_url", lambda *_: None)
        url = f"http://{NAME}:{port}/hook"
        assert (await transport.post(url, b"{}", {}, nothing)).status == 202
        connector = transport._session.connector
        connector.clear_dns_cache()
        _drop_idle(connector)
        with pytest.raises(TransportError) as caught:
            await transport.post(url, b"{}", {}, nothing)
        assert (caught.value.error_class, caught.value.sent) == ("blocked", False)
        assert len(partner.seen) == 1
        await transport.close()


def _drop_idle(connector):
    for waiting in connector._conns.values():
        for protocol, _ in waiting:
            protocol.close()
    connector._conns.clear()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0", "[::]"]
)
async def test_address_in_disguise_is_blocked_even_when_it_is_listed(host):
    """A slip on the reviewed list opens nothing: the address itself is refused."""
    async with inside() as (port, came):
        transport = Transport(strict(f"{host.strip('[]')}:{port}"))
        with pytest.raises(TransportError) as caught:
            await transport.post(f"https://{host}:{port}/hook", b"{}", {}, nothing)
        assert (caught.value.error_class, caught.value.sent) == ("blocked", False)
        assert came == []
        await transport.close()


@pytest.mark.parametrize("status", [302, 307])
async def test_redirect_leads_nowhere(pool, vault, settings, status):
    """It is a failure that counts against the partner; where it points to is never called."""
    ground, sender = Ground(pool, vault, settings), Sender(pool, vault, settings)
    async with inside() as (port, came), partners() as [partner], recording(sender):

        async def elsewhere(_request):
            return web.Response(status=status, headers={"Location": f"http://127.0.0.1:{port}/"})

        partner.behaviour = elsewhere
        alert = await ground.alert([await ground.recipient(partner.url)])
        [claim] = await sender.claim()
        await sender.deliver(claim, await ground.key(alert))
        [attempt] = await ground.attempts(alert)
        assert (attempt["status"], attempt["error_class"]) == (status, "redirect")
        assert await ground.states(alert) == [(1, "pending")]
        assert await pool.fetchval("select failures from dispatch.breaker") == 1
        assert came == []


@pytest.mark.parametrize(
    "url",
    [
        "http://screens.example/hook",
        "https://screens.example:8443/hook",
        "https://127.0.0.1/hook",
        "https://[::ffff:127.0.0.1]/hook",
        "https://2130706433/hook",
        "https://user:pw@screens.example/hook",
        "https://screens.example@10.0.0.1/hook",
    ],
)
async def test_partner_with_such_an_address_is_not_registered(pool, vault, settings, url):
    """Neither created with it nor changed to it; the answer says what to write, and does not repeat the address."""
    settings = settings.model_copy(
        update={"allow_loopback_partners": False, "partner_hosts": frozenset({f"{NAME}:443"})}
    )
    async with client_of(pool, vault, settings) as call:
        answer = await call("POST", "/v1/partners", {**PARTNER, "url": url})
        assert (answer.status, answer.json["rule"]) == (422, "partner-url")
        assert url not in answer.body.decode()
        made = (await call("POST", "/v1/partners", {**PARTNER, "url": f"https://{NAME}/hook"})).json
        answer = await call("PATCH", f"/v1/partners/{made['partner_id']}", {"url": url})
        assert (answer.status, answer.json["rule"]) == (422, "partner-url")
        assert await pool.fetchval("select url from dispatch.recipient") == f"https://{NAME}/hook"
