"""Certificates are checked for real: who vouches, for which host, until when. Nothing leaves before they hold."""

import asyncio
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from aiohttp import web
from sender_ground import Ground, Partner, bare_settings, recording

from services.dispatch.recorder import _WHAT_TO_DO
from services.dispatch.sender import Sender
from services.dispatch.transport import Transport, TransportError
from services.kernel.paging.wording import titles

NOW = datetime.now(UTC)
OURS, OTHERS = trustme.CA(), trustme.CA()
CERTIFICATES = {
    "good": lambda: OURS.issue_cert("localhost"),
    "expired": lambda: OURS.issue_cert(
        "localhost", not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1)
    ),
    "not yet": lambda: OURS.issue_cert("localhost", not_before=NOW + timedelta(days=1)),
    "wrong host": lambda: OURS.issue_cert("elsewhere.example"),
    "wrong address": lambda: OURS.issue_cert("192.0.2.1"),
    "untrusted": lambda: OTHERS.issue_cert("localhost"),
}
WRONG = [
    ("expired", "certificate_expired"),
    ("not yet", "certificate_expired"),
    ("wrong host", "certificate_name"),
    ("wrong address", "certificate_name"),
    ("untrusted", "certificate_untrusted"),
]


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """One authority beside those of the system, as a file."""
    file = tmp_path_factory.mktemp("authority") / "authority.pem"
    OURS.cert_pem.write_to_path(str(file))
    return file


@pytest.fixture
def trusting(authority):
    """Settings that add it."""
    return bare_settings(
        partner_ca_file=authority, delivery_timeout_s=5.0, lease_s=15.0, allow_loopback_partners=True
    )


@asynccontextmanager
async def https(name):
    """A receiver on loopback with that certificate."""
    partner = Partner()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATES[name]().configure_cert(context)
    app = web.Application()
    app.router.add_post("/hook", partner.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.01, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    partner.url = f"https://localhost:{runner.addresses[0][1]}/hook"
    try:
        yield partner
    finally:
        await runner.cleanup()


async def nothing():
    pass


async def test_certificate_of_a_trusted_authority_is_accepted(trusting):
    """The way on which the others fail is open to a certificate that holds."""
    transport = Transport(trusting)
    async with https("good") as partner:
        assert (await transport.post(partner.url, b"{}", {}, nothing)).status == 202
        assert [seen.body for seen in partner.seen] == [b"{}"]
        await transport.close()


@pytest.mark.parametrize(("name", "error_class"), WRONG)
async def test_certificate_that_does_not_hold_is_refused(trusting, name, error_class):
    """Not one byte of the request leaves, and the class says what is wrong."""
    transport = Transport(trusting)
    async with https(name) as partner:
        with pytest.raises(TransportError) as caught:
            await transport.post(partner.url, b"{}", {}, nothing)
        assert (caught.value.error_class, caught.value.sent) == (error_class, False)
        assert partner.seen == []
    await transport.close()


@pytest.mark.parametrize("wrong", [WRONG[0], WRONG[2], WRONG[4]])
async def test_person_is_told_what_is_wrong_with_it(pool, vault, settings, authority, wrong):
    """A page with what to ask the partner for, in four languages; the alert waits, and goes once it is mended."""
    name, error_class = wrong
    settings = settings.model_copy(update={"partner_ca_file": authority})
    ground, sender = Ground(pool, vault, settings), Sender(pool, vault, settings)
    async with https(name) as bad, https("good") as mended, recording(sender):
        recipient = await ground.recipient(bad.url)
        alert = await ground.alert([recipient])
        [claim] = await sender.claim()
        await sender.deliver(claim, await ground.key(alert))
        row = await pool.fetchrow("select matter, text from kernel.page")
        assert row["matter"] == f"partner-{error_class}:{recipient}"
        assert _WHAT_TO_DO[error_class] in row["text"]
        assert set(titles()[f"partner-{error_class}"]) == {"nl", "fr", "de", "en"}
        assert await ground.states(alert) == [(1, "pending")]
        await pool.execute("update dispatch.recipient set url = $1", mended.url)
        await pool.execute("update dispatch.lane set due_at = clock_timestamp()")
        [claim] = await sender.claim()
        await sender.deliver(claim, await ground.key(alert))
        assert await ground.states(alert) == [(1, "delivered")]
        assert await pool.fetchval("select count(*) from kernel.page where closed_at is null") == 0


async def test_handshake_that_hangs_ends_in_time(trusting):
    """A server that takes the connection and never speaks TLS costs half the time-out, and nothing leaves."""
    server = await asyncio.start_server(lambda _r, _w: asyncio.sleep(3600), "127.0.0.1", 0)
    transport = Transport(trusting.model_copy(update={"delivery_timeout_s": 1.0}))
    begun = asyncio.get_running_loop().time()
    with pytest.raises(TransportError) as caught:
        await transport.post(
            f"https://localhost:{server.sockets[0].getsockname()[1]}/hook", b"{}", {}, nothing
        )
    assert (caught.value.error_class, caught.value.sent) == ("connect_timeout", False)
    assert asyncio.get_running_loop().time() - begun < 2
    await transport.close()
    server.close()
