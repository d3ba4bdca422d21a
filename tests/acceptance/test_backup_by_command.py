"""The whole way: a running system is copied, everything of it is destroyed, and a new one goes on from two files."""

import asyncio
import os
import shutil
import subprocess
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from installation import CASE, COMMAND, displays, register, release

YEAR = datetime.now(ZoneInfo("Europe/Brussels")).year


def command(*words):
    """A command of somebody whose environment names no server."""
    names = ("ZOEKLICHT", "DATABASE", "KAFKA", "TEST")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    done = subprocess.run(
        [*COMMAND, *map(str, words)], env=clean, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}"
    return done.stdout


def case_of(name):
    return CASE | {"children": [CASE["children"][0] | {"given_name": name}]}


async def report(site):
    """The figures, but for those of going dark: that happens again."""
    _, found, _ = await site.call("GET", f"/v1/reports/annual/{YEAR}?format=csv", "viewer", expect=200)
    return [line for line in found["text"].splitlines() if "dark" not in line]


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_from_nothing_but_two_files_and_the_master_key(fresh, partners, tmp_path):
    """Displays go dark above an update that the copy does not know; what ended since, and who was erased, stay so."""
    await register(fresh, partners, displays(3))
    screens = list(partners.partners.values())
    names = "Lou", "Noa", "Mats"
    cases = [(await fresh.post("/v1/cases", case_of(name)))["case_id"] for name in names]
    await fresh.post(
        f"/v1/cases/{cases[2]}/events",
        {"type": "closed", "outcomes": [{"child": 0, "outcome": "found_safe"}]},
    )
    keys, main = tmp_path / "keys", tmp_path / "main"
    await asyncio.to_thread(command, "backup", "--keys", "-o", keys, "--data", fresh.folder)
    why = {"reason": "request_of_family", "reference": "AVG-2026/14"}
    asked = await fresh.post("/v1/erasures", {"case_id": cases[2]} | why, "coordinator")
    await fresh.post(f"/v1/erasures/{asked['erasure_id']}/approve", {}, "admin")
    await fresh.eventually(f"/v1/erasures/{asked['erasure_id']}", lambda found: found["executed_at"], "admin")
    lit, ended = [await release(fresh, case) for case in cases[:2]]
    await partners.until(lambda: all(len(one.shows) == 2 for one in screens))
    await fresh.eventually(
        f"/v1/cases/{cases[1]}", lambda found: all(one["state"] == "displayed" for one in found["displays"])
    )
    before = await report(fresh)
    await asyncio.to_thread(command, "backup", "-o", main, "--data", fresh.folder)
    await asyncio.to_thread(command, "backup", "--keys", "-o", tmp_path / "younger", "--data", fresh.folder)
    await fresh.post(f"/v1/campaigns/{ended}/end", {"reason": "child_found"}, "coordinator")
    await fresh.post(f"/v1/campaigns/{lit}/update", {"areas": ["BE"], "reason": "seen"}, "coordinator")
    await partners.until(lambda: all(list(one.shows.values()) == [2] for one in screens))
    assert await fresh.stop() == 0
    (tmp_path / "again").mkdir()
    shutil.copy(fresh.folder / "master.key", tmp_path / "again")
    shutil.rmtree(fresh.folder)
    (tmp_path / "again").rename(fresh.folder)
    seen = {one.name: len(one.arrivals) for one in screens}

    told = await asyncio.to_thread(
        command, "restore", main, "--keys", tmp_path / "younger", "--data", fresh.folder
    )
    assert all(f"campaign {one}  was lit" in told for one in (lit, ended))
    await fresh.start("--allow-loopback-partners")
    await partners.until(lambda: not any(one.shows for one in screens))
    await fresh.eventually(
        f"/v1/cases/{cases[0]}", lambda found: all(one["state"] != "displayed" for one in found["displays"])
    )
    after = [arrival for one in screens for arrival in one.arrivals[seen[one.name] :]]
    assert {(one.type, one.revision) for one in after} == {("alert.withdrawn", 1_000_000)}
    assert sum(one.forged for one in screens) == 0
    gone = await fresh.get(f"/v1/cases/{cases[2]}")
    assert gone["children"][0].get("erased") is True
    assert (await fresh.get(f"/v1/cases/{cases[0]}"))["children"][0]["given_name"] == "Lou"
    assert await report(fresh) == before
    assert len(before) > 20
    assert "invariants hold" in await asyncio.to_thread(command, "verify", "--data", fresh.folder)
    digest = told.split("--kept ")[1].split()[0]
    assert "as they were written" in await asyncio.to_thread(
        command, "audit", "verify", "--kept", digest, "--data", fresh.folder
    )
