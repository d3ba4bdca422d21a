"""What sealing costs: events appended a second with their secrets sealed, and with the same boxes ready made, in one run.

A case that is opened makes two keys, its own and its child's, in the vault's database; a note seals with a key that is
there; a case that is opened and gets four notes is both, each event with a secret. Nothing else that a command does is
counted, only keys, sealing and the appending transaction; eight writers; in turns, the median of the rounds.
Prints a table and keeps the figures in `bench/results/sealing.json`.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import psutil
from rich.console import Console
from rich.table import Table

from schemas.events import CaseOpened, NoteAdded
from services.eventlog.store import Append, Cause, NewEvent, append, case_stream, lock_streams
from services.intake.domain.drafts import Draft, Secret
from services.intake.sealing import key_names, sealed_event
from services.kernel.embedded import EmbeddedPostgres
from services.kernel.migrations import migrate
from services.kernel.postgres import create_pool
from services.kernel.vault import LocalKey, Ring, Vault, key_name

ROOT = Path(__file__).parents[1]
WRITERS = 8
GOAL = 0.8
WHO = {
    "given_name": "Lotte",
    "family_name": "Verzonnen",
    "date_of_birth": "2009-05-04",
    "description": "rode jas " * 20,
}
TEXT = "De tante belt: gezien aan het station, met een blauwe fiets. " * 4
READY = {"key": f"case:{UUID(int=1)}", "box": "A" * 500}
CAUSE = Cause(actor="bench", correlation_id="bench")
console = Console(width=110)
NOTES = 4


def opening(case_id: UUID, child_id: UUID, *, sealed: bool) -> Draft:
    """A case with a child, its identity to be sealed or sealed already."""
    identity = Secret(key_name("child", child_id), WHO) if sealed else READY
    caller = Secret(key_name("case", case_id), "An Verzonnen, 02 555 01 16") if sealed else READY
    child = {
        "index": 0,
        "child_id": child_id,
        "age_min": 12,
        "age_max": 12,
        "gender": "girl",
        "identity": identity,
    }
    fields = {
        "case_number": "2026-1",
        "kind": "runaway",
        "reported_by": caller,
        "disappeared_at": "2026-03-01T12:00:00+01:00",
        "last_seen": {"postal_code": "3000"},
        "children": [child],
        "details": {},
    }
    return Draft(case_stream(case_id), CaseOpened, fields)


def note(case_id: UUID, key_of: UUID, *, sealed: bool) -> Draft:
    """A note, sealed with the key of a case that is there."""
    text = Secret(key_name("case", key_of), TEXT) if sealed else READY
    return Draft(case_stream(case_id), NoteAdded, {"text": text})


async def written(pool: asyncpg.Pool, vault: Vault, draft: Draft, case_id: UUID, version: int) -> None:
    """What intake does with a decision: keys, sealing, one transaction."""
    async with pool.acquire() as connection, connection.transaction():
        await lock_streams(connection, [draft.stream])
        names = key_names([draft])
        keys = await vault.ensure(names) if names else {}
        event: NewEvent = sealed_event(draft, keys)
        await append(connection, [Append(draft.stream, str(case_id), [event], CAUSE, version)])


async def rate(
    pool: asyncpg.Pool, vault: Vault, make: Callable[[UUID], Sequence[Draft]], events: int
) -> float:
    """Events a second of all writers; what `make` gives is the history of one case, each event by itself."""

    async def writer() -> int:
        count = 0
        while count < events // WRITERS:
            case_id = uuid4()
            for version, draft in enumerate(make(case_id)):
                await written(pool, vault, draft, case_id, version)
                count += 1
        return count

    began = time.perf_counter()
    done = sum(await asyncio.gather(*(writer() for _ in range(WRITERS))))
    return done / (time.perf_counter() - began)


def histories(known: UUID, *, sealed: bool) -> dict[str, Callable[[UUID], Sequence[Draft]]]:
    """What is written, by its name in the table; `known` is a case with a key."""

    def opened(case_id: UUID) -> Draft:
        return opening(case_id, uuid4(), sealed=sealed)

    def noted(case_id: UUID, key_of: UUID) -> Draft:
        return note(case_id, key_of, sealed=sealed)

    return {
        "a case opened, two keys made": lambda case_id: [opened(case_id)],
        "a note": lambda case_id: [noted(case_id, known)],
        f"a case opened, then {NOTES} notes": lambda case_id: [
            opened(case_id),
            *(noted(case_id, case_id) for _ in range(NOTES)),
        ],
    }


async def measured(pool: asyncpg.Pool, vault: Vault, events: int, rounds: int) -> dict[str, dict[str, float]]:
    """By what is written: sealed, clear, and their ratio."""
    known = uuid4()
    await vault.ensure([key_name("case", known)])
    found: dict[str, dict[str, float]] = {}
    for name, make_clear in histories(known, sealed=False).items():
        make_sealed = histories(known, sealed=True)[name]
        turns = []
        for number in range(rounds):
            console.print(f"{name}: round {number + 1} of {rounds} …")
            clear = await rate(pool, vault, make_clear, events)
            sealed = await rate(pool, vault, make_sealed, events)
            turns.append({"sealed": sealed, "clear": clear, "ratio": sealed / clear})
        found[name] = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
    return found


async def measure(events: int, rounds: int) -> dict[str, object]:
    """Every figure of one run, on a PostgreSQL of its own."""
    load = psutil.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="zoeklicht-bench-") as folder:
        place = Path(folder)
        with EmbeddedPostgres(place / "postgres", log_file=place / "postgres.log") as server:
            pool = await create_pool(server.dsn("zoeklicht"), size=WRITERS, application="bench")
            keys = await create_pool(server.dsn("vault"), size=WRITERS, application="bench-vault")
            try:
                await migrate(pool, ("services.kernel", "services.eventlog"))
                await migrate(keys, ("services.kernel.vault",))
                figures = await measured(pool, Vault(keys, Ring([LocalKey(os.urandom(32))])), events, rounds)
            finally:
                await pool.close()
                await keys.close()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GiB, {platform.machine()}",
        "load_before": round(load, 1),
        "rates": figures,
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=4000, help="events of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--out", type=Path, default=ROOT / "bench" / "results", help="the folder for the results"
    )
    wish = parser.parse_args()
    result = asyncio.run(measure(wish.events, wish.rounds))
    shown = Table(title=f"sealing on {result['machine']}, {result['at']}")
    for column in ("written", "sealed", "clear", "sealed : clear", "goal"):
        shown.add_column(column, justify="left" if column == "written" else "right")
    for name, one in result["rates"].items():
        shown.add_row(
            name, f"{one['sealed']:.0f}/s", f"{one['clear']:.0f}/s", f"{one['ratio']:.2f}", f"≥ {GOAL}"
        )
    console.print(shown)
    wish.out.mkdir(parents=True, exist_ok=True)
    (wish.out / "sealing.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
