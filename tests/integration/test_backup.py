"""Backups of a real database, brought back into an empty one: all of it, nothing sent again, clear refusals."""

import asyncio
import json
import os
import sys
from datetime import timedelta
from uuid import UUID

import pytest
from backup_ground import Machine, empty, opened
from dispatch_ground import Ground, add_recipient
from erasure_ground import TABLES, Installation
from intake_ground import NOA, SECRETS, running

from schemas.commands import CallOut
from services.cli import audit, database
from services.cli import backup as backups
from services.cli import restore as restores
from services.cli.database import migrate_all
from services.dispatch.emergency.pack import REVISION
from services.intake.handlers.steps import IntakeDeps
from services.intake.policy import load_policy
from services.kernel.audit import note
from services.kernel.backup import BackupError, DamagedBackupError, UnfitBackupError
from services.kernel.backup.archive import content_of, file_in, manifest_of, writing
from services.kernel.postgres import in_transaction
from services.kernel.principals import Principal, Role
from services.kernel.vault import VaultError
from services.volunteers import callouts
from services.volunteers.desk import Ask

CHANGED = {
    "eventlog.epoch", "kernel.audit", "kernel.audit_head", "kernel.heartbeat", "kernel.session",
    "kernel.consumer_progress",
}  # fmt: skip
"""What a restore itself changes."""


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


async def rows_of(pool, table):
    return [row["t"] for row in await pool.fetch(f"select t::text from {table} t order by 1")]


async def everything(pool):
    names = sorted(row["name"] for row in await pool.fetch(TABLES))
    return {name: await rows_of(pool, name) for name in names if name not in CHANGED}


async def close(site, case):
    got = await site.api.fact(case, "closed", outcomes=[{"child": 0, "outcome": "found_safe"}])
    assert got.status == 201, got.body


async def erased(site, case):
    await site.approved(case_id=case)
    await site.carried_out()
    return await site.child_of(case)


async def named(deps, *children):
    """Which of these children anybody can name."""
    return sorted(await deps.vault.find([f"child:{one}" for one in children]))


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


# ── what was lit goes dark ──────────────────────────────────────────────────────────────────────────────────


async def shown(site):
    """A case that is lit at a display which never heard of it yet, one that is asked for, and people called out."""
    await add_recipient(site.pool)
    case, quiet = await site.api.opened(), await site.api.opened(children=[NOA])
    lit = await site.api.released(case, "public")
    asked = await site.api.requested(quiet)
    await site.dispatched()
    ask = Ask(Principal("an", Role.COORDINATOR), "c")
    wish = CallOut(people=2, postal_code="3000")
    await in_transaction(site.pool, lambda c: callouts.call_out(site.helpers, ask, c, UUID(case), wish))
    return case, lit, asked


async def pending(pool):
    rows = await pool.fetch("select content, revision from dispatch.delivery where state = 'pending'")
    return [(row["content"], row["revision"]) for row in rows]


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


async def refused(service):
    """Whether a service says that a restore has not finished, and ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli.service", service, stderr=asyncio.subprocess.PIPE,
        env=dict(os.environ) | {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
    )  # fmt: skip
    try:
        _, said = await asyncio.wait_for(process.communicate(), 60)
    except TimeoutError:
        process.kill()
        await process.communicate()
        return False
    return process.returncode == 1 and b"has not finished" in said


# ── what is refused, and what can be given again ────────────────────────────────────────────────────────────


async def test_a_database_with_anything_in_it_is_never_overwritten(site, machine, again):
    """Whatever is there stays as it is."""
    main, keys = await machine.backup(site.deps.settings), await machine.backup(site.deps.settings, "keys")
    before = await everything(site.pool)
    with pytest.raises(BackupError, match="not empty"):
        await machine.restore(site.deps.settings, main, keys)
    assert await everything(site.pool) == before


async def test_files_that_do_not_fit_are_refused_before_anything_is_made(site, machine, again):
    """Damaged, taken for one another, over, without keys: the database is as empty afterwards."""
    await site.api.opened()
    main, keys = await machine.backup(site.deps.settings), await machine.backup(site.deps.settings, "keys")
    damaged = machine.folder / "damaged.backup"
    damaged.write_bytes(main.read_bytes()[:-9000])
    over = machine.folder / "over.backup"
    master = site.deps.settings.master_key_bytes
    found = manifest_of(keys, master)
    old = {"made_at": found.made_at - timedelta(days=31), "expires_at": found.expires_at - timedelta(days=31)}
    with writing(over, master) as writer:
        for part in content_of(keys, found):
            writer.write(part)
        writer.finish(found.model_copy(update=old))
    for error, words, file, with_keys in (
        (DamagedBackupError, "damaged", damaged, keys),
        (UnfitBackupError, "give it as --keys", keys, None),
        (UnfitBackupError, "everything but the keys", main, main),
        (UnfitBackupError, "are over", main, over),
        (BackupError, "vault is empty.*--keys", main, None),
    ):
        with pytest.raises(error, match=words):
            await machine.restore(again, file, with_keys)
        async with opened(again) as deps:
            assert await deps.pool.fetch(TABLES) == []
    await machine.restore(again, main, keys)


async def test_keys_older_than_the_log_are_refused_until_a_person_gives_them_up(site, machine, again, capsys):
    """Nothing works meanwhile; younger keys mend it; without any, what they sealed is erased and not damaged."""
    await site.api.opened()
    keys = await machine.backup(site.deps.settings, "keys")
    late = await site.api.opened(children=[NOA])
    child = await site.child_of(late)
    main, younger = (
        await machine.backup(site.deps.settings),
        await machine.backup(site.deps.settings, "keys2"),
    )
    with pytest.raises(BackupError, match="2 of 4 keys are missing"):
        await machine.restore(again, main, keys)
    with pytest.raises(BackupError, match="has not finished"):
        await migrate_all(again)
    await machine.restore(again, main, younger)
    async with opened(again) as deps:
        assert await named(deps, child) == [f"child:{child}"]
    async with empty(again) as third:
        await machine.restore(third, main, keys, without_keys=True)
        async with opened(third) as deps, running(deps) as api:
            shown = (await api.case(late))["children"][0]
            assert "Noa" not in str(shown)
            assert shown["erased"] is True
            with pytest.raises(VaultError):
                await deps.vault.ensure([f"child:{child}"])


async def test_an_interrupted_restore_keeps_everybody_out_and_goes_on(
    site, machine, again, monkeypatch, caplog
):
    """Killed before anything went dark: no service starts, no other backup is taken, the same command ends it."""
    await shown(site)
    main, keys = await machine.backup(site.deps.settings), await machine.backup(site.deps.settings, "keys")
    await site.api.opened(children=[NOA])
    other = await machine.backup(site.deps.settings, "other")

    async def killed(*_how, **_more):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(restores, "go_dark", killed)
        await machine.restore(again, main, keys)
    assert await refused("sender")
    with pytest.raises(BackupError, match="another backup"):
        await machine.restore(again, other, keys)
    await machine.restore(again, main, keys)
    await migrate_all(again)
    async with opened(again) as deps:
        assert await pending(deps.pool) == [("withdrawn", REVISION)]


async def test_a_backup_of_an_older_version_is_migrated_and_one_of_a_newer_is_refused(
    site, machine, again, monkeypatch, tmp_path
):
    """The schema is that of the backup first; a later file is applied after it came back, an unknown one is refused."""
    later = tmp_path / "later_version"
    (later / "migrations").mkdir(parents=True)
    (later / "__init__.py").touch()
    (later / "migrations" / "0001_later.sql").write_text(
        "create table public.later as select count(*) as events from eventlog.events"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    await site.api.opened()
    main, keys = await machine.backup(site.deps.settings), await machine.backup(site.deps.settings, "keys")
    with monkeypatch.context() as patch:
        for module in (database, restores):
            patch.setattr(module, "PACKAGES", (*database.PACKAGES, "later_version"))
        await machine.restore(again, main, keys)
        newer = await machine.backup(again, "newer")
        async with opened(again) as deps:
            assert await deps.pool.fetchval("select events from public.later") > 0
    async with empty(again) as third:
        with pytest.raises(UnfitBackupError, match="newer than this version"):
            await machine.restore(third, newer, keys)


async def test_lost_keys_come_back_alone_and_wake_nobody(site, machine):
    """The vault was lost, the log was not: what the log knows as erased stays so although the copy has its key."""
    case, other = await site.api.opened(), await site.api.opened(children=[NOA])
    await close(site, case)
    keys = await machine.backup(site.deps.settings, "keys")
    child, kept = await erased(site, case), await site.child_of(other)
    async with site.vault._pool.acquire() as connection:
        await connection.execute("delete from key")
    await machine.restore(site.deps.settings, None, keys)
    assert await named(site.deps, child, kept) == [f"child:{kept}"]


async def test_over_copies_of_keys_beside_a_new_one_are_deleted(site, machine):
    """A folder of copies of keys holds none that is over, and keeps everything else."""
    master, month = site.deps.settings.master_key_bytes, timedelta(days=31)
    keys = await machine.backup(site.deps.settings, "keys")
    found = manifest_of(keys, master)
    old = file_in(machine.folder, "keys", found.made_at - month)
    with writing(old, master) as writer:
        writer.write(b"".join(content_of(keys, found)))
        over = {"made_at": found.made_at - month, "expires_at": found.expires_at - month}
        writer.finish(found.model_copy(update=over))
    await backups.backup(machine.folder, machine.folder, "main")
    assert old.exists()
    await backups.backup(machine.folder, machine.folder, "keys")
    kinds = sorted(one.name.split("-")[1] for one in machine.folder.glob("zoeklicht-*"))
    assert (kinds, old.exists(), keys.exists()) == (["keys", "main"], False, True)
