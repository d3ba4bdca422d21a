"""An upgrade in steps: the schema of the next release comes first, and the processes of this one go on with it."""

import asyncio
import subprocess

import asyncpg
from installation import CASE, COMMAND, HELPERS, displays, register, release

from services.cli.place import Place

TABLES = """
    select format('%I.%I', n.nspname, c.relname) as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and not c.relispartition
        and n.nspname in ('kernel', 'eventlog', 'intake', 'criteria', 'dispatch', 'projections', 'volunteers')
"""
"""What migrations may change. A read model is no part of it: a changed one is built beside the one that is shown."""


async def expand(url: str) -> int:
    """Does to every table what a migration of the next release may do while this one works; returns to how many."""
    connection = await asyncpg.connect(url)
    try:
        names = [row["name"] for row in await connection.fetch(TABLES)]
        for number, name in enumerate(names):
            # A short wait for the lock, and again: whoever waits longer for it holds up everybody behind it.
            for _ in range(100):
                try:
                    async with connection.transaction():
                        await connection.execute("set local lock_timeout = '200ms'")
                        await connection.execute(
                            f"alter table {name} add column next_release text not null default 'added'"
                        )
                        await connection.execute(
                            f"create index next_release_{number} on {name} (next_release)"
                        )
                    break
                except asyncpg.LockNotAvailableError:
                    await asyncio.sleep(0.05)
            else:
                raise AssertionError(f"{name} was never free")
        await connection.execute("create table dispatch.next_release (only_one int primary key)")
        await connection.execute(
            "insert into public.migration (owner, name, digest) values ('services.dispatch', '9999_next.sql', 'x')"
        )
        return len(names)
    finally:
        await connection.close()


async def one_case(site, server) -> None:
    """A case from its first call to dark displays and figures."""
    case = await site.post("/v1/cases", CASE)
    path = f"/v1/cases/{case['case_id']}"
    await site.eventually(path, lambda found: found["worrying"])
    await release(site, case["case_id"])
    shows = [partner for name, partner in server.partners.items() if name.startswith("display")]
    lit = lambda: sum(len(partner.shows) for partner in shows)  # noqa: E731
    await server.until(lambda: lit() == len(shows))
    await site.post(
        f"{path}/events",
        {"type": "child_located", "child": 0, "outcome": "found_safe", "at": "2026-03-04T20:00:00+01:00"},
    )
    outcomes = [{"child": 0, "outcome": "found_safe"}]
    await site.post(f"{path}/events", {"type": "closed", "outcomes": outcomes})
    await server.until(lambda: lit() == 0)
    await site.eventually(
        f"/v1/cases?q={case['case_number']}", lambda found: found["items"][0]["state"] == "closed"
    )


async def test_processes_of_this_release_work_on_the_schema_of_the_next(fresh, partners):
    """While they run, and started anew: every table has a column more, and a step that they do not know was applied."""
    await register(fresh, partners, displays(3) | HELPERS)
    await one_case(fresh, partners)
    url = Place(fresh.folder).running().database_url
    assert await expand(url) > 30
    await one_case(fresh, partners)
    for name in ("relay", "criteria", "dispatch", "projections"):
        (await fresh.service(name)).kill()
    await asyncio.sleep(1)
    await fresh.until_ready()
    await one_case(fresh, partners)
    verdict = await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, "verify", "--data", str(fresh.folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
