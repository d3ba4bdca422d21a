"""What a restore refuses, what interrupts it, and what can be given again."""

import asyncio
import base64
import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from backup_ground import Machine, close, empty, erased, everything, named, opened, pending, shown
from erasure_ground import TABLES, Installation
from intake_ground import NOA, running

from services.cli import backup as backups
from services.cli import database
from services.cli import keys as keys_commands
from services.cli import restore as restores
from services.cli.database import migrate_all
from services.dispatch.emergency.pack import REVISION
from services.intake.handlers.steps import IntakeDeps
from services.intake.policy import load_policy
from services.kernel.backup import BackupError, DamagedBackupError, UnfitBackupError
from services.kernel.backup.archive import content_of, file_in, manifest_of, writing
from services.kernel.backup.unfinished import check_finished
from services.kernel.embedded.postgres import programs
from services.kernel.vault import VaultError, fingerprint


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


async def test_keys_that_nothing_here_opens_are_refused_before_anything_is_made(
    site, machine, again, monkeypatch, master_key
):
    """Wrapped with a key that is not named: which one is told, and the database is as empty afterwards."""
    new = base64.b64encode(b"n" * 32).decode()
    await site.api.opened()
    main = await machine.backup(site.deps.settings)
    monkeypatch.setenv("ZOEKLICHT_WRAPPING_KEYS", f"{new},{master_key}")
    await keys_commands.rewrap_all(machine.folder, every=False)
    keys = await machine.backup(site.deps.settings, "keys")
    monkeypatch.delenv("ZOEKLICHT_WRAPPING_KEYS")
    with pytest.raises(UnfitBackupError, match=rf"{fingerprint(b'n' * 32)}.*ZOEKLICHT_WRAPPING_KEYS"):
        await machine.restore(again, main, keys)
    async with opened(again) as deps:
        assert await deps.pool.fetch(TABLES) == []
    monkeypatch.setenv("ZOEKLICHT_WRAPPING_KEYS", f"{master_key},{new}")
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
    async with opened(again) as deps, deps.pool.acquire() as connection, connection.transaction():
        # A service with a role of its own reads nothing of the mark.
        name = f"zl_stranger_{os.getpid()}"
        await connection.execute(f"create role {name} nologin; set local role {name}")
        with pytest.raises(BackupError, match="has not finished"):
            await check_finished(connection)
        await connection.execute(f"reset role; drop role {name}")
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


async def test_the_programs_of_another_folder_are_used_and_what_they_say_is_told(site, machine, monkeypatch):
    """Theirs alone; without them, or when they fail, one line says so, and no file is left."""
    folder = machine.folder / "programs"
    folder.mkdir()
    monkeypatch.setenv("ZOEKLICHT_POSTGRES_PROGRAMS", str(folder))
    with pytest.raises(BackupError, match=r"no pg_dump in .*ZOEKLICHT_POSTGRES_PROGRAMS"):
        await machine.backup(site.deps.settings)
    program = folder / "pg_dump"
    program.write_text("#!/bin/sh\nprintf half; echo 'pg_dump: error: no' >&2; exit 1\n")
    program.chmod(0o700)
    with pytest.raises(BackupError, match=r"^pg_dump: error: "):
        await machine.backup(site.deps.settings)
    assert list(machine.folder.glob(".*")) + list(machine.folder.glob("*.backup")) == []
    program.unlink()
    program.symlink_to(programs() / "pg_dump")
    assert (await machine.backup(site.deps.settings)).exists()


async def command(*words, code=0, **environment):
    """A command of somebody whose environment names no server."""
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("ZOEKLICHT", "DATABASE", "KAFKA"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli.main", *map(str, words), env=clean | environment | {"COLUMNS": "300"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == code, said.decode()
    return said.decode()


@pytest.fixture
def folder():
    """Where a server may run under an account of its own: pytest closes its own folders to everybody again and again."""
    with tempfile.TemporaryDirectory(prefix="zoeklicht-test-", ignore_cleanup_errors=True) as name:
        yield Path(name) / "data"


async def test_on_one_machine_a_folder_a_master_key_and_two_files_are_enough(site, machine, folder):
    """`zoeklicht restore` starts the embedded server, asks for the master key, and refuses an old Kafka."""
    case = await site.api.opened()
    main, keys = await machine.backup(site.deps.settings), await machine.backup(site.deps.settings, "keys")
    words = "restore", main, "--keys", keys, "--data", folder
    assert "master.key" in await command(*words, code=1)
    (folder / "kafka").mkdir(parents=True)
    (folder / "master.key").write_text(site.deps.settings.master_key.get_secret_value())
    assert "remove it" in await command(*words, code=1)
    (folder / "kafka").rmdir()
    assert "epoch 2 begins" in await command(*words)
    assert "not empty" in await command(*words, code=1)
    explained = await command("criteria", "explain", case, "--data", folder)
    assert (await site.api.case(case))["case_number"] in explained
