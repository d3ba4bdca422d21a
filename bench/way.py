"""How fast the way of an event is on this machine.

One run of a whole installation: release accepted → the last of 31 partners has answered 200, and end accepted → the last
one is dark, at 1 and at 5 alerts a second; then the event store's appends against the bare insert of the same rows.
Prints a table and keeps the figures in `bench/results/way.json`.
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
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "acceptance"))

from appends import append_rates
from installation import CASE, Installation, consents, register
from partners import PartnerServer

DISPLAYS = 31
console = Console(width=110)


def quantile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def requested(site: Installation) -> str:
    """A campaign that waits for its release."""
    case = await site.post("/v1/cases", {**CASE, "circumstances": []})
    body = {"kind": "public", "areas": ["BE"], "consents": consents()}
    campaign = await site.post(f"/v1/cases/{case['case_id']}/campaigns", body)
    return str(campaign["campaign_id"])


async def paced(work: list[Callable[[], Awaitable[None]]], per_second: float) -> None:
    """Starts one piece of work every 1/per_second, whether or not the earlier ones are done."""
    began = time.monotonic()
    tasks = []
    for number, piece in enumerate(work):
        await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
        tasks.append(asyncio.ensure_future(piece()))
    await asyncio.gather(*tasks)


async def wave(
    site: Installation, server: PartnerServer, rate: float, count: int, displays: int = DISPLAYS
) -> dict[str, float]:
    """`count` campaigns released and then ended at `rate` a second; milliseconds to the last display that answers."""
    campaigns = [await requested(site) for _ in range(count)]
    marks = {name: len(p.arrivals) for name, p in server.partners.items()}
    accepted: dict[str, list[float]] = {"release": [], "end": []}

    def step(path: str, body: dict[str, object], campaign: str) -> Callable[[], Awaitable[None]]:
        async def post() -> None:
            await site.post(f"/v1/campaigns/{campaign}/{path}", body, "coordinator")
            accepted[path].append(time.monotonic())

        return post

    def news(kind: str) -> list[list[float]]:
        found: dict[str, list[float]] = {}
        for name, partner in server.partners.items():
            for arrival in partner.arrivals[marks[name] :]:
                if arrival.type == kind:
                    found.setdefault(arrival.alert_id, []).append(arrival.at)
        return [times for times in found.values() if len(times) == displays]

    figures: dict[str, float] = {}
    for path, kind, body in (
        ("release", "alert.issued", {}),
        ("end", "alert.withdrawn", {"reason": "child_found"}),
    ):
        await paced([step(path, body, c) for c in campaigns], rate)
        await server.until(lambda kind=kind: len(news(kind)) == count, 120)
        last = sorted(max(times) for times in news(kind))
        # Alerts finish in the order of their acceptance but for noise: pairing by rank keeps every wait counted.
        waits = [1000 * (end - start) for start, end in zip(sorted(accepted[path]), last, strict=True)]
        figures |= {f"{path}_p50_ms": quantile(waits, 0.5), f"{path}_p99_ms": quantile(waits, 0.99)}
    return figures


async def measure(seconds: int) -> dict[str, object]:
    """Every figure of one run."""
    result: dict[str, object] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {psutil.virtual_memory().total >> 30} GiB, {platform.machine()}",
        "python": platform.python_version(),
    }
    with tempfile.TemporaryDirectory(prefix="zoeklicht-bench-") as folder:
        site, server = Installation(Path(folder) / "data"), PartnerServer()
        await server.start()
        await site.start("--allow-loopback-partners")
        await site.stop()
        result["warm_start_s"] = await site.start("--allow-loopback-partners")
        try:
            await register(site, server, {f"display-{n:02d}": {} for n in range(DISPLAYS)})
            await wave(site, server, 2, 6)
            for rate in (1, 5):
                console.print(f"releasing and ending {rate * seconds} campaigns at {rate}/s …")
                result[f"at_{rate}_per_s"] = await wave(site, server, rate, rate * seconds)
            result["resident_mb"] = (
                sum(p.memory_info().rss for p in [psutil.Process(site.process.pid), *site.members()]) / 1e6
            )
            result["proportional_mb"] = (
                sum(p.memory_full_info().pss for p in [psutil.Process(site.process.pid), *site.members()])
                / 1e6
            )
        finally:
            await site.stop()
            await server.stop()
        result["append"] = await append_rates(Path(folder))
    return result


def table(result: dict[str, object]) -> Table:
    """The figures for a person."""
    shown = Table(title=f"{result['machine']}, {result['at']}")
    for name in ("figure", "p50", "p99"):
        shown.add_column(name, justify="left" if name == "figure" else "right")
    for rate in (1, 5):
        figures = result[f"at_{rate}_per_s"]
        for path, text in (
            ("release", "release accepted → last of 31 answered"),
            ("end", "end accepted → last of 31 dark"),
        ):
            shown.add_row(
                f"{text}, {rate}/s",
                f"{figures[f'{path}_p50_ms']:.0f} ms",
                f"{figures[f'{path}_p99_ms']:.0f} ms",
            )
    append = result["append"]
    for name, rates in append.items():
        shown.add_row(
            f"append, {name}: store {rates['store']:.0f}/s, bare insert {rates['bare']:.0f}/s",
            f"{rates['ratio']:.2f}",
            "",
        )
    shown.add_row("warm start → readyz", f"{result['warm_start_s']:.1f} s", "")
    shown.add_row(
        "memory, resident / proportional",
        f"{result['resident_mb']:.0f} / {result['proportional_mb']:.0f} MB",
        "",
    )
    return shown


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="how long to release at each rate")
    result = asyncio.run(measure(parser.parse_args().seconds))
    console.print(table(result))
    out = ROOT / "bench" / "results" / "way.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    console.print(f"kept in {out.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
