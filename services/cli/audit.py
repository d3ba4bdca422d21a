"""The work of `zoeklicht audit …`."""

import getpass
from contextlib import suppress
from pathlib import Path

import orjson
from rich.console import Console

from services.cli.insight import pool_of
from services.cli.local import system
from services.cli.place import Place
from services.eventlog.witness import Witnessed
from services.kernel.audit import Entry, note
from services.kernel.audit.chain import Chain
from services.kernel.audit.trail import every_entry, head
from services.kernel.errors import ZoeklichtError

console = Console(highlight=False, soft_wrap=True)


class ExportError(ZoeklichtError):
    """The file is no export, or cannot be written."""


def _digest(kept: str | None) -> bytes | None:
    if kept is None:
        return None
    try:
        return bytes.fromhex(kept)
    except ValueError:
        raise ExportError(
            "--kept is the digest that `zoeklicht audit head` printed: 64 digits 0-9 a-f"
        ) from None


def _told(findings: list[str], good: str) -> int:
    for finding in findings:
        console.print(f"broken: {finding}", markup=False)
    if not findings:
        console.print(good)
    return 1 if findings else 0


async def verify(data: Path, kept: str | None) -> int:
    """Counts the chain of entries again, and the events that they witness; 1 when anything does not fit."""
    digest, chain, witnessed = _digest(kept), Chain(), Witnessed()
    async with system(Place(data), with_kafka=False) as found, pool_of(found) as pool:
        # The head is read first: entries written meanwhile come after it.
        newest = await head(pool)
        async for entry in every_entry(pool):
            if entry.audit_id <= newest[0]:
                chain.add(entry)
                witnessed.add(entry)
        findings = [*chain.findings(newest, digest), *[one async for one in witnessed.findings(pool)]]
    good = f"{chain.number} entries and {witnessed.events} events that they witness are as they were written"
    return _told(findings, good)


async def verify_file(file: Path, kept: str | None) -> int:
    """The same for an export, without any server; 1 when anything does not fit."""
    digest, chain = _digest(kept), Chain()
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                chain.add(Entry.of_view(orjson.loads(line)))
            except (KeyError, TypeError, ValueError) as error:
                raise ExportError(
                    f"line {number} of {file.name} is no entry of an audit ({type(error).__name__}):"
                    " take a file that `zoeklicht audit export` wrote"
                ) from None
    return _told(list(chain.findings(witnessed=digest)), f"{chain.number} entries are as they were written")


async def export(data: Path, output: Path) -> None:
    """Writes every entry, the last being this export; a file that is there already is replaced once all is written."""
    part = output.with_name(f"{output.name}.part")
    async with system(Place(data), with_kafka=False) as found, pool_of(found) as pool:
        await note(pool, getpass.getuser(), "command", "audit.exported", ())
        count = 0
        try:
            with part.open("wb") as lines:
                async for entry in every_entry(pool):
                    lines.write(orjson.dumps(entry.view, option=orjson.OPT_APPEND_NEWLINE))
                    count += 1
            part.replace(output)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise ExportError(f"cannot write {output} ({error.strerror}); choose another file") from None
    console.print(f"{count} entries written to {output}")


async def print_head(data: Path) -> None:
    """Prints the number and the digest of the newest entry."""
    async with system(Place(data), with_kafka=False) as found, pool_of(found) as pool:
        number, digest = await head(pool)
    console.print(f"{number} {digest.hex()}")
