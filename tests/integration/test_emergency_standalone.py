"""The command beside the packs: one file that needs Python and age, and sends what the engine would have sent."""

import ast
import asyncio
import random
import ssl
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from dispatch_ground import Ground
from sender_ground import Ground as SenderGround
from sender_ground import answering, partners, until
from test_sender_certificates import OURS, https

from services.dispatch.emergency import standalone
from services.dispatch.emergency.pack import REVISION, PackError, new_identity, open_pack
from services.dispatch.emergency.report import read, take_in
from services.dispatch.emergency.sending import errands
from services.dispatch.emergency.writing import TOOL, packs, write_now, write_tool
from services.dispatch.publish import Publisher
from services.dispatch.secret_boxes import private_key
from services.dispatch.sender import Sender
from services.kernel.signing import sign_asymmetric

RUN = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("tool", sys.argv[1])
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)
tool.PAUSES_S = (0.01,)
sys.argv = sys.argv[1:]
raise SystemExit(tool.main())
"""
AGE = """#!/bin/sh
exec {python} -c '
import pathlib, pyrage, sys
_, _, _, key, pack = sys.argv
identity = pyrage.x25519.Identity.from_str(pathlib.Path(key).read_text().strip())
sys.stdout.buffer.write(pyrage.decrypt(pathlib.Path(pack).read_bytes(), [identity]))
' "$@"
"""


@pytest.fixture
def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


@pytest.fixture
def senders(pool, vault, settings):
    return SenderGround(pool, vault, settings)


@pytest.fixture
def age(tmp_path):
    """A folder with an age of the same behaviour: opens a pack by a key file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    tool = folder / "age"
    tool.write_text(AGE.format(python=sys.executable))
    tool.chmod(0o755)
    return folder


async def run(tool, *arguments, path="/nowhere", code=0):
    """The command with Python alone: no installed package, no setting, no environment but where age is."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", RUN, str(tool), *map(str, arguments)),
        env={"PATH": str(path)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == code, said.decode()
    return said.decode()


async def packed(ground, senders, settings, urls, folder):
    """A pack of a released campaign for these partners, and the key that opens it."""
    recipients = [await senders.recipient(url) for url in urls]
    await ground.pool.execute("update dispatch.recipient set areas = '{24062}'")
    await ground.release()
    await ground.replay()
    secret, public = new_identity()
    settings = settings.model_copy(update={"emergency_recipients": frozenset({public})})
    await write_now(ground.pool, settings, folder)
    key = folder.parent / "key"
    key.write_text(secret + "\n")
    return recipients, key


async def test_withdrawals_go_out_with_python_and_age_alone(ground, senders, settings, tmp_path, age):
    """Signed as the engine signs, under its ids; who did not answer is to be called; the report is taken in afterwards."""
    folder, report = tmp_path / "packs", tmp_path / "report.ndjson"
    async with partners(3) as receivers:
        recipients, key = await packed(ground, senders, settings, [one.url for one in receivers], folder)
        receivers[2].behaviour = answering(500)
        said = await run(
            folder / TOOL,
            folder,
            "--identity",
            key,
            "--report",
            report,
            "--yes",
            path=f"{age}:/usr/bin:/bin",
            code=1,
        )
        assert "2 of 3 withdrawals were taken" in said
        assert f"CALL Partner {recipients[2].hex[:6]}: desk" in said
        pack = open_pack(packs(folder)[0].read_bytes(), key.read_text())
        expected = {errand.partner.recipient_id: errand for errand in errands(pack)}
        for recipient, receiver in zip(recipients, receivers, strict=True):
            seen, errand = receiver.seen[-1], expected[recipient]
            senders.check(recipient, seen)
            assert seen.headers["webhook-id"] == errand.message_id
            assert seen.headers["content-type"] == "application/json"
            assert seen.body == errand.alert.bodies["json"].encode()
            assert (seen.type, seen.revision) == ("alert.withdrawn", REVISION)
            private = private_key(recipient, settings.master_key_bytes)
            signed = int(seen.headers["webhook-timestamp"])
            assert sign_asymmetric(private, errand.message_id, signed, seen.body) in seen.headers[
                "webhook-signature"
            ].split(" ")
        pool, vault = ground.pool, ground.vault
        [taken] = await take_in(Publisher(pool, vault, settings), read(report.read_text()))
        assert (taken.withdrawn_now, taken.dark, taken.open) == (True, 2, 1)
        receivers[2].behaviour = answering(200)
        stop = asyncio.Event()
        engine = asyncio.create_task(Sender(pool, vault, settings).run(stop, asyncio.Event(), poll_s=0.02))

        async def quiet():
            return not await pool.fetchval("select count(*) from dispatch.delivery where state = 'pending'")

        await until(quiet)
        stop.set()
        await engine
        assert len({seen.headers["webhook-id"] for seen in receivers[2].seen}) == 1


async def test_what_is_missing_is_one_clear_line(ground, senders, settings, tmp_path, age):
    """No age, a wrong key, no pack, no yes: each says what to do, and nothing is sent."""
    folder, other = tmp_path / "packs", tmp_path / "other"
    async with partners() as [receiver]:
        _, key = await packed(ground, senders, settings, [receiver.url], folder)
        other.write_text(new_identity()[0] + "\n")
        tool, found = folder / TOOL, f"{age}:/usr/bin:/bin"
        assert "https://age-encryption.org" in await run(tool, folder, "--identity", key, code=1)
        assert "wrong key" in await run(tool, folder, "--identity", other, path=found, code=1)
        assert "--identity" in await run(tool, folder, path=found, code=1)
        assert "holds no pack" in await run(tool, age, "--identity", key, code=1)
        assert "nothing was sent" in await run(tool, folder, "--identity", key, path=found, code=1)
        assert receiver.seen == []
        clear = tmp_path / "pack.json"
        clear.write_text(open_pack(packs(folder)[0].read_bytes(), key.read_text()).model_dump_json())
        nobody = "00000000-0000-0000-0000-000000000000"
        assert "nothing to send" in await run(tool, clear, "--alert", nobody)
        assert "1 of 1" in await run(tool, clear, "--report", tmp_path / "report", "--yes")
        with pytest.raises(PackError):
            open_pack(packs(folder)[0].read_bytes(), other.read_text())


@pytest.mark.parametrize(
    "url", ["http://partner.example/", "https://other.example/", "https://partner.example:8443/"]
)
def test_only_reviewed_addresses_are_sent_to(url):
    """The hosts are those of the pack, by https; loopback only where the installation allowed it."""
    pack = {
        "allow_loopback_partners": True,
        "partner_hosts": ["partner.example:443", "partner.example:80"],
        "delivery_timeout_s": 1.0,
    }
    with pytest.raises(ValueError, match="not reviewed"):
        standalone.post(pack, {"url": url}, b"", {})
    pack["allow_loopback_partners"] = False
    with pytest.raises(ValueError, match="not reviewed"):
        standalone.post(pack, {"url": "http://127.0.0.1:1/"}, b"", {})


@pytest.mark.parametrize(
    ("certificate", "trusted"), [("good", True), ("untrusted", False), ("wrong host", False)]
)
async def test_certificates_are_checked(certificate, trusted):
    """By the system's authorities and the pack's; whoever has another certificate is not sent to."""
    async with https(certificate) as partner:
        pack = {
            "allow_loopback_partners": True,
            "partner_hosts": [],
            "delivery_timeout_s": 5.0,
            "partner_ca": OURS.cert_pem.bytes().decode(),
        }
        sent = asyncio.to_thread(standalone.post, pack, {"url": partner.url}, b"{}", {})
        if trusted:
            assert await sent == 202
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                await sent
        assert len(partner.seen) == trusted


async def test_redirect_is_no_withdrawal():
    """A partner that answers 302 is called; nothing follows it."""
    async with partners(2) as [first, second]:
        first.behaviour = answering(302, Location=second.url)
        pack = {"allow_loopback_partners": True, "partner_hosts": [], "delivery_timeout_s": 5.0}
        status = await asyncio.to_thread(standalone.post, pack, {"url": first.url}, b"", {})
        assert not standalone.dark({"status": status})
        assert second.seen == []


def test_its_signatures_are_those_of_the_library():
    """Ed25519 is deterministic: byte for byte the same for any key and message."""
    chance = random.Random(8032)
    for size in (0, 1, 200, 5000):
        private, message = chance.randbytes(32), chance.randbytes(size)
        expected = Ed25519PrivateKey.from_private_bytes(private).sign(message)
        assert standalone.ed25519(private, message) == expected


def test_the_file_is_for_any_python_since_3_9_and_imports_nothing_else(tmp_path):
    """What lies beside the packs is this version's, written once."""
    tool = write_tool(tmp_path)
    text = tool.read_text()
    assert text == Path(standalone.__file__).read_text()
    tree = ast.parse(text, feature_version=(3, 9))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names
    tool.write_text("an older version")
    assert write_tool(tmp_path).read_text() == text
    before = tool.stat().st_mtime_ns
    write_tool(tmp_path)
    assert tool.stat().st_mtime_ns == before
