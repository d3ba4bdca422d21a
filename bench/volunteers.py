"""How fast people are called and chosen on this machine; each part alone with `--only`.

calling: a call-out to 490 people until the provider has taken each message, by one process, against a bare client that
hands the same number of messages to the same provider in the same run. choosing: the next wave among 100,000 people, by
distance, hours, load and what they bring. Keeps its figures in `bench/results/volunteers.json`.
"""

import argparse
import asyncio
import base64
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integration"))

from volunteers_ground import Ground, another

from services.cli.database import migrate_all
from services.kernel.embedded import EmbeddedPostgres
from services.kernel.postgres import create_pool
from services.kernel.settings import load_settings
from services.kernel.vault import Vault, ring_of
from services.volunteers.callouts import SQL, found, load
from services.volunteers.domain import callout as domain
from services.volunteers.domain.availability import minute_of_week
from services.volunteers.waves import candidates_for

PEOPLE, MANY, BARE_AT_ONCE, RUNS = 490, 100_000, 64, 5
COMMAND = "from services.volunteers.main import main; raise SystemExit(main())"
GOAL_S = 1.0
console = Console(width=110)
Figures = dict[str, float]


@asynccontextmanager
async def ground(folder: Path) -> AsyncIterator[Ground]:
    """An installation with a PostgreSQL of its own, and the provider as a process of its own."""
    with EmbeddedPostgres(folder / "postgres", log_file=folder / "postgres.log") as server:
        provider = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.simulation.text_provider", stdout=asyncio.subprocess.PIPE
        )
        try:
            if provider.stdout is None:
                raise RuntimeError("the provider says nothing")
            url = (await provider.stdout.readline()).decode().strip()
            settings = load_settings(
                database_url=server.dsn("zoeklicht"),
                vault_database_url=server.dsn("vault"),
                kafka_bootstrap_servers="127.0.0.1:9",
                master_key=base64.b64encode(bytes(32)).decode(),
                volunteer_channels="live",
                sms_url=url,
            )
            await migrate_all(settings)
            pool = await create_pool(settings.database_url.get_secret_value(), size=5)
            keys = await create_pool(settings.vault_url, size=5)
            try:
                yield Ground(pool, Vault(keys, ring_of(settings)), settings, None, None)
            finally:
                await pool.close()
                await keys.close()
        finally:
            provider.kill()
            await provider.wait()


def environment(one: Ground) -> dict[str, str]:
    """What the process that calls is told."""
    return os.environ | {
        "DATABASE_URL": one.settings.database_url.get_secret_value(),
        "ZOEKLICHT_VAULT_DATABASE_URL": one.settings.vault_url,
        "KAFKA_BOOTSTRAP_SERVERS": one.settings.kafka_bootstrap_servers,
        "ZOEKLICHT_MASTER_KEY": one.settings.master_key.get_secret_value(),
        "ZOEKLICHT_VOLUNTEER_CHANNELS": "live",
        "ZOEKLICHT_SMS_URL": one.settings.sms_url.get_secret_value(),
    }


async def taken(session: aiohttp.ClientSession, url: str) -> dict[str, float]:
    """When the provider took which message, on the machine's monotonic clock."""
    async with session.get(url) as answer:
        found: dict[str, float] = await answer.json()
        return found


async def calling(folder: Path) -> Figures:
    """From the coordinator's command to the last message that was taken, against the provider's own limit."""
    async with ground(folder) as one, aiohttp.ClientSession() as session:
        url = one.settings.sms_url.get_secret_value()
        await one.people(
            *(another(n, lat=50.9, lon=4.7, channels=[f"sms:+3247{n:07}"]) for n in range(PEOPLE))
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", COMMAND, env=environment(one), stdout=asyncio.subprocess.DEVNULL
        )
        try:
            alive = "select count(*) from kernel.heartbeat where service = 'volunteers'"
            while not await one.pool.fetchval(alive):  # noqa: ASYNC110 - the database is what is asked
                await asyncio.sleep(0.05)
            await asyncio.sleep(3)  # what a process does while it starts is not what is measured
            case = await one.case()
            began = time.monotonic()
            await one.call_out(case, people=PEOPLE // 2, lat=50.9, lon=4.7)
            while len(await taken(session, url)) < PEOPLE:  # noqa: ASYNC110 - another process is what is asked
                await asyncio.sleep(0.05)
            after = sorted(at - began for at in (await taken(session, url)).values())
        finally:
            process.kill()
            await process.wait()
        bare_s = await bare(session, url)
    return {
        "p50_ms": 1000 * after[PEOPLE // 2],
        "p99_ms": 1000 * after[int(PEOPLE * 0.99)],
        "last_ms": 1000 * after[-1],
        "messages_per_s": (PEOPLE - 1) / (after[-1] - after[0]),
        "bare_messages_per_s": PEOPLE / bare_s,
    }


async def bare(session: aiohttp.ClientSession, url: str) -> float:
    """Seconds in which a client that does nothing else hands over as many messages, as many at once."""
    left = iter(range(PEOPLE))
    text = "x" * 160

    async def worker() -> None:
        for number in left:
            body = {"id": f"bare-{number}", "kind": "sms", "to": "+32", "language": "nl", "text": text}
            async with session.post(url, json=body) as answer:
                await answer.read()

    began = time.monotonic()
    await asyncio.gather(*(worker() for _ in range(BARE_AT_ONCE)))
    return time.monotonic() - began


async def choosing(folder: Path) -> Figures:
    """The next wave among very many people: who can be called, the nearest, why the others are left out."""
    async with ground(folder) as one:
        await one.pool.execute(
            "insert into volunteers.person (volunteer_id, exercise, consent, team, languages, skills, car, lat, lon,"
            " radius_km, week, away, profile, profile_event, version, fingerprint)"
            " select gen_random_uuid(), false, random() < 0.98, case when random() < 0.05 then 'mobile' else 'local' end,"
            " case when random() < 0.5 then array['nl'] else array['fr', 'nl'] end, '{}', random() < 0.6,"
            " 36 + random() * 30, -10 + random() * 40, 50,"
            " case when random() < 0.7 then '{[0,10080)}'::int4multirange else '{[0,1)}' end, '{}', '{}',"
            " gen_random_uuid(), 1, sha256(n::text::bytea) from generate_series(1, $1) n",
            MANY,
        )
        await one.pool.execute("analyze volunteers.person")
        callout = await one.call_out(
            await one.case(), people=6, cars=2, languages=["nl", "fr"], lat=50.9, lon=4.7
        )
        seconds = []
        for _ in range(RUNS):
            began = time.monotonic()
            async with one.pool.acquire() as connection:
                state = await load(connection, await found(connection, callout))
                need = state.need
                if need is None:
                    raise RuntimeError("nobody was called out")
                now = await connection.fetchval(SQL["moment"])
                minute = minute_of_week(now.astimezone(one.settings.zone))
                people = await candidates_for(connection, state, need, now, minute)
                rest = await connection.fetch(
                    SQL["left_out"], need.lat, need.lon, False, minute, now, callout
                )
            if not domain.ask(state, people, {r["reason"]: r["people"] for r in rest}):
                raise RuntimeError("nobody was chosen")
            seconds.append(time.monotonic() - began)
    return {"people": MANY, "median_s": sorted(seconds)[RUNS // 2], "worst_s": max(seconds), "goal_s": GOAL_S}


PARTS = {"calling": calling, "choosing": choosing}


async def main() -> None:
    """Measures and keeps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS)
    only = parser.parse_args().only
    measured = {}
    for name, part in PARTS.items():
        if only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                measured[name] = await part(Path(folder))
    table = Table("part", "figure", "value")
    for name, figures in measured.items():
        for figure, value in figures.items():
            table.add_row(name, figure, f"{value:,.2f}")
    console.print(table)
    if only is None:
        machine = {"cores": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version()}
        path = Path(__file__).parent / "results" / "volunteers.json"
        path.write_text(json.dumps({"machine": machine, **measured}, indent=2) + "\n", encoding="utf-8")


asyncio.run(main())
