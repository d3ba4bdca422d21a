"""The work of `zoeklicht emergency-…`."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from schemas.commands import EndCampaign
from schemas.vocabulary import EndReason
from services.cli.insight import keys_of, pool_of
from services.cli.local import system
from services.cli.place import Place, read_json
from services.cli.terminal import err
from services.dispatch.emergency.pack import Pack, PackError, new_identity, open_pack
from services.dispatch.emergency.report import read, take_in
from services.dispatch.emergency.sending import Errand, Sent, errands, send
from services.dispatch.emergency.writing import packs, write_now
from services.dispatch.publish import Publisher
from services.intake.handlers import campaigns
from services.intake.handlers.steps import Ask, IntakeDeps
from services.intake.policy import load_policy
from services.kernel.principals import Principal, Role
from services.kernel.problems import ConflictError
from services.kernel.vault import Vault, ring_of

_NOTE = "withdrawn by the emergency pack while the system was down"

console = Console(highlight=False, soft_wrap=True)


async def make_key(file: Path) -> None:
    """Writes a new private key and prints the public one. Raises PackError when the file exists."""
    secret, public = new_identity()
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise PackError(f"{file} exists: choose another file, a key is never written over") from None
    with os.fdopen(handle, "w") as opened:
        opened.write(f"# opens zoeklicht emergency packs; public key: {public}\n{secret}\n")
    console.print(public)


async def write_pack(data: Path, to: Path | None) -> None:
    """Writes one pack. Raises PackError."""
    if to is None:
        raise PackError("name a folder with --to, or set ZOEKLICHT_EMERGENCY_PACK")
    place = Place(data)
    async with system(place, with_kafka=False) as found, pool_of(found) as pool:
        settings = found.settings
        if not settings.emergency_recipients:
            raise PackError(
                "set ZOEKLICHT_EMERGENCY_RECIPIENTS to the public key that `zoeklicht emergency-key` printed"
            )
        if settings.public_url is None:  # partners are told where to send their receipts
            known = (read_json(place.access_file) or {}).get("base_url")
            settings = settings.model_copy(update={"public_url": known})
        path, pack = await write_now(pool, settings, to)
    console.print(f"{path}: {len(pack.alerts)} alerts, {len(pack.partners)} partners")


async def send_pack(pack_path: Path, identity: Path, only: Sequence[UUID], report: Path, *, yes: bool) -> int:
    """Shows what it will send, asks, sends, and says who answered; 1 when somebody did not."""
    path, pack = _opened(pack_path, identity)
    todo = errands(pack, only)
    _show(path, pack, todo)
    if not todo:
        console.print("nothing is shown: there is nothing to send")
        return 0
    if not yes and not typer.confirm(f"Send {len(todo)} withdrawals now?"):
        console.print("nothing was sent")
        return 1
    ends = await _sent(pack, todo, report)
    return _tell(pack, ends, report)


def _opened(path: Path, identity: Path) -> tuple[Path, Pack]:
    if path.is_dir():
        found = packs(path)
        if not found:
            raise PackError(f"{path} holds no pack: name another folder")
        path = found[-1]
    return path, open_pack(path.read_bytes(), identity.read_text(encoding="utf-8"))


def _show(path: Path, pack: Pack, todo: Sequence[Errand]) -> None:
    console.print(f"{path.name} of {pack.installation}, written {pack.made_at:%Y-%m-%d %H:%M:%S} UTC")
    table = Table("alert", "kind", "shown since", "withdrawal goes to")
    for alert in pack.alerts:
        count = sum(one.alert.alert_id == alert.alert_id for one in todo)
        if count:
            since = f"{alert.issued_at:%Y-%m-%d %H:%M} UTC"
            table.add_row(str(alert.alert_id), alert.kind.value, since, f"{count} partners")
    console.print(table)


async def _sent(pack: Pack, todo: Sequence[Errand], report: Path) -> list[Sent]:
    # Appended to, and flushed line by line: what was sent must be known even if this machine fails too.
    with report.open("a", encoding="utf-8") as file, Progress(console=err, transient=True) as progress:
        bar = progress.add_task("sending withdrawals", total=len(todo))

        def note(end: Sent) -> None:
            file.write(end.model_dump_json() + "\n")
            file.flush()
            os.fsync(file.fileno())
            progress.advance(bar)

        return await send(pack, todo, note)


def _tell(pack: Pack, ends: Sequence[Sent], report: Path) -> int:
    partners = {one.recipient_id: one for one in pack.partners}
    silent = [end for end in ends if not end.dark]
    console.print(f"{len(ends) - len(silent)} of {len(ends)} withdrawals were taken")
    if silent:
        table = Table("call this partner", "contact", "alert", "answer")
        for end in silent:
            partner = partners[end.recipient_id]
            table.add_row(
                partner.name, partner.contact, str(end.alert_id), str(end.status or end.error_class)
            )
        console.print(table)
        console.print("give the same command again to try once more: it is harmless")
    console.print(f"when the system is back, first: zoeklicht emergency-report {report}")
    return 1 if silent else 0


async def take_in_report(data: Path, report: Path) -> None:
    """Withdraws and ends what was sent. Raises PackError."""
    lines = read(await asyncio.to_thread(report.read_text, encoding="utf-8"))
    async with (
        system(Place(data), with_kafka=False) as found,
        pool_of(found) as pool,
        keys_of(found) as keys,
    ):
        settings = found.settings
        vault = Vault(keys, ring_of(settings))
        results = await take_in(Publisher(pool, vault, settings), lines)
        deps = IntakeDeps(pool, vault, settings, load_policy(settings.policy))
        for one in results:
            ended = one.campaign_id is not None and await _end(deps, one.campaign_id)
            what = "withdrawn" if one.withdrawn_now else "was withdrawn already"
            console.print(
                f"alert {one.alert_id}: {what}{', campaign ended' if ended else ''};"
                f" {one.dark} partners dark, {one.open} are still sent it"
            )


async def _end(deps: IntakeDeps, campaign_id: UUID) -> bool:
    ask = Ask(Principal("emergency", Role.ADMIN), str(uuid4()))
    try:
        await campaigns.end(deps, ask, campaign_id, EndCampaign(reason=EndReason.OTHER, note=_NOTE))
    except ConflictError:
        return False
    return True
