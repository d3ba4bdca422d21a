"""How the delivery engine does on this machine; each part alone with `--only`.

throughput: one sender process against a bare client that posts the same bytes (ratio, same run). latency: release →
last partner, with none and with three that hang. dark: end → last partner dark while 10,000 deliveries are in back-off.
catchup: a partner that returns after an hour. many: 10,000 partners with 10 alerts each. memory: one process over very many
deliveries, and the claim's time before, after, and after retention. Keeps its figures in `bench/results/delivery.json`.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))

from delivery_ground import BODY, MASTER_KEY, ROOT, Bench, bench, sink
from way import Installation, PartnerServer, register, wave

from services.dispatch.retention import purge
from services.kernel.embedded import EmbeddedPostgres
from services.kernel.postgres import create_pool
from services.kernel.settings import load_settings
from services.kernel.vault import Vault, ring_of

DISPLAYS, HANGING, GOAL_MS, GOAL_S = 31, 3, 250, 60
IN_BACK_OFF = 10_000
LAST_PROBE_S = 45
console = Console(width=110)
Figures = dict[str, float]


def cpu(process: psutil.Process) -> float:
    """CPU seconds of a process so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def throughput(size: int, folder: Path) -> Figures:
    """One process against the ceiling."""
    alerts = max(1, size // DISPLAYS)
    count = alerts * DISPLAYS
    async with bench(folder) as one, sink() as url:
        recipients = await one.recipients(DISPLAYS, url)
        await one.fill(recipients, alerts)
        async with one.senders() as [process]:
            while await one.pending() == count:  # noqa: ASYNC110 - the database is what is asked
                await asyncio.sleep(0.05)
            used, database, done = cpu(process), one.database_cpu(), count - await one.pending()
            seconds = await one.until_done()
            used, database = cpu(process) - used, one.database_cpu() - database
        bare = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "bench" / "bare.py"), url, str(count), str(len(BODY))),
            stdout=asyncio.subprocess.PIPE,
        )
        ceiling = json.loads((await bare.communicate())[0])
    rate, most = (count - done) / seconds, count / ceiling["seconds"]
    per_thousand, least = 1000 * used / (count - done), 1000 * ceiling["cpu"] / count
    return {
        "deliveries_per_s": rate,
        "bare_per_s": most,
        "ratio": rate / most,
        "cpu_s_per_1000": per_thousand,
        "bare_cpu_s_per_1000": least,
        "cpu_ratio": per_thousand / least,
        "database_cpu_s_per_1000": 1000 * database / (count - done),
    }


async def whole(folder: Path, work: Callable[[Installation, PartnerServer], Awaitable[Figures]]) -> Figures:
    """Does it with a whole installation and 31 partners."""
    site, server = Installation(folder / "data"), PartnerServer()
    await server.start()
    try:
        await site.start("--allow-loopback-partners")
        await register(site, server, {f"display-{n:02d}": {} for n in range(DISPLAYS)})
        await wave(site, server, 2, 6)
        return await work(site, server)
    finally:
        await site.stop()
        await server.stop()


async def latency(size: int, folder: Path) -> Figures:
    """5 alerts a second to 31 partners, then with three of them hanging."""

    async def work(site: Installation, server: PartnerServer) -> Figures:
        figures = {f"all_{k}": v for k, v in (await wave(site, server, 5, size)).items()}
        for partner in list(server.partners.values())[:HANGING]:
            partner.hang = True
        hanging = await wave(site, server, 5, size, DISPLAYS - HANGING)
        return figures | {f"hanging_{k}": v for k, v in hanging.items()}

    return await whole(folder, work)


async def dark(size: int, folder: Path) -> Figures:
    """Time to dark beside 10,000 deliveries that wait for partners that are away."""

    async def work(site: Installation, server: PartnerServer) -> Figures:
        postgres = EmbeddedPostgres(site.folder / "postgres", log_file=folder / "unused.log")
        settings = load_settings(
            database_url=postgres.dsn("zoeklicht"),
            kafka_bootstrap_servers="127.0.0.1:1",
            master_key=MASTER_KEY,
        )
        pool = await create_pool(settings.database_url.get_secret_value(), size=2)
        keys = await create_pool(settings.vault_url, size=2)
        one = Bench(pool, Vault(keys, ring_of(settings)), settings, folder)
        # Nobody listens there, and their breakers are open: what they are to get waits.
        away = await one.recipients(100, "http://127.0.0.1:9/hook")
        # Of exercises, so that the bench's own alerts are not for them.
        await pool.execute(
            "update dispatch.recipient set exercise = true where recipient_id = any($1::uuid[])", away
        )
        await pool.execute(
            "insert into dispatch.breaker (recipient_id, failures, total, failed, is_open, probe_at, probe_s)"
            " select r, 5, 5, 5, true, clock_timestamp() + interval '1 hour', 60 from unnest($1::uuid[]) r",
            away,
        )
        await one.fill(away, IN_BACK_OFF // 100, within_s=300, failures=9)
        figures = await wave(site, server, 5, size)
        figures["in_back_off"] = await one.pending()
        await pool.close()
        await keys.close()
        return figures

    return await whole(folder, work)


async def catchup(size: int, folder: Path) -> Figures:
    """A partner that was away for an hour returns right after a probe failed: until it has everything."""
    async with bench(folder) as one, sink() as url:
        [recipient] = await one.recipients(1, url)
        await one.fill([recipient], size, within_s=300, failures=30)
        probe_s = await one.pool.fetchval(
            "insert into dispatch.breaker (recipient_id, failures, total, failed, is_open, probe_at, probe_s)"
            " values ($1, 30, 30, 30, true, clock_timestamp() + make_interval(secs => $2), $2) returning probe_s",
            recipient,
            LAST_PROBE_S,
        )
        async with one.senders():
            seconds = await one.until_done()
    return {"deliveries": size, "longest_wait_for_probe_s": probe_s, "caught_up_s": seconds}


async def many(size: int, folder: Path) -> Figures:
    """`size` partners with 10 alerts each, two sender processes."""
    async with bench(folder) as one, sink() as url:
        recipients = await one.recipients(size, url)
        idle = await one.claim_ms()
        await one.fill(recipients, 10)
        full = await one.claim_ms()
        await one.pool.execute(
            "update dispatch.lane set withdrawal = true where recipient_id < $1", UUID(int=1 << 127)
        )
        withdrawn = await one.claim_ms()
        await one.pool.execute("update dispatch.lane set withdrawal = false where withdrawal")
        async with one.senders(2):
            seconds = await one.until_done()
        return {
            "deliveries": size * 10,
            "deliveries_per_s": size * 10 / seconds,
            "claim_nothing_due_ms": idle,
            "claim_all_due_ms": full,
            "claim_half_withdrawn_ms": withdrawn,
        }


async def memory(size: int, folder: Path) -> Figures:
    """One process over `size` deliveries in ten rounds; then retention."""
    alerts = max(1, size // DISPLAYS // 10)
    async with bench(folder) as one, sink() as url:
        recipients = await one.recipients(DISPLAYS, url)
        first = await one.claim_ms()
        resident = []
        async with one.senders() as [process]:
            for _ in range(10):
                await one.fill(recipients, alerts)
                await one.until_done()
                resident.append(process.memory_info().rss / 1e6)
        full = await one.claim_ms()
        await one.pool.execute("update dispatch.alert set withdrawn = true")
        await purge(one.pool, timedelta(0))
        purged = await one.claim_ms()
    return {
        "deliveries": alerts * DISPLAYS * 10,
        "resident_mb_after_2_of_10": resident[1],
        "resident_mb_after_6_of_10": resident[5],
        "resident_mb_at_end": resident[-1],
        "claim_empty_ms": first,
        "claim_full_tables_ms": full,
        "claim_after_retention_ms": purged,
    }


PARTS: dict[str, tuple[Callable[[int, Path], Awaitable[Figures]], int, int]] = {
    # part, size of a whole run, size of a quick one
    "throughput": (throughput, 20_000, 2_000),
    "latency": (latency, 100, 15),
    "dark": (dark, 100, 15),
    "catchup": (catchup, 500, 100),
    "many": (many, 10_000, 500),
    "memory": (memory, 150_000, 3_000),
}


async def measure(names: list[str], size: int | None, *, quick: bool) -> dict[str, object]:
    """Every part that is asked for, each on servers of its own."""
    result: dict[str, object] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GiB, {platform.machine()}",
        "load": os.getloadavg()[0],
    }
    for name in names:
        part, usual, small = PARTS[name]
        count = size or (small if quick else usual)
        console.print(f"{name}: {part.__doc__} ({count})")
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="zoeklicht-bench-", ignore_cleanup_errors=True) as folder:
            figures = await part(count, Path(folder))
        result[name] = {"size": count, **figures, "took_s": time.monotonic() - began}
    return result


MEANING: dict[str, tuple[str, str, float | None]] = {
    # figure: what it says, unit, what it is not to exceed
    "deliveries_per_s": ("deliveries of the senders", "/s", None),
    "bare_per_s": ("posts of a bare client that stores nothing", "/s", None),
    "ratio": ("senders : bare client", "x", None),
    "cpu_s_per_1000": ("CPU of the sender for 1,000 deliveries", "s", None),
    "bare_cpu_s_per_1000": ("CPU of the bare client for 1,000 posts", "s", None),
    "cpu_ratio": ("CPU, sender : bare client", "x", None),
    "database_cpu_s_per_1000": ("CPU of PostgreSQL for 1,000 deliveries", "s", None),
    "release_p50_ms": ("release accepted → last partner answered, p50", "ms", None),
    "release_p99_ms": ("release accepted → last partner answered, p99", "ms", GOAL_MS),
    "end_p50_ms": ("end accepted → last partner dark, p50", "ms", None),
    "end_p99_ms": ("end accepted → last partner dark, p99", "ms", GOAL_MS),
    "in_back_off": ("deliveries in back-off meanwhile", "", None),
    "deliveries": ("deliveries", "", None),
    "longest_wait_for_probe_s": ("until the probe that finds it back", "s", None),
    "caught_up_s": ("back → has everything", "s", GOAL_S),
    "claim_nothing_due_ms": ("a claim when nothing is due", "ms", None),
    "claim_all_due_ms": ("a claim of 96 when everything is due", "ms", None),
    "claim_half_withdrawn_ms": ("a claim of 128 when half are withdrawals", "ms", None),
    "resident_mb_after_2_of_10": ("memory of the sender after 2 rounds of 10", "MB", None),
    "resident_mb_after_6_of_10": ("memory of the sender after 6 rounds of 10", "MB", None),
    "resident_mb_at_end": ("memory of the sender at the end", "MB", None),
    "claim_empty_ms": ("a claim on empty tables", "ms", None),
    "claim_full_tables_ms": ("a claim on full tables", "ms", None),
    "claim_after_retention_ms": ("a claim after retention", "ms", None),
    "took_s": ("the part took", "s", None),
}
HANGING_TOO = {"all_": "", "hanging_": f", {HANGING} partners hang"}


def meaning(name: str) -> tuple[str, str, float | None]:
    """What a figure says, its unit, and its goal."""
    for prefix, text in HANGING_TOO.items():
        if name.startswith(prefix):
            said, unit, goal = MEANING[name.removeprefix(prefix)]
            return said + text, unit, goal
    return MEANING[name]


def table(result: dict[str, object]) -> Table:
    """The figures for a person; goals that are missed are marked."""
    shown = Table(title=f"{result['machine']}, load {result['load']:.1f}, {result['at']}")
    for column in ("part", "figure", "value", "goal"):
        shown.add_column(column, justify="right" if column in {"value", "goal"} else "left")
    for part in PARTS:
        figures = result.get(part)
        if not isinstance(figures, dict):
            continue
        for name, value in figures.items():
            if name == "size":
                continue
            said, unit, goal = meaning(name)
            digits = 0 if value >= 100 or float(value).is_integer() else 2
            met = "" if goal is None else f"≤ {goal} {unit}{'' if value <= goal else ': missed'}"
            shown.add_row(part, said, f"{value:,.{digits}f} {unit}".strip(), met)
        shown.add_section()
    return shown


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be given again")
    parser.add_argument(
        "--size", type=int, help="of the part: deliveries, alerts or partners; 1000000 for memory"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that it works")
    given = parser.parse_args()
    result = asyncio.run(measure(given.only or list(PARTS), given.size, quick=given.quick))
    console.print(table(result))
    out = ROOT / "bench" / "results" / "delivery.json"
    out.parent.mkdir(exist_ok=True)
    before = json.loads(out.read_text()) if out.exists() and given.only else {}
    out.write_text(json.dumps(before | result, indent=2) + "\n")
    console.print(f"kept in {out.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
