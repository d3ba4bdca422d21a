"""The operations room on this machine: how soon a page is there with 100,000 open cases, and how soon 200 viewers see an event.

A whole installation with all its services, a real Chromium and the viewers share the machine. Prints a table and keeps
the figures in `bench/results/dashboard.json`.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / folder) for folder in ("acceptance", "browser", "integration")]

from browser_ground import LARGE, chromium, launched
from installation import Installation

from services.cli.place import Place
from services.kernel import sessions
from services.kernel.postgres import create_pool

FILL = """
insert into projections.case_list
    (case_id, case_number, kind, is_open, worrying, version, opened_at, postal_code, municipality, mode)
select gen_random_uuid(), 'B-' || n, 'runaway', true, n % 50 = 0, 1, now() - n * interval '1 minute', '3000',
    (array['24062', '11002', '44021', '62063', '21004'])[1 + n % 5], 'actual'
from generate_series(1, $1) n
"""
CASE = {
    "kind": "runaway",
    "reported_by": "parent",
    "disappeared_at": "2026-03-04T17:30:00+01:00",
    "last_seen": {"postal_code": "3000"},
    "children": [{"given_name": "Lou", "date_of_birth": "2016-07-01"}],
}
WATCH = """() => {
  window.arrived = {};
  new MutationObserver(() => {
    for (const one of document.querySelectorAll('.case .number')) {
      arrived[one.textContent.trim()] ??= performance.timeOrigin + performance.now();
    }
  }).observe(document.getElementById('content'), { childList: true, subtree: true });
}"""
console = Console(width=100)


async def viewer(session: aiohttp.ClientSession, token: str, arrived: dict[str, list[float]]) -> None:
    """Reads the stream as a machine does; notes when each case comes first."""
    known: set[str] = set()
    headers = {"Authorization": f"Bearer {token}"}
    async with session.get("/v1/live", headers=headers) as answer:
        async for line in answer.content:
            if line.startswith(b"data: ") and b'"number"' in line:
                now, news = time.time(), json.loads(line[6:])
                cases = {value["number"] for key, value in news["put"].items() if key.startswith("case/")}
                for number in cases - known if not news["whole"] else ():
                    arrived.setdefault(number, []).append(now)
                known |= cases


async def page_of(browser: Any, site: Installation, pool: Any) -> Any:
    """A signed-in browser of its own, with nothing kept from before."""
    async with pool.acquire() as connection:
        cookie = await sessions.begin(connection, "bench", "coordinator")
    context = await browser.new_context(base_url=site.url, viewport=LARGE)
    await context.add_cookies([{"name": "zoeklicht", "value": cookie, "url": site.url}])
    return await context.new_page()


async def first_paint(browser: Any, site: Installation, pool: Any, times: int) -> dict[str, list[float]]:
    """Milliseconds from asking for the page to the first paint, and to all figures shown."""
    found: dict[str, list[float]] = {"first paint": [], "all figures on the page": []}
    for _ in range(times):
        page = await page_of(browser, site, pool)
        await page.goto("/operations")
        await page.locator("html[data-shown*='-']").wait_for()
        paint, shown = await page.evaluate(
            "[performance.getEntriesByName('first-contentful-paint')[0]?.startTime,"
            " performance.getEntriesByName('shown')[0].startTime]"
        )
        found["first paint"].append(paint)
        found["all figures on the page"].append(shown)
        await page.context.close()
    return found


async def news(browser: Any, site: Installation, pool: Any, viewers: int, events: int) -> dict[str, Any]:
    """Milliseconds from the answer to an operator to each viewer's stream, and to the screen of one browser."""
    arrived: dict[str, list[float]] = {}
    web = await site.service("web")
    before = web.memory_info().rss
    session = aiohttp.ClientSession(
        site.url, connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(), read_bufsize=2**20
    )
    watching = [asyncio.create_task(viewer(session, site.tokens["viewer"], arrived)) for _ in range(viewers)]
    page = await page_of(browser, site, pool)
    await page.goto("/operations")
    await page.locator("html[data-shown*='-']").wait_for()
    await page.evaluate(WATCH)
    await asyncio.sleep(3)
    used = sum(web.cpu_times()[:2])
    await asyncio.sleep(10)
    idle = (sum(web.cpu_times()[:2]) - used) / 10
    posted: dict[str, float] = {}
    for _ in range(events):
        _, answer, _ = await site.call("POST", "/v1/cases", "operator", CASE, expect=201)
        posted[answer["case_number"]] = time.time()
        await asyncio.sleep(1)
    await asyncio.sleep(3)
    screen = await page.evaluate("arrived")
    after = web.memory_info().rss
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    await session.close()
    lost = sum(len(arrived.get(number, ())) < viewers for number in posted)
    return {
        "stream": [(at - posted[n]) * 1000 for n in posted for at in arrived.get(n, ())],
        "screen": [screen[n] - posted[n] * 1000 for n in posted if n in screen],
        "events not seen by everybody": lost,
        "web, share of a core at rest": round(idle, 3),
        "web, MB for each viewer": round((after - before) / viewers / 1e6, 3),
    }


def quantiles(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile and worst, in milliseconds."""
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return {"p50": round(statistics.median(ordered)), "p99": round(p99), "max": round(ordered[-1])}


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, in one run."""
    path = chromium()
    if path is None:
        raise SystemExit("install chromium: pages are measured in a real browser")
    with tempfile.TemporaryDirectory(prefix="zoeklicht-bench-") as folder:
        site = Installation(Path(folder) / "data")
        await site.start()
        running = Place(site.folder).running()
        if running is None:
            raise SystemExit("the installation did not say where its database is")
        pool = await create_pool(running.database_url, size=2, application="bench")
        try:
            await pool.execute(FILL, options.cases)
            await pool.execute("analyze")
            async with launched(path) as browser:
                paints = await first_paint(browser, site, pool, options.loads)
                seen = await news(browser, site, pool, options.viewers, options.events)
        finally:
            await pool.close()
            await site.stop()
    return {
        "cases": options.cases,
        "viewers": options.viewers,
        "ms": {
            **{name: quantiles(values) for name, values in paints.items()},
            "event in a viewer's stream": quantiles(seen.pop("stream")),
            "event on the screen": quantiles(seen.pop("screen")),
        },
        **seen,
        "machine": f"{os.cpu_count()} cores, load {psutil.getloadavg()[0]:.0f}, Python {platform.python_version()}",
    }


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--events", type=int, default=30)
    parser.add_argument("--loads", type=int, default=10)
    found = asyncio.run(measure(parser.parse_args()))
    table = Table(title=f"{found['cases']} open cases, {found['viewers']} viewers; milliseconds")
    for name in ("", "p50", "p99", "max"):
        table.add_column(name, justify="right" if name else "left")
    for name, values in found["ms"].items():
        table.add_row(name, *(str(values[one]) for one in ("p50", "p99", "max")))
    console.print(table)
    for name in found.keys() - {"ms", "cases", "viewers"}:
        console.print(f"{name}: {found[name]}")
    (ROOT / "bench" / "results" / "dashboard.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
