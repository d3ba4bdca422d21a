"""The work of `zoeklicht restore`: a backup comes back, nothing is sent again, and who was erased stays erased."""

import asyncio
import getpass
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from schemas.events import TOPICS
from services.cli.caught_up import topics_reader
from services.cli.database import migrate_all, steps_of
from services.cli.local import NO_KAFKA, System, bare, forget_heartbeats, system
from services.cli.place import Place
from services.cli.recovered import Moment, take_over
from services.cli.restored import Desk, erased_since, forget_again, go_dark, ids_of
from services.cli.terminal import err
from services.intake.policy import load_policy
from services.kernel.audit import note
from services.kernel.backup import BackupError, Kind, Manifest, UnfitBackupError, check_steps
from services.kernel.backup.archive import check_whole, content_of, manifest_of
from services.kernel.backup.programs import load
from services.kernel.backup.unfinished import begin, finish, unfinished
from services.kernel.kafka import end_offsets
from services.kernel.migrations import PACKAGES, VAULT_PACKAGES
from services.kernel.postgres import Pool, create_pool, queries
from services.kernel.settings import Settings
from services.kernel.vault import Vault, copies, ring_of

_SQL = queries("services.cli", "restore.sql")
_SHOWN = 20

console = Console(highlight=False, soft_wrap=True, markup=False)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is brought back, and how.

    Of the log: `file`, or what PostgreSQL has `recovered` in its place. Without either the keys alone, into the vault of a
    system that has its log.
    """

    file: Path | None
    keys: Path | None
    certificates: tuple[Path, ...] = ()
    keep_lit: bool = False
    without_keys: bool = False
    recovered: bool = False


async def restore(data: Path, wish: Wish) -> None:
    """Brings back what is wished, or refuses and changes nothing. Raises BackupError."""
    place = Place(data)
    whole = wish.file is not None or wish.recovered
    async with bare(place) if whole else system(place, with_kafka=False) as found:
        settings = found.settings
        erased = erased_since(wish.certificates)
        keys = _checked(settings, wish.keys, "keys")
        main = _checked(settings, wish.file, "main")
        if keys and wish.keys:
            _check_wrapping(settings, wish.keys, keys)
        if whole:
            await _check_topics(found)
        moment = await _log(settings, wish, main)
        async with _desk(settings) as desk:
            await _bring_back_keys(desk, wish, keys, erased)
            if moment:
                await _begin_anew(desk, wish, moment)
            what = "keys" if not moment else "main" if main else "recovered"
            await note(desk.pool, getpass.getuser(), "command", f"backup.restored {what}", ())
            await finish(desk.pool)
    if moment:
        console.print("now start the system; then `zoeklicht verify`, and:")
        kept = main.audit_digest if main else "DIGEST-OF-A-BACKUP-BEFORE"
        console.print(f"  zoeklicht audit verify --kept {kept}")


# ── what may be brought back ────────────────────────────────────────────────────────────────────────────────


def _checked(settings: Settings, file: Path | None, kind: Kind) -> Manifest | None:
    """What the file is, once all of it was read. Raises BackupError."""
    if file is None:
        return None
    manifest = manifest_of(file, settings.master_key_bytes)
    if manifest.kind != kind:
        other = "keys: give it as --keys" if manifest.kind == "keys" else "everything but the keys"
        raise UnfitBackupError(f"{file} is a backup of {other}")
    packages = PACKAGES if kind == "main" else VAULT_PACKAGES
    check_steps(manifest.steps, steps_of(packages), f"version {manifest.software}")
    if manifest.is_over(datetime.now(UTC), settings.vault_backup_days):
        raise UnfitBackupError(
            f"the keys of {manifest.made_at:%Y-%m-%d} are over: certificates of erasure promise that nobody brings them"
            " back; delete the file, and take a younger one"
        )
    check_whole(file, manifest)
    return manifest


def _check_wrapping(settings: Settings, file: Path, manifest: Manifest) -> None:
    """What wrapped the keys of the backup must be at hand, or nothing that comes back opens."""
    rows = copies.read(content_of(file, manifest))
    used = {row["master_id"] for row in rows if row["wrapped"] is not None}
    if foreign := used - ring_of(settings).key_ids:
        raise UnfitBackupError(
            f"the keys of this backup are wrapped with {', '.join(sorted(foreign))}: name that key in"
            " ZOEKLICHT_WRAPPING_KEYS after the first one, and restore again"
        )


async def _check_topics(found: System) -> None:
    """Kafka must not know more than the backup: whoever reads it would work with what the log does not have."""
    if found.settings.kafka_bootstrap_servers == NO_KAFKA:
        if not found.owned or not (found.place.directory / "kafka").exists():
            return
        raise BackupError(
            f"{found.place.directory / 'kafka'} holds events from before: remove it, the relay fills a new one"
        )
    try:
        async with topics_reader(found.settings) as client:
            ends = await end_offsets(client, [found.settings.topic(name) for name in TOPICS])
    except (KafkaError, OSError):
        err.print("Kafka does not answer: see that its topics are empty before the system starts")
        return
    if any(ends.values()):
        raise BackupError(
            "the topics hold events, which the backup may not know: delete and create them, or take another"
            " ZOEKLICHT_TOPIC_PREFIX; the relay fills them"
        )


# ── the database ────────────────────────────────────────────────────────────────────────────────────────────


async def _log(settings: Settings, wish: Wish, main: Manifest | None) -> Moment | None:
    """Brings back the log, or takes the one that was recovered; None when only keys are wished."""
    if main and wish.file:
        await _load(settings, wish, wish.file, main)
        moment = Moment(main.digest[:16], main.events, main.made_at)
    elif wish.recovered:
        moment = await take_over(settings)
    else:
        return None
    await migrate_all(settings, restoring=True)
    await forget_heartbeats(settings)
    return moment


async def _load(settings: Settings, wish: Wish, file: Path, manifest: Manifest) -> None:
    url = settings.database_url.get_secret_value()
    pool = await create_pool(url, size=1, application="zoeklicht-restore")
    try:
        before = await unfinished(pool)
        if before not in {None, "", manifest.digest}:
            raise BackupError("a restore of another backup has not finished here: take an empty database")
        if not (before and await pool.fetchval(_SQL["loaded"])):
            if not await pool.fetchval(_SQL["empty"]):
                raise BackupError(
                    "the database is not empty: make a new one (or choose another --data), nothing is ever overwritten"
                )
            await _check_keys_to_come(settings, wish, manifest)
            await begin(pool, manifest.digest)
            with _progress(manifest) as bar:
                parts = _shown(bar, file, manifest)
                await asyncio.to_thread(load, url, parts, settings.postgres_programs)
    finally:
        await pool.close()


async def _check_keys_to_come(settings: Settings, wish: Wish, manifest: Manifest) -> None:
    if wish.keys or wish.without_keys or not manifest.keys:
        return
    pool = await create_pool(settings.vault_url, size=1, application="zoeklicht-restore")
    try:
        made = await pool.fetchval("select to_regclass('public.key') is not null")
        if made and await copies.count(pool):
            return
    finally:
        await pool.close()
    raise BackupError(
        f"the vault is empty, and the backup needs {manifest.keys} keys: name a backup of them with --keys;"
        " when there is none, --without-keys goes on, and nobody can be named any more"
    )


def _progress(manifest: Manifest) -> Progress:
    columns = TextColumn("bringing back"), BarColumn(), DownloadColumn(), TimeElapsedColumn()
    bar = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
    bar.add_task("restore", total=manifest.size)
    return bar


def _shown(bar: Progress, file: Path, manifest: Manifest) -> Iterator[bytes]:
    for part in content_of(file, manifest):
        yield part
        bar.advance(bar.task_ids[0], len(part))


# ── the keys ────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def _desk(settings: Settings) -> AsyncIterator[Desk]:
    main = settings.database_url.get_secret_value()
    pool = await create_pool(main, size=2, application="zoeklicht-restore")
    keys = await create_pool(settings.vault_url, size=2, application="zoeklicht-restore")
    try:
        vault = Vault(keys, ring_of(settings))
        yield Desk(pool, keys, vault, settings, load_policy(settings.policy))
    finally:
        await keys.close()
        await pool.close()


async def _bring_back_keys(desk: Desk, wish: Wish, manifest: Manifest | None, erased: frozenset[str]) -> None:
    """Those that nobody destroyed: neither by the log, nor by the vault, nor by either backup, nor by a certificate."""
    logged = {row["name"] for row in await desk.pool.fetch(_SQL["erased"])}
    # First: a key that comes later finds its name taken.
    await desk.vault.destroy(logged | erased | await forget_again(desk, erased - logged))
    if manifest and wish.keys:
        rows = copies.read(content_of(wish.keys, manifest))
        async with desk.keys.acquire() as connection, connection.transaction():
            back = await copies.bring_back(connection, rows)
        console.print(f"{back} keys came back; {len(await copies.destroyed(desk.keys))} stay destroyed")
    # Who was erased after the log was copied is known to the keys alone.
    since = await copies.destroyed(desk.keys) - logged - erased
    await desk.vault.destroy(await forget_again(desk, since))
    await _check_none_is_missing(desk, wish)


async def _check_none_is_missing(desk: Desk, wish: Wish) -> None:
    """Raises BackupError for keys that the log needs and nobody has, unless they are to be given up."""
    names = {row["name"] for row in await desk.pool.fetch(_SQL["sealed_with"], timeout=3600)}
    missing = names - await copies.known(desk.keys, sorted(names))
    if not missing:
        return
    if not wish.without_keys:
        raise BackupError(
            f"{len(missing)} of {len(names)} keys are missing: the backup of the keys is older than the other one; restore"
            " again with a younger one as --keys, or give them up for ever with --without-keys"
        )
    # Otherwise new ones would be made under their names, and what they sealed would look damaged.
    await desk.vault.destroy(missing)
    console.print(f"{len(missing)} keys are lost: what they sealed is erased")


# ── the system as it goes on ────────────────────────────────────────────────────────────────────────────────


async def _begin_anew(desk: Desk, wish: Wish, moment: Moment) -> None:
    epoch = await desk.pool.fetchval(queries("services.eventlog")["new_epoch"])
    for statement in ("forget_offsets", "sign_out"):
        await desk.pool.execute(_SQL[statement])
    console.print(f"{moment.events} events up to {moment.at:%Y-%m-%d %H:%M:%S} UTC; epoch {epoch} begins")
    why = f"restore-{moment.mark}"
    if wish.keep_lit:
        # Nobody who was erased stays lit, whatever was wished.
        erased = ids_of(await copies.destroyed(desk.keys), "case")
        await go_dark(desk, why, cases=erased)
        console.print("other campaigns and call-outs go on as they were")
    else:
        await go_dark(desk, why)
    await _say_what_a_person_decides(desk.pool)


async def _say_what_a_person_decides(pool: Pool) -> None:
    standing = await pool.fetchval(_SQL["standing_by"])
    if standing:
        console.print(f"{standing} standby alerts stand as before: see whether their cases are still open")
    console.print(
        "tokens, partners and people on duty are those of the backup: zoeklicht token list, duty list"
    )
