"""Backups of a real database, brought back into an empty one: all of it, nothing sent again, clear refusals."""

import asyncio
import json
import time
from uuid import UUID

import asyncpg
import pytest
from backup_ground import Machine, close, empty, everything, named, opened, pending, shown
from dispatch_ground import Ground, add_recipient
from erasure_ground import Installation
from intake_ground import NOA, SECRETS, running

from services.cli import audit
from services.cli import backup as backups
from services.cli import restore as restores
from services.dispatch.emergency.pack import REVISION
from services.intake.handlers.steps import IntakeDeps
from services.intake.policy import load_policy
from services.kernel import postgres
from services.kernel.audit import note
from services.kernel.backup.archive import content_of, manifest_of
from services.kernel.erasure import do_parts
from services.kernel.vault import VaultError


@pytest.fixture
def machine(monkeypatch, tmp_path):
    return Machine(tmp_path, monkeypatch.setenv)


@pytest.fixture
async def site(settings, pool, vault):
    deps = IntakeDeps(pool, vault, settings, load_policy())
    async with running(deps) as api:
        yield Installation(api, deps)


@pytest.fixture
async def again(settings):
    async with empty(settings) as where:
        yield where


# ── all of it ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_row_comes_back_the_chain_fits_and_the_log_goes_on_in_a_new_epoch(
    site, machine, again, capsys
):
    """Table by table; `audit verify --kept` with the digest that the backup told; new events after the old ones."""
    case = await site.api.opened()
    await close(site, case)
    await note(site.pool, "an", "operator", "tested", ())
    main, keys = await machine.backup(site.deps.settings), await machine.backup(site.deps.settings, "keys")
    told = capsys.readouterr().out
    before = await everything(site.pool)
    await note(site.pool, "an", "operator", "after the backup", ())
    await machine.restore(again, main, keys)
    digest = told.split("--kept ")[1].split()[0]
    assert await audit.verify(machine.folder, digest) == 0
    async with opened(again) as deps:
        assert await everything(deps.pool) == before
    async with opened(again) as deps, running(deps) as api:
        shown = await api.case(case)
        assert shown["children"][0]["given_name"] == "Lou"
        await api.opened(children=[NOA])
        rows = await deps.pool.fetch("select epoch, position from eventlog.events order by position")
        assert [row["epoch"] for row in rows if row["epoch"] != 1] == [2] * (
            len(rows) - len(before["eventlog.events"])
        )
        assert (
            await deps.pool.fetchval("select count(*) from kernel.audit where action = 'after the backup'")
        ) == 0


async def test_a_backup_shows_one_moment_and_names_nobody(site, machine, again, monkeypatch):
    """What is written while the copy runs is not in it; neither file has a name, nor a key that opens without the master."""
    case = await site.api.opened()
    taken, loop = backups.dump, asyncio.get_running_loop()

    async def late():
        await note(site.pool, "an", "operator", "too late", ())

    def slowly(*how):
        # The moment is fixed before the program starts: what is committed from here on comes too late.
        asyncio.run_coroutine_threadsafe(late(), loop).result(60)
        taken(*how)

    monkeypatch.setattr(backups, "dump", slowly)
    main, keys = await machine.backup(site.deps.settings), await machine.backup(site.deps.settings, "keys")
    assert await site.pool.fetchval("select count(*) from kernel.audit where action = 'too late'") == 1
    secret = (await site.vault.find([f"child:{await site.child_of(case)}"])).popitem()[1]
    for file in (main, keys):
        content = b"".join(content_of(file, manifest_of(file, site.deps.settings.master_key_bytes)))
        assert not [word for word in SECRETS if len(word) > 3 and word.encode() in content]
        assert secret not in content
    await machine.restore(again, main, keys)
    async with opened(again) as deps:
        assert await deps.pool.fetchval("select count(*) from kernel.audit where action = 'too late'") == 0


async def test_no_limit_of_the_server_ends_a_long_copy(site, machine, again, monkeypatch):
    """Databases end what lasts longer than a blink: a disk that is slow while it is written or read changes nothing."""
    for settings in (site.deps.settings, again):
        connection = await asyncpg.connect(settings.database_url.get_secret_value())
        for name in ("transaction_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            database = await connection.fetchval("select current_database()")
            await connection.execute(f"alter database \"{database}\" set {name} = '200ms'")
        await connection.close()
    # What every connection of ours asks for, shortened.
    monkeypatch.setitem(postgres._SERVER_SETTINGS, "idle_in_transaction_session_timeout", "200ms")
    taken, given = backups.dump, restores.content_of

    def slowly_taken(url, snapshot, take, folder):
        def later(part):
            time.sleep(0.5)
            take(part)

        taken(url, snapshot, later, folder)

    def slowly_given(*what):
        for part in given(*what):
            for begin in range(0, len(part), 16_384):
                time.sleep(0.05)
                yield part[begin : begin + 16_384]

    monkeypatch.setattr(backups, "dump", slowly_taken)
    monkeypatch.setattr(restores, "content_of", slowly_given)
    main, keys = await machine.backup(site.deps.settings), await machine.backup(site.deps.settings, "keys")
    before = await everything(site.pool)
    await machine.restore(again, main, keys)
    async with opened(again) as deps:
        assert await everything(deps.pool) == before


# ── who was erased stays erased ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("order", ["keys, erasure, main", "main, erasure, keys", "main, keys, erasure"])
async def test_a_restore_brings_no_erased_child_back_in_whatever_order(site, machine, again, order, capsys):
    """The log knows, or the keys know, or a certificate tells; the other child keeps its name."""
    case, other = await site.api.opened(), await site.api.opened(children=[NOA])
    await close(site, case)
    child, kept = await site.child_of(case), await site.child_of(other)
    files = {}
    for step in order.split(", "):
        if step == "erasure":
            erasure = await site.approved(case_id=case)
            await site.carried_out()
        else:
            files[step] = await machine.backup(site.deps.settings, step)
    certificate = machine.folder / "certificate.json"
    certificate.write_text(json.dumps((await site.certificate(erasure)).body))
    told = (certificate,) if order.endswith("erasure") else ()
    await machine.restore(again, files["main"], files["keys"], certificates=told)
    async with opened(again) as deps, running(deps) as api:
        assert await named(deps, child, kept) == [f"child:{kept}"]
        with pytest.raises(VaultError):
            await deps.vault.ensure([f"child:{child}", f"case:{case}"])
        assert not [secret for secret in SECRETS if secret in str(await api.case(case))]
        left = await deps.pool.fetchval(
            "select count(*) from intake.blind_index where child_id = $1", UUID(child)
        )
        assert left == 0
        assert (await api.case(other))["children"][0]["given_name"] == "Noa"
    assert ("erased after the backup" in capsys.readouterr().out) is not order.startswith("keys")


async def test_an_erasure_that_was_half_done_in_the_keys_is_done_whole(site, machine, again):
    """The log does not know of it, and of the keys those of the alert were still there."""
    await add_recipient(site.pool)
    case = await site.api.opened()
    await site.api.released(case, "public")
    await site.dispatched()
    main = await machine.backup(site.deps.settings)
    await site.approved(case_id=case)
    name, work = site.parts[0]
    await do_parts(site.pool, name, work)
    keys = await machine.backup(site.deps.settings, "keys")
    alert = f"alert:{await site.pool.fetchval('select alert_id from dispatch.alert')}"
    assert list(await site.vault.find([alert])) == [alert]
    await machine.restore(again, main, keys)
    async with opened(again) as deps:
        assert await deps.vault.find([alert, f"case:{case}"]) == {}


# ── what was lit goes dark ──────────────────────────────────────────────────────────────────────────────────


async def test_what_was_lit_goes_dark_above_whatever_was_shown_since_and_a_person_gets_a_list(
    site, machine, again, capsys
):
    """Campaigns and call-outs end by events; what waited to be sent is overtaken; the log read anew sends nothing."""
    case, lit, asked = await shown(site)
    main, keys = await machine.backup(site.deps.settings), await machine.backup(site.deps.settings, "keys")
    await site.api.post(
        f"/v1/campaigns/{lit}/update", {"areas": ["44021"], "reason": "seen there"}, "coordinator"
    )
    await site.dispatched()
    assert max(row["revision"] for row in await site.ground.deliveries()) == 2, (
        "a display may have seen this one"
    )
    capsys.readouterr()
    await machine.restore(again, main, keys)
    told = capsys.readouterr().out
    async with opened(again) as deps:
        assert await pending(deps.pool) == [("withdrawn", REVISION)]
        await Ground(deps.pool, deps.vault, deps.settings).replay()
        assert await pending(deps.pool) == [("withdrawn", REVISION)]
        assert await deps.pool.fetchval("select count(*) from dispatch.alert where not withdrawn") == 0
        assert await deps.pool.fetchval("select count(*) from volunteers.callout where state <> 'over'") == 0
        stops = {
            str(row["id"])
            for row in await deps.pool.fetch("select id from eventlog.stop where kind = 'campaign'")
        }
        assert stops == {lit, asked}
        ends = await deps.pool.fetch("select actor from eventlog.events where type = 'campaign.ended.v1'")
        assert [row["actor"] for row in ends] == ["restore", "restore"]
    number = (await site.api.case(case))["case_number"]
    assert f"case {number}  campaign {lit}  was lit" in told
    assert f"campaign {asked}  was asked for" in told
    assert f"case {number}  call-out" in told


async def test_what_is_wished_to_stay_lit_stays_but_for_whom_was_erased(site, machine, again):
    """`--keep-lit`, with the certificate of an erasure that the backup does not know."""
    await add_recipient(site.pool)
    gone, stays = await site.api.opened(), await site.api.opened(children=[NOA])
    campaigns = [await site.api.released(case, "public") for case in (gone, stays)]
    await site.dispatched()
    main, keys = await machine.backup(site.deps.settings), await machine.backup(site.deps.settings, "keys")
    certificate = machine.folder / "certificate.json"
    certificate.write_text(json.dumps({"children": [await site.child_of(gone)], "cases": [gone]}))
    await machine.restore(again, main, keys, keep_lit=True, certificates=(certificate,))
    async with opened(again) as deps:
        lit = await deps.pool.fetch("select campaign_id from dispatch.alert where not withdrawn")
        assert [str(row["campaign_id"]) for row in lit] == campaigns[1:]
        assert sorted(content for content, _ in await pending(deps.pool)) == ["issued", "withdrawn"]
