"""Partners that answer badly on purpose cost a bounded time and a bounded memory, and nobody else anything."""

import asyncio
import gzip
import ssl
import tracemalloc
from contextlib import asynccontextmanager, contextmanager

import pytest
from sender_ground import Ground, accept, answering, bare_settings, free_port, partners, recording, sending

from services.dispatch.sender import Sender
from services.dispatch.transport import Transport, TransportError

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def fast(settings):
    return settings.model_copy(update={"delivery_timeout_s": 1.0, "lease_s": 4.0})


@pytest.fixture
async def transport():
    transport = Transport(bare_settings(delivery_timeout_s=1.0, lease_s=4.0, allow_loopback_partners=True))
    yield transport
    await transport.close()


@pytest.fixture
async def patient():
    """Would wait for so long that whoever ends at once cannot be mistaken for whoever ends by the time-out."""
    transport = Transport(bare_settings(delivery_timeout_s=60.0, lease_s=240.0, allow_loopback_partners=True))
    yield transport
    await transport.close()


@asynccontextmanager
async def raw_server(talk):
    """A server that reads the head of a request and then talks as it likes."""

    async def handle(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            await talk(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    finally:
        server.close()


def repeating(first, again, pause=0.0):
    async def talk(writer):
        writer.write(first)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(pause)

    return talk


def saying(text):
    async def talk(writer):
        writer.write(text)
        await writer.drain()

    return talk


def packed(size):
    return gzip.compress(bytes(size))


@contextmanager
def growth(most_mib):
    """Fails when what is allocated here adds up to more, at any moment.

    Every block that Python asks for is counted, not the memory of the process: that stays as it is where freed blocks
    lie ready for new ones.
    """
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / 2**20 < most_mib


def test_growth_is_noticed():
    """The measure itself: 30 MiB that are gone again at the end are seen, also where freed memory lay ready for them."""
    size = 30 * 2**20
    for _ in range(2):  # once so much was freed, the C library takes the next from its heap
        freed = touched(size)
        above = bytearray(200_000)  # keeps the heap from shrinking
        del freed
    with pytest.raises(AssertionError), growth(20):
        held = touched(size)
        del held
    del above


def touched(size):
    held = bytearray(size)
    held[::4096] = b"x" * len(held[::4096])
    return held


async def nothing():
    pass


async def post(transport, url):
    return await transport.post(url, b"{}", {}, nothing)


@pytest.mark.parametrize(
    ("talk", "status"),
    [
        (repeating(OK + b"\r\n", b"x" * 65536), 200),
        (
            repeating(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"),
            200,
        ),
        (repeating(OK + b"Content-Length: 1000\r\n\r\n", b"x", 0.05), 200),
        (saying(OK + b"Content-Length: 1000\r\n\r\nabc"), 200),
        (saying(OK + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + packed(50_000_000)), 200),
        (saying(b"HTTP/1.1 307 T\r\nLocation: /hook\r\nContent-Length: 0\r\n\r\n"), 307),
    ],
    ids=["endless body", "endless chunks", "body in drops", "body cut short", "bomb", "redirect to itself"],
)
async def test_answers_whose_status_is_known(patient, talk, status):
    """The status decides; of the body at most 64 KiB is read, never unpacked, and for two seconds, not the time-out."""
    loop = asyncio.get_running_loop()
    async with raw_server(talk) as url:
        begun = loop.time()
        with growth(20):
            answer = await post(patient, url)
        assert answer.status == status
        assert answer.size <= 65_536
        assert len(answer.head) <= 4096
        assert loop.time() - begun < 30


@pytest.mark.parametrize(
    ("name", "talk", "error_class"),
    [
        ("silence", repeating(b"", b"", 0.1), "timeout"),
        ("head in drops", repeating(OK, b"a", 0.05), "timeout"),
        ("endless line", repeating(OK + b"X: ", b"x" * 65536), "invalid_answer"),
        ("endless headers", repeating(OK, b"X: y\r\n" * 1000), "invalid_answer"),
        ("endless interim answers", repeating(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100), "timeout"),
        ("no HTTP", saying(b"SSH-2.0-OpenSSH_9.6\r\n"), "invalid_answer"),
        ("two lengths", saying(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "invalid_answer"),
        ("hangs up", saying(b""), "disconnect"),
    ],
)
async def test_answers_without_a_status(transport, name, talk, error_class):
    """No usable answer within the time-out: it may have arrived, so it is ambiguous."""
    async with raw_server(talk) as url:
        with growth(20), pytest.raises(TransportError) as caught:
            await asyncio.wait_for(post(transport, url), 30)
        assert (caught.value.error_class, caught.value.sent) == (error_class, True)


@pytest.mark.parametrize(
    "talk",
    [
        repeating(OK + b"\r\n", b"x" * 65536),
        repeating(OK, b"X: y\r\n" * 1000),
        repeating(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        repeating(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100),
    ],
    ids=["bodies", "headers", "continues", "hints"],
)
async def test_thirty_of_them_at_once_stay_within_time_and_memory(transport, talk):
    """As many partners as there are, all flooding at full speed: 40 MiB bound them together, and they share one time-out."""
    async with raw_server(talk) as url, asyncio.timeout(25):
        with growth(40):
            ends = await asyncio.gather(*(post(transport, url) for _ in range(31)), return_exceptions=True)
        assert len(ends) == 31


async def test_request_that_nobody_reads_ends_in_time(transport):
    """A partner that takes the connection and never reads: the time-out ends it, it may have arrived."""
    open_ones = []
    server = await asyncio.start_server(lambda _r, w: open_ones.append(w), "127.0.0.1", 0, limit=1024)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    with growth(40), pytest.raises(TransportError) as caught:
        await asyncio.wait_for(transport.post(url, b"x" * 1_000_000, {}, nothing), 30)
    assert (caught.value.error_class, caught.value.sent) == ("timeout", True)
    for writer in open_ones:
        writer.transport.abort()
    server.close()


async def test_compressed_answers_are_not_unpacked(transport):
    """What is kept of a packed answer is its packed bytes."""
    body = packed(50_000_000)
    async with raw_server(saying(OK + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + body)) as url:
        answer = await post(transport, url)
    assert answer.head == body[: len(answer.head)] != b""


async def test_nobody_listens(transport):
    """A refused connection is a definite end: nothing left."""
    with pytest.raises(TransportError) as caught:
        await post(transport, f"http://127.0.0.1:{free_port()}/hook")
    assert (caught.value.error_class, caught.value.sent) == ("connect", False)


async def test_plain_server_behind_https(transport):
    """A partner without TLS behind an https address is a TLS failure, and nothing of the alert left."""
    server = await asyncio.start_server(lambda _r, w: (w.write(OK), w.close()), "127.0.0.1", 0)
    with pytest.raises(TransportError) as caught:
        await post(transport, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook")
    server.close()
    assert (caught.value.error_class, caught.value.sent) == ("tls", False)


async def test_certificate_of_nobody_is_refused(transport, tmp_path):
    """A certificate that no authority stands for is a TLS failure, before anything is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(TransportError) as caught:
        await post(transport, f"https://127.0.0.1:{port}/hook")
    server.close()
    assert (caught.value.error_class, caught.value.sent) == ("certificate_untrusted", False)


def self_signed(folder):
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1)
        )
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "nobody.pem"
    path.write_bytes(secret + certificate)
    return path


async def test_unknown_host_and_closed_addresses(settings):
    """A name that does not resolve, and a listed name that leads to a closed address, are told apart."""
    strict = settings.model_copy(
        update={
            "allow_loopback_partners": False,
            "partner_hosts": frozenset({"nowhere.invalid:443", "localhost:443"}),
        }
    )
    transport = Transport(strict)
    for url, error_class in (
        ("https://nowhere.invalid/", "dns"),
        ("https://localhost/", "blocked"),
        ("https://elsewhere.example/", "blocked"),
    ):
        with pytest.raises(TransportError) as caught:
            await post(transport, url)
        assert (caught.value.error_class, caught.value.sent) == (error_class, False)
    await transport.close()


async def test_environment_proxies_are_ignored(transport, monkeypatch):
    """A proxy in the environment does not see an alert."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    async with raw_server(saying(OK + b"Content-Length: 0\r\n\r\n")) as url:
        assert (await post(transport, url)).status == 200


async def test_hostile_partner_costs_the_others_nothing(pool, vault, fast):
    """Beside partners that answer endlessly, in drops or with 1xx alone, the others have their alerts at once."""
    ground = Ground(pool, vault, fast)
    async with (
        raw_server(repeating(OK + b"\r\n", b"x" * 65536)) as endless,
        raw_server(repeating(OK, b"X: y\r\n" * 1000)) as headers,
        raw_server(repeating(OK, b"a", 0.05)) as drops,
        raw_server(repeating(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100)) as interim,
        partners(3) as good,
    ):
        recipients = [await ground.recipient(url) for url in (endless, headers, drops, interim)]
        recipients += [await ground.recipient(one.url) for one in good]
        async with sending(Sender(pool, vault, fast)):
            for number in range(1, 6):
                await ground.alert(recipients)
                for one in good:
                    await one.until(lambda seen, number=number: len(seen) >= number)


async def test_blocked_address_pages(pool, vault, fast):
    """An address that may not be sent to pages a person and counts against the partner; nothing is lost."""
    ground = Ground(pool, vault, fast)
    sender = Sender(pool, vault, fast)
    async with recording(sender):
        alert = await ground.alert([await ground.recipient("https://10.0.0.1/hook")])
        [claim] = await sender.claim()
        await sender.deliver(claim, await ground.key(alert))
        assert await ground.matters() == ["partner-blocked"]
        assert await ground.states(alert) == [(1, "pending")]
        assert await pool.fetchval("select failures from dispatch.breaker") == 1


async def test_lost_answer_is_repeated_with_the_same_id(pool, vault, fast):
    """A connection that breaks after the request is ambiguous: the repeat carries the same id and a fresh time."""
    ground = Ground(pool, vault, fast)

    async def cut(request):
        request.transport.abort()
        return await accept(request)

    async with partners() as [partner]:
        partner.behaviour = cut
        recipient = await ground.recipient(partner.url)
        alert = await ground.alert([recipient])
        async with sending(Sender(pool, vault, fast)):
            await partner.until(lambda seen: len(seen) == 2)
            partner.behaviour = answering(200)
            await partner.until(lambda seen: len(seen) == 3)
        assert len({seen.headers["webhook-id"] for seen in partner.seen}) == 1
        for seen in partner.seen:
            ground.check(recipient, seen)
        assert await pool.fetchval(
            "select ambiguous from dispatch.delivery where alert_id = $1", alert.alert_id
        )
