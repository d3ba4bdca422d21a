"""`zoeklicht partner …`: what an administrator does with partners from a terminal."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest
from dispatch_ground import LEUVEN, Ground
from dispatch_http import become_active
from sender_ground import answering
from sender_ground import partners as listening

from services.cli import partners
from services.dispatch.campaigns import campaign_alert
from services.dispatch.partners import activate
from services.dispatch.pings import Pings
from services.dispatch.transport import Transport
from services.kernel.problems import ConflictError, InvalidError, NotFoundError

FIELDS = {
    "name": "Screens Ltd",
    "url": "http://127.0.0.1:9/hook",
    "areas": [LEUVEN],
    "languages": ["nl"],
    "contact": "desk, +32 2 000 00 00",
}


@pytest.fixture
def place(settings, monkeypatch, tmp_path):
    """A folder whose installation is the test's own."""
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("ZOEKLICHT_VAULT_DATABASE_URL", settings.vault_url)
    monkeypatch.setenv("ZOEKLICHT_MASTER_KEY", settings.master_key.get_secret_value())
    return tmp_path


@pytest.fixture
def ground(pool, vault, settings):
    return Ground(pool, vault, settings)


@pytest.fixture
async def registered(place, capsys):
    await partners.create(place, FIELDS, loopback=True)
    return json.loads(capsys.readouterr().out)


def said(capsys):
    return " ".join(capsys.readouterr().out.split())


async def test_create_prints_what_can_be_read_only_once(place, registered, capsys):
    """Secret and token on standard output, what to do with them beside it; then the partner is listed by name."""
    assert registered["secret"].startswith("whsec_")
    assert registered["token"].startswith("zl_")
    await partners.list_(place, "json")
    [one] = json.loads(capsys.readouterr().out)
    assert (one["partner_id"], one["state"]) == (registered["partner_id"], "unverified")
    await partners.list_(place, "table")
    assert one["partner_id"] in capsys.readouterr().out
    await partners.show(place, "screens ltd")
    shown = capsys.readouterr().out
    assert "whsec_" not in shown
    assert json.loads(shown)["contact"] == FIELDS["contact"]


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"languages": ["xx"]}, partners.PartnerCommandError, "--language"),
        ({"areas": []}, partners.PartnerCommandError, "--area"),
        ({"areas": ["nowhere:1"]}, InvalidError, "areas"),
        ({"url": "http://203.0.113.9/hook"}, InvalidError, "https"),
    ],
)
async def test_wrong_field_is_one_clear_error(place, pool, changes, error, text):
    """The option is named, and nothing is registered."""
    with pytest.raises(error, match=text):
        await partners.create(place, {**FIELDS, **changes}, loopback=True)
    assert await pool.fetchval("select count(*) from dispatch.recipient") == 0


async def test_partner_is_named_by_id_or_name(place, registered):
    """An unknown name, one that two have, and an unknown id each say what to do."""
    with pytest.raises(partners.PartnerCommandError, match="no partner has this name"):
        await partners.show(place, "Nobody")
    with pytest.raises(NotFoundError, match="no such partner"):
        await partners.show(place, str(uuid4()))
    await partners.create(place, FIELDS, loopback=True)
    with pytest.raises(partners.PartnerCommandError, match="several"):
        await partners.show(place, "Screens Ltd")
    await partners.show(place, registered["partner_id"])


async def test_pause_and_resume(place, registered, ground, pool, capsys):
    """A pause withdraws what is shown; only a paused partner can be resumed."""
    await become_active(pool, registered)
    await ground.release()
    await ground.replay()
    capsys.readouterr()
    await partners.pause(place, "Screens Ltd", paused=True)
    assert "is being withdrawn" in said(capsys)
    assert [row["content"] for row in await ground.deliveries()] == ["issued", "withdrawn"]
    await partners.pause(place, "Screens Ltd", paused=False)
    assert "unverified until it answers" in said(capsys)
    with pytest.raises(partners.PartnerCommandError, match="not paused"):
        await partners.pause(place, "Screens Ltd", paused=False)


async def test_ping_waits_for_the_answer(place, pool, settings, capsys):
    """2xx is 0 and makes it active; another answer is 1 with its status; without a sender that is what it says."""
    async with listening() as [partner]:
        await partners.create(place, {**FIELDS, "url": partner.url}, loopback=True)
        assert await partners.ping(place, "Screens Ltd", 0) == 1
        assert "is the system up?" in said(capsys)
        transport = Transport(settings)
        async with pinging(Pings(pool, settings, transport, activate)):
            partner.behaviour = answering(503)
            assert await partners.ping(place, "Screens Ltd", 20) == 1
            assert "503" in said(capsys)
            partner.behaviour = answering(204)
            assert await partners.ping(place, "Screens Ltd", 20) == 0
            assert "it is active" in said(capsys)
        await transport.close()


@asynccontextmanager
async def pinging(pings):
    """A sender that is at work on handshakes alone."""

    async def work():
        while True:
            await pings.step()
            await asyncio.sleep(0.02)

    task = asyncio.create_task(work())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_rotate_prints_the_new_secret(place, registered, capsys):
    """Another one, and until when the old one signs too."""
    await partners.rotate(place, "Screens Ltd")
    new = json.loads(capsys.readouterr().out)
    assert new["secret"] != registered["secret"]
    assert new["previous_until"] > "2026"


async def test_watching_and_sending_again(place, registered, ground, pool, capsys):
    """Log, health, replay and the list of who may still show a child, in words; exit code 1 when a person must act."""
    recipient = UUID(registered["partner_id"])
    await become_active(pool, registered)
    await ground.release()
    await ground.replay()
    [row] = await ground.deliveries()
    await pool.execute("update dispatch.delivery set state = 'delivered', attempts = 1")
    await pool.execute(
        "insert into dispatch.attempt (delivery_id, fence, owner, ended_at, status) values ($1, 1, 'w',"
        " clock_timestamp(), 202)",
        row["delivery_id"],
    )
    capsys.readouterr()
    assert await partners.health(place, "Screens Ltd", 24, "table") == 0
    assert "Screens Ltd: ok" in said(capsys)
    await partners.log(place, "Screens Ltd", None, 20, "json")
    [logged] = json.loads(capsys.readouterr().out)
    assert logged["attempts"][0]["status"] == 202
    await partners.log(place, "Screens Ltd", campaign_alert(ground.campaign), 20, "table")
    assert "202" in capsys.readouterr().out
    await partners.replay(place, "Screens Ltd", None, None)
    assert "1 deliveries are sent again" in said(capsys)
    assert await partners.may_still_show(place, None, "table") == 0
    assert "nobody" in said(capsys)
    await ground.end()
    await ground.replay()
    assert await partners.may_still_show(place, None, "table") == 1
    assert "desk, +32 2 000 00 00" in said(capsys)
    assert await partners.health(place, "Screens Ltd", 24, "json") == 1
    assert json.loads(capsys.readouterr().out)["open_withdrawals"][0]["recipient_id"] == str(recipient)
    with pytest.raises(ConflictError, match="newer revision"):
        await partners.replay(place, None, None, row["delivery_id"])
    await partners.replay(place, None, campaign_alert(ground.campaign), None)
    assert "1 deliveries are sent again" in said(capsys)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("list",), 0, "partner"),
        (("show", "Nobody"), 1, "error: no partner has this name"),
        (("replay",), 2, "exactly one of --partner, --alert and"),
    ],
)
async def test_command_ends_with_its_code_and_one_line(place, words, code, text):
    """As a process: the exit code, and one line instead of a traceback."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.cli.main", "partner", *words, "--data", str(place)],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert text in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
