"""Everything is down and a child was found: the pack and its key are enough, and the system agrees when it is back."""

import asyncio
import os
import subprocess
from contextlib import suppress

import psutil
import pytest
from installation import CASE, COMMAND, displays, register, release

from services.dispatch.emergency.pack import new_identity


def command(*arguments, environment=None, code=0):
    """A command with no address of any server in its environment."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ZOEKLICHT", "DATABASE", "KAFKA", "TEST"))
    }
    done = subprocess.run(
        [*COMMAND, *arguments],
        env={**kept, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == code, f"{arguments}: {done.returncode} {done.stdout} {done.stderr}"
    return done.stdout


@pytest.mark.timeout(900)
async def test_thirty_one_of_thirty_one_go_dark_with_the_system_killed(fresh, partners, tmp_path):
    """Kill -9 of every process and server; the withdrawals are sent from the pack; back again, nothing is relit."""
    key, folder, report = tmp_path / "key", tmp_path / "packs", tmp_path / "report.ndjson"
    secret, public = new_identity()
    key.write_text(secret)
    await register(fresh, partners, displays())
    case = await fresh.post("/v1/cases", CASE)
    campaign = await release(fresh, case["case_id"])
    screens = list(partners.partners.values())
    await partners.until(lambda: all(one.shows for one in screens))
    written = {"ZOEKLICHT_EMERGENCY_RECIPIENTS": public}
    await asyncio.to_thread(
        command, "emergency-pack", "--to", str(folder), "--data", str(fresh.folder), environment=written
    )

    for process in [*fresh.members(), psutil.Process(fresh.process.pid)]:
        with suppress(psutil.NoSuchProcess):  # a server's own processes end with it
            process.kill()
    fresh.process.wait(30)
    await fresh.session.close()
    said = await asyncio.to_thread(
        command, "emergency-send", str(folder), "--identity", str(key), "--report", str(report), "--yes"
    )
    assert "31 of 31 withdrawals were taken" in said
    assert [one.name for one in screens if one.shows] == []
    assert sum(one.forged for one in screens) == 0

    await fresh.start("--allow-loopback-partners")
    said = await asyncio.to_thread(command, "emergency-report", str(report), "--data", str(fresh.folder))
    assert "withdrawn, campaign ended; 31 partners dark, 0 are still sent it" in said
    found = await fresh.get(f"/v1/cases/{case['case_id']}")
    assert [one["state"] for one in found["campaigns"] if one["campaign_id"] == campaign] == ["ended"]
    await fresh.eventually(
        f"/v1/cases/{case['case_id']}",
        lambda seen: (
            len(seen["displays"]) == 31 and all(one["state"] != "displayed" for one in seen["displays"])
        ),
    )
    assert "invariants hold" in await asyncio.to_thread(command, "verify", "--data", str(fresh.folder))
    assert [one.name for one in screens if one.shows or one.relit()] == []
    assert all(len(one.arrivals) == 2 for one in screens)


def test_sending_asks_first_and_explains_what_is_missing(tmp_path):
    """Without a yes nothing is sent; a folder without packs and a wrong key are one clear line."""
    key = tmp_path / "key"
    command("emergency-key", str(key))
    assert key.stat().st_mode & 0o777 == 0o600
    command("emergency-key", str(key), code=1)
    (tmp_path / "empty").mkdir()
    command("emergency-send", str(tmp_path / "empty"), "--identity", str(key), code=1)
