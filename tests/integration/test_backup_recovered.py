"""A database that PostgreSQL brought back to a moment between two backups, from its archive of WAL.

On a server of its own, since the whole of it goes back in time; the keys lie elsewhere, and stay as they are.
"""

import asyncio
import os
import shutil
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from backup_ground import Machine, erased, named, opened, shown
from erasure_ground import Installation
from intake_ground import running
from pydantic import SecretStr
from sender_ground import until

from services.cli.database import migrate_all
from services.dispatch.emergency.pack import REVISION
from services.kernel.backup import BackupError
from services.kernel.embedded import EmbeddedPostgres
from services.kernel.embedded.postgres import programs

MATS = {"given_name": "Mats", "family_name": "Voorbeeld", "age_estimate": {"min": 8, "max": 10}}
COUNT = "select count(*) from eventlog.events"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    return Machine(tmp_path, monkeypatch.setenv)


class Archived:
    """A PostgreSQL that keeps every WAL file, as docs/backup.md says."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.archive = folder, folder / "archive"
        self.server = EmbeddedPostgres(folder / "postgres", log_file=folder / "postgres.log", fsync=False)
        self.cluster = folder / "postgres" / "cluster"

    async def start(self) -> str:
        return await asyncio.to_thread(self.server.start)

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.stop)

    def _give(self, path: Path) -> None:
        """To the user who runs the server."""
        owner = self.cluster.stat()
        for one in (path, *path.rglob("*")):
            os.chown(one, owner.st_uid, owner.st_gid)

    async def begin(self) -> str:
        url = await self.start()
        self.archive.mkdir()
        self._give(self.archive)
        connection = await asyncpg.connect(url)
        await connection.execute("alter system set archive_mode = on")
        await connection.execute(
            f"alter system set archive_command = 'test ! -f {self.archive}/%f && cp %p {self.archive}/%f'"
        )
        await connection.close()
        await self.stop()
        return await self.start()

    async def base_backup(self, url: str) -> None:
        at = urlsplit(url)
        where = "-h", at.hostname, "-p", str(at.port), "-U", at.username
        command = [
            programs() / "pg_basebackup",
            *where,
            "-D",
            self.folder / "base",
            "-X",
            "none",
            "-c",
            "fast",
        ]
        await asyncio.to_thread(
            subprocess.run,
            command,
            env=os.environ | {"PGPASSWORD": at.password},
            check=True,
            capture_output=True,
        )

    async def until_archived(self, url: str) -> None:
        connection = await asyncpg.connect(url)
        name = await connection.fetchval("select pg_walfile_name(pg_switch_wal())")
        await connection.close()

        async def archived():
            return (self.archive / name).exists()

        await until(archived)

    async def recover(self, moment: str) -> None:
        """All of it is lost, and comes back as it was at this moment."""
        self._give(self.folder / "base")
        shutil.rmtree(self.cluster)
        (self.folder / "base").rename(self.cluster)
        with (self.cluster / "postgresql.auto.conf").open("a") as file:
            file.write(
                f"archive_mode = off\nrestore_command = 'cp {self.archive}/%f %p'\n"
                f"recovery_target_time = '{moment}'\nrecovery_target_action = 'promote'\n"
            )
        (self.cluster / "recovery.signal").touch()
        self._give(self.cluster / "recovery.signal")
        connection = await asyncpg.connect(await self.start())

        async def recovered():
            return not await connection.fetchval("select pg_is_in_recovery()")

        await until(recovered)
        await connection.close()


@pytest.fixture
async def lines(settings, tmp_path):
    """The installation, its main database on a server that can go back in time."""
    server = Archived(tmp_path / "server")
    server.folder.mkdir()
    tmp_path.chmod(0o755)
    url = await server.begin()
    where = settings.model_copy(update={"database_url": SecretStr(url)})
    await migrate_all(where)
    yield server, where
    await server.stop()


@asynccontextmanager
async def working(where):
    async with opened(where) as deps, running(deps) as api:
        yield Installation(api, deps)


async def moment_of(pool):
    """Now, by the server's clock, with a commit on either side of it."""
    await asyncio.sleep(0.01)
    moment = await pool.fetchval("select clock_timestamp()")
    await asyncio.sleep(0.01)
    return moment.isoformat()


@pytest.mark.timeout(180)
async def test_a_moment_between_two_backups_comes_back_dark_and_without_who_was_erased(lines, machine):
    """What came after it is gone, what was lit then is ended, and whoever was erased since has no name."""
    server, where = lines
    url = where.database_url.get_secret_value()
    async with working(where) as site:
        await server.base_backup(url)
        _, lit, _ = await shown(site)
        leaving = await site.api.opened(children=[MATS])
        child = await site.child_of(leaving)
        moment, events = await moment_of(site.pool), await site.pool.fetchval(COUNT)
        got = await site.api.post(f"/v1/campaigns/{lit}/end", {"reason": "child_found"}, "coordinator")
        assert got.status == 200, got.body
        await erased(site, leaving)
        await site.api.opened()
    await server.until_archived(url)
    with pytest.raises(BackupError, match="never recovered"):
        await machine.restore(where, None, recovered=True)
    await server.stop()
    await server.recover(moment)
    async with opened(where) as deps:
        with pytest.raises(BackupError, match="test-again work with this database"):
            await machine.restore(where, None, recovered=True)
        assert await deps.pool.fetchval(COUNT) == events
    await machine.restore(where, None, recovered=True)
    async with opened(where) as deps:
        assert await named(deps, child) == []
        found = await deps.pool.fetch(
            "select content, revision from dispatch.delivery where state = 'pending'"
        )
        assert ("withdrawn", REVISION) in {tuple(one) for one in found}
        ended = await deps.pool.fetchval(
            "select count(*) from eventlog.events where stream = $1 and type = 'campaign.ended.v1'",
            f"campaign-{lit}",
        )
        assert ended == 1
        assert await deps.pool.fetchval("select current from eventlog.epoch") == 2
        assert await deps.pool.fetchval("select count(*) from intake.case_open") == 3
        said = await deps.pool.fetchval("select action from kernel.audit order by audit_id desc limit 1")
        assert said == "backup.restored recovered"
