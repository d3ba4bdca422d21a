"""Real processes build read models and are killed in the middle of it; real commands show, swap and mend them."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from projections_ground import BRUSSELS, ends, live, relay_all
from projections_log import fill

from services.eventlog import relay
from services.eventlog.relay import Point
from services.kernel.paging import open_pages
from services.kernel.settings import Settings
from services.projections import versions
from services.projections.building import Builder
from services.projections.comparison import compare
from services.projections.engine import Engine
from services.projections.models.annual import Annual
from services.projections.models.case_list import CaseList
from services.projections.registry import PROJECTIONS
from services.projections.reports import annual
from services.projections.status import status

WITHIN_S = 90
EVENTS = 3000


@dataclass
class Machine:
    """Processes and commands of one installation."""

    settings: Settings
    kept: list["Kept"] = field(default_factory=list)

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        """A process of `zoeklicht`."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ZOEKLICHT_")}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.cli.main", *words,
            env=clean | {
                "DATABASE_URL": self.settings.database_url.get_secret_value(),
                "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers,
                "ZOEKLICHT_MASTER_KEY": self.settings.master_key.get_secret_value(),
                "ZOEKLICHT_TOPIC_PREFIX": self.settings.topic_prefix,
                "ZOEKLICHT_LOG_LEVEL": "warning",
                "COLUMNS": "200",
            },
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    def keep(self, service: str) -> "Kept":
        """A service that is started again when it ends by itself, as the supervisor does."""
        self.kept.append(Kept(self, service))
        return self.kept[-1]

    async def run(self, *words: str) -> tuple[int, str, str]:
        """A command: its exit code, what it wrote, and what it complained of."""
        process = await self.start(*words)
        output, errors = await asyncio.wait_for(process.communicate(), WITHIN_S)
        return process.returncode or 0, output.decode(), errors.decode()


class Kept:
    """A service under watch."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.process: asyncio.subprocess.Process | None = None
        self.wanted = True
        self.task = asyncio.create_task(self._keep(machine, name))

    async def _keep(self, machine: Machine, name: str) -> None:
        while self.wanted:
            self.process = await machine.start(name)
            await self.process.communicate()

    async def end(self, how: signal.Signals) -> None:
        """Ends it, and for good."""
        self.wanted = False
        if self.process and self.process.returncode is None:
            self.process.send_signal(how)
        await asyncio.wait_for(self.task, WITHIN_S)


@pytest.fixture
async def machine(settings_with_kafka):
    found = Machine(settings_with_kafka)
    yield found
    for service in found.kept:
        await service.end(signal.SIGTERM)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await condition():  # noqa: ASYNC110 - what other processes do sets no event here
            await asyncio.sleep(0.05)


@asynccontextmanager
async def stuck_in(pool, table: str):
    """Whoever writes to a table waits in the middle of its transaction; yields what waits until somebody does."""
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(f"lock table {table} in share mode")
        try:
            yield lambda: until(_somebody_waits(pool, table))
        finally:
            await transaction.rollback()


def _somebody_waits(pool, table: str):
    async def condition() -> bool:
        return bool(
            await pool.fetchval(
                "select count(*) from pg_locks where relation = $1::text::regclass and not granted", table
            )
        )

    return condition


def level(settings: Settings, pool, projections=PROJECTIONS):
    """Every version has everything that Kafka and the store have."""

    async def condition() -> bool:
        states = await versions.every(pool)
        found = await status(pool, await ends(settings), projections)
        return all(state.built_at for state in states) and not any(one.lag for one in found)

    return condition


async def built_without_a_kill(pool) -> versions.State:
    """A version built here, in one go."""
    version = await versions.add(pool, Annual())
    async with pool.acquire() as reader, pool.acquire() as connection:
        builder = Builder(reader, connection, version, Engine(connection, version))
        await builder.run(Point(), asyncio.Event())
    return await versions.state_of(pool, version.name, version.number)


async def test_figures_are_equal_after_kills_while_projecting_building_and_swapping(machine, pool):
    """Killed in the middle of a transaction each time; what follows does it once, and readers never miss anything."""
    settings = machine.settings
    await fill(pool, EVENTS)
    await relay_all(settings)
    first = await live(pool, Annual())

    async with stuck_in(pool, f"{first.schema}.annual_outcome") as somebody_waits:
        service = machine.keep("projections")
        await somebody_waits()
        await service.end(signal.SIGKILL)
    service = machine.keep("projections")
    await until(level(settings, pool))
    expected = await annual(pool, BRUSSELS, 2019)
    assert expected["new_cases"]["total"] > EVENTS / 25

    second = await versions.add(pool, Annual())
    async with stuck_in(pool, f"{second.schema}.annual_outcome") as somebody_waits:
        await somebody_waits()
        await service.end(signal.SIGKILL)
    assert (await versions.state_of(pool, "annual", second.number)).built_at is None
    machine.keep("projections")
    await until(level(settings, pool))
    assert (await versions.state_of(pool, "annual", second.number)).built_at is not None

    async with stuck_in(pool, "projections.version") as somebody_waits:
        swapping = await machine.start("projections", "swap", "annual")
        await somebody_waits()
        swapping.kill()
        await swapping.communicate()
        assert await annual(pool, BRUSSELS, 2019) == expected
    code, output, errors = await machine.run("projections", "swap", "annual")
    assert (code, errors) == (0, "")
    assert f"readers see {second.label}" in output
    assert await annual(pool, BRUSSELS, 2019) == expected

    reference = await built_without_a_kill(pool)
    for number in (first.number, second.number):
        found = await compare(pool, await versions.state_of(pool, "annual", number), reference, PROJECTIONS)
        assert found.equal
        assert found.rows > EVENTS / 2


async def test_commands_show_mend_rebuild_swap_and_drop(machine, pool):
    """A read model is broken, mended and built anew while the others go on, all by commands, in plain lines."""
    settings = machine.settings
    await fill(pool, EVENTS)
    machine.keep("relay")
    machine.keep("projections")
    await pool.execute("alter table projections_case_list_v1.case_list rename column kind to kinds")

    async def paged() -> bool:
        return bool(await open_pages(pool))

    await until(paged)
    code, output, _ = await machine.run("projections", "status", "--format", "json")
    found = {one["name"]: one for one in json.loads(output)}
    assert code == 1
    assert found["case_list"]["state"] == "stopped"
    assert "UndefinedColumnError" in found["case_list"]["stopped"]
    assert found["annual"]["stopped"] is None
    code, _, errors = await machine.run("projections", "swap", "case_list")
    assert (code, "no version beside case_list.v1" in errors) == (1, True)

    await pool.execute("alter table projections_case_list_v1.case_list rename column kinds to kind")
    assert (await machine.run("projections", "resume", "case_list.v1"))[0] == 0

    async def everything() -> bool:
        return await relay.position(pool) == await relay.head(pool) and await level(settings, pool)()

    await until(everything)
    assert not await open_pages(pool)
    cases = await pool.fetchval("select count(*) from projections.case_list")
    await pool.execute("delete from projections_case_list_v1.case_list where case_number like '%7'")
    code, output, errors = await machine.run("projections", "rebuild", "case_list", "--swap")
    assert code == 1
    assert "case_list.v2 differs from case_list.v1" in errors
    assert "case_list.v2 follows" in errors
    code, output, _ = await machine.run("projections", "compare", "case_list")
    assert code == 1
    assert "0 rows only in case_list.v1" in output
    code, output, _ = await machine.run("projections", "swap", "case_list", "--force")
    assert code == 0
    assert await pool.fetchval("select count(*) from projections.case_list") == cases
    code, output, _ = await machine.run("projections", "list", "--format", "json")
    assert {one["projection"]: one["version"] for one in json.loads(output) if one["live"]}["case_list"] == 2
    assert (await machine.run("projections", "drop", "case_list.v1"))[0] == 0
    code, output, _ = await machine.run("projections", "status")
    assert code == 0
    assert "case_list.v1" not in output
    assert (await live(pool, CaseList())).number == 2
