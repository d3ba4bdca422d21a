"""Builds emergency packs from the tables and writes them, again and again, to a place elsewhere."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import structlog
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from schemas.vocabulary import AlertKind, Audience, Mode
from services.dispatch.addresses import place_of
from services.dispatch.bodies import Bodies
from services.dispatch.domain import Revision
from services.dispatch.emergency import standalone
from services.dispatch.emergency.pack import REVISION, Pack, PackedAlert, PackedPartner, seal
from services.dispatch.publish import alert_of, earlier
from services.dispatch.secret_boxes import open_secrets, private_key
from services.kernel.errors import ZoeklichtError
from services.kernel.paging import all_clear, page
from services.kernel.postgres import AWAY, Connection, Pool, in_transaction, queries
from services.kernel.service import Runtime
from services.kernel.settings import Settings
from services.kernel.signing import SignatureError, SigningKeys
from services.kernel.vault import VaultError

WRITE_S = 60.0
"""How long writing may take: a mounted folder can hang."""
TOOL = "zoeklicht-emergency-send.py"
_NAME = "zoeklicht-emergency-"
_MATTER = "emergency-pack:written"

_WRITER = ThreadPoolExecutor(1, "emergency-pack")
"""Of its own: a folder that hangs for ever must not take the threads in which the pager resolves names."""

_SQL = queries("services.dispatch.emergency")
log = structlog.get_logger()


async def build(pool: Pool, settings: Settings) -> Pack:
    """What may be shown now and how to take it back, as of one moment."""
    bodies = Bodies.of(settings)
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        now: datetime = await connection.fetchval("select clock_timestamp()")
        partners = await connection.fetch(_SQL["partners"])
        alerts = [
            await _lit(connection, row, partners, bodies, now) for row in await connection.fetch(_SQL["lit"])
        ]
        alerts += [_unanswered(row) for row in await connection.fetch(_SQL["unanswered"])]
    # Each address was reviewed when its partner was registered: whoever sends the pack has no such list.
    places = [place_of(row["url"]) for row in partners]
    return Pack(
        made_at=now,
        installation=settings.base_url,
        delivery_timeout_s=settings.delivery_timeout_s,
        allow_loopback_partners=any(loopback for _, loopback in places),
        partner_hosts=frozenset(place for place, _ in places),
        partner_ca=settings.partner_ca,
        partners=tuple(_partner(row, settings.master_key_bytes) for row in partners),
        alerts=tuple(alerts),
    )


def _partner(row: Any, master: bytes) -> PackedPartner:
    try:
        keys = open_secrets(row, master)
    except (VaultError, SignatureError):
        # Still worth trying, and to be called: who checks `v1a` believes it, and the others have their withdrawals.
        keys = SigningKeys([], private_key(row["recipient_id"], master))
    private = keys.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return PackedPartner(
        recipient_id=row["recipient_id"],
        name=row["name"],
        contact=row["contact"],
        url=row["url"],
        format=row["format"],
        secrets=tuple(secret.hex() for secret in keys.secrets),
        private=private.hex(),
    )


async def _lit(
    connection: Connection, row: Any, partners: list[Any], bodies: Bodies, now: datetime
) -> PackedAlert:
    """To everybody whom it could have reached, also where the tables know of no delivery: the pack may be old."""
    alert = alert_of(row)
    to = [
        one
        for one in partners
        if Audience(one["audience"]) in alert.reaches and one["exercise"] == (alert.mode is Mode.EXERCISE)
    ]
    messages = await earlier(connection, alert.alert_id, REVISION)
    frame = bodies.frame(alert, row["issued_at"], now, messages)
    revision = Revision(alert, REVISION, "withdrawn", dark=False, frame=frame)
    formats = {one["format"] for one in to} - (set() if messages else {"cap"})
    written = {form: bodies.withdrawal(revision, form).clear or "" for form in sorted(formats)}
    return _packed(row, REVISION, written, [one["recipient_id"] for one in to if one["format"] in written])


def _unanswered(row: Any) -> PackedAlert:
    """The withdrawal that is on its way already, as it is."""
    return _packed(row, row["head_revision"], orjson.loads(row["bodies"] or "{}"), row["recipients"])


def _packed(row: Any, revision: int, written: dict[str, str], to: list[Any]) -> PackedAlert:
    return PackedAlert(
        alert_id=row["alert_id"],
        kind=AlertKind(row["kind"]),
        mode=Mode(row["mode"]),
        campaign_id=row["campaign_id"],
        issued_at=row["issued_at"],
        shown_revision=row["head_revision"],
        revision=revision,
        bodies=written,
        to=tuple(to),
    )


def write(folder: Path, sealed: bytes, now: datetime, kept: int) -> Path:
    """Puts a pack into the folder in one step and removes the oldest beyond `kept`. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_NAME}{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}.age"
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(sealed)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    for old in packs(folder)[:-kept]:
        old.unlink(missing_ok=True)
    for left in folder.glob(f".{_NAME}*"):  # of a writer that was killed
        if now.timestamp() - left.stat().st_mtime > WRITE_S:
            left.unlink(missing_ok=True)
    return path


def packs(folder: Path) -> list[Path]:
    """The packs in a folder, oldest first."""
    return sorted(folder.glob(f"{_NAME}*.age"))


async def write_now(pool: Pool, settings: Settings, folder: Path) -> tuple[Path, Pack]:
    """Builds and writes one pack. Raises PackError, OSError, TimeoutError."""
    pack = await build(pool, settings)
    sealed = seal(pack, settings.emergency_recipients)
    async with asyncio.timeout(WRITE_S):
        path = await asyncio.get_running_loop().run_in_executor(
            _WRITER, _put, folder, sealed, pack.made_at, settings.emergency_kept
        )
    return path, pack


def _put(folder: Path, sealed: bytes, now: datetime, kept: int) -> Path:
    path = write(folder, sealed, now, kept)
    write_tool(folder)
    return path


def write_tool(folder: Path) -> Path:
    """Puts the command that sends a pack without this software beside the packs, as this version has it."""
    tool, text = folder / TOOL, Path(standalone.__file__).read_bytes()
    if not tool.exists() or tool.read_bytes() != text:
        draft = folder / f".{_NAME}{TOOL}.{os.getpid()}"
        draft.write_bytes(text)
        draft.replace(tool)
    return tool


async def keep_writing(runtime: Runtime) -> None:
    """Writes a pack every five minutes until the service is to stop; pages a person while that fails."""
    folder, settings = runtime.settings.emergency_pack, runtime.settings
    if folder is None:
        log.warning(
            "no emergency pack is written: set ZOEKLICHT_EMERGENCY_PACK and ZOEKLICHT_EMERGENCY_RECIPIENTS"
        )
        return
    while not runtime.stop.is_set():
        try:
            _, pack = await write_now(runtime.pool, settings, folder)
        except (ZoeklichtError, *AWAY) as error:
            log.exception("no emergency pack", exc_info=error)
            await _say(runtime.pool, _unwritten(error))
        else:
            log.info("emergency pack written", alerts=len(pack.alerts), partners=len(pack.partners))
            await _say(runtime.pool, _unsigned(pack))
        await runtime.pause(settings.emergency_every_s)


def _unwritten(error: Exception) -> str:
    return (
        f"the emergency pack cannot be written ({type(error).__name__}): should this installation fail now, older"
        " packs have to do. See the log of the auditor, ZOEKLICHT_EMERGENCY_PACK and whether the folder is mounted"
    )


def _unsigned(pack: Pack) -> str | None:
    without = sorted(str(one.recipient_id) for one in pack.partners if not one.secrets)
    if not without:
        return None
    return (
        f"the emergency pack is written, but the secret of {len(without)} partner(s) does not open, recipient"
        f" {without[0]} first: they may not believe an emergency withdrawal. See ZOEKLICHT_MASTER_KEY, or rotate their"
        " secrets"
    )


async def _say(pool: Pool, text: str | None) -> None:
    async def work(connection: Connection) -> None:
        if text is None:
            await all_clear(connection, [_MATTER])
        else:
            await page(connection, _MATTER, text, lasting=True)

    await in_transaction(pool, work)
