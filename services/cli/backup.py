"""The work of `zoeklicht backup`: one moment of the main database, or of the keys."""

import asyncio
import getpass
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from services.cli.insight import pool_of
from services.cli.local import system
from services.cli.place import Place
from services.cli.terminal import err
from services.kernel.audit import note
from services.kernel.backup import BackupError, Kind, Manifest
from services.kernel.backup.archive import Writer, file_in, manifest_of, writing
from services.kernel.backup.programs import dump
from services.kernel.postgres import Connection, connect, queries
from services.kernel.settings import Settings
from services.kernel.vault import copies, fingerprint

_SQL = queries("services.cli", "restore.sql")
_LONG_S = 3600.0
"""The log of many years is counted within it."""

console = Console(highlight=False, soft_wrap=True, markup=False)


async def backup(data: Path, output: Path, kind: Kind) -> None:
    """Writes the backup, whole or not at all, and says what it holds. Raises BackupError."""
    path = _place(output, kind)
    async with system(Place(data), with_kafka=False) as found, pool_of(found) as pool:
        days = found.settings.vault_backup_days
        if kind == "keys" and not days:
            raise BackupError(
                "ZOEKLICHT_VAULT_BACKUP_DAYS is 0, so no backup of the keys may live: raise it first"
            )
        await note(pool, getpass.getuser(), "command", f"backup.made {kind}", ())
        write = _keys if kind == "keys" else _main
        with writing(path, found.settings.master_key_bytes) as writer, _progress(writer) as tell:
            manifest = writer.finish(await write(found.settings, writer, tell))
    console.print(f"{path}: {manifest.size:,} bytes of {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC")
    if manifest.kind == "keys":
        _say_keys(manifest)
        _delete_over(path, found.settings)
    else:
        console.print(f"  {manifest.events} events; the newest entry of the audit is {manifest.audit_number}")
        console.print(f"  zoeklicht audit verify --kept {manifest.audit_digest}")
        console.print("  without the keys and the master key nobody can be named: zoeklicht backup --keys")


def _place(output: Path, kind: Kind) -> Path:
    return file_in(output, kind, datetime.now(UTC)) if output.is_dir() else output


def _say_keys(manifest: Manifest) -> None:
    console.print(
        f"  {manifest.keys} keys, wrapped by the master key; keep the file away from the other backups"
    )
    console.print(
        f"  over on {manifest.expires_at:%Y-%m-%d %H:%M} UTC: no restore takes it from then on, delete it"
    )


def _delete_over(path: Path, settings: Settings) -> None:
    """Deletes what the certificates promise to be gone, as far as it lies beside the new one under its usual name."""
    for other in sorted(path.parent.glob("zoeklicht-keys-*.backup")):
        try:
            manifest = manifest_of(other, settings.master_key_bytes)
        except BackupError:  # damaged, or another installation's: not ours to judge
            continue
        if manifest.kind == "keys" and manifest.is_over(datetime.now(UTC), settings.vault_backup_days):
            other.unlink()
            console.print(f"  deleted {other}: its time is over")


@contextmanager
def _progress(writer: Writer) -> Iterator[Callable[[], None]]:
    """Shows how many bytes are written; a file sees nothing of it."""
    columns = SpinnerColumn(), TextColumn("writing the backup"), DownloadColumn(), TimeElapsedColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("backup", total=None)
        yield lambda: bar.update(task, completed=writer.size)


@asynccontextmanager
async def _moment(url: str) -> AsyncIterator[Connection]:
    """A transaction that sees one moment for as long as it takes; it writes nothing, so it holds up no reader."""
    connection = await connect(url, application="zoeklicht-backup")
    try:
        await connection.execute("set transaction_timeout = 0; set idle_in_transaction_session_timeout = 0")
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    finally:
        await connection.close()


async def _main(settings: Settings, writer: Writer, tell: Callable[[], None]) -> Manifest:
    async with _moment(settings.vault_url) as vault:
        keys = await copies.count(vault)
    url = settings.database_url.get_secret_value()
    async with _moment(url) as moment:
        snapshot = await moment.fetchval("select pg_export_snapshot()")
        manifest = await _manifest(moment, settings, "main", keys)
        figures = await moment.fetchrow(_SQL["figures"], timeout=_LONG_S)

        def take(part: bytes) -> None:
            writer.write(part)
            tell()

        await asyncio.to_thread(dump, url, snapshot, take, settings.postgres_programs)
    return manifest.model_copy(update=dict(figures))


async def _keys(settings: Settings, writer: Writer, tell: Callable[[], None]) -> Manifest:
    async with _moment(settings.vault_url) as moment:
        manifest = await _manifest(moment, settings, "keys", await copies.count(moment))
        async for line in copies.lines(moment):
            writer.write(line)
            tell()
    ends = manifest.made_at + timedelta(days=settings.vault_backup_days)
    return manifest.model_copy(update={"expires_at": ends})


async def _manifest(moment: Any, settings: Settings, kind: Kind, keys: int) -> Manifest:
    return Manifest(
        kind=kind,
        made_at=await moment.fetchval("select transaction_timestamp()"),
        software=version("zoeklicht"),
        master=fingerprint(settings.master_key_bytes),
        steps=tuple((row["owner"], row["name"], row["digest"]) for row in await moment.fetch(_SQL["steps"])),
        keys=keys,
    )
