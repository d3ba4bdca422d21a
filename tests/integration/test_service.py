"""What every process does the same way, over a way to PostgreSQL on which anything may happen."""

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest

from services.kernel.postgres import create_pool
from services.kernel.watchdog import STUCK
from services.web import watch
from services.web.watch import Watch

IDLE = """
from services.kernel import service
async def main(runtime):
    runtime.ready = True
    await runtime.stop.wait()
service.BEAT_S = service.BEAT_WITHIN_S = 0.2
raise SystemExit(service.run_service("intake", main))
"""
STUCK_WORK = """
import asyncio
from services.kernel import service, watchdog
async def main(runtime):
    with runtime.works.doing("a claim", 0.2):
        await asyncio.Event().wait()
watchdog.WorkWatch.__init__.__defaults__ = (0.1, 3, watchdog.end_process)
raise SystemExit(service.run_service("intake", main))
"""


class Way:
    """A TCP proxy before PostgreSQL. What the server closes stays open here; `silent` lets nothing through any more."""

    def __init__(self, target):
        self.target = target
        self.ways = []

    async def serve(self, reader, writer):
        try:
            there, back = await asyncio.open_connection(self.target.hostname, self.target.port)
        except OSError:
            writer.transport.abort()
            return
        way = {"silent": False, "writers": (writer, back)}
        self.ways.append(way)
        await asyncio.gather(self.carry(way, reader, back), self.carry(way, there, writer))

    async def carry(self, way, reader, writer):
        try:
            while data := await reader.read(65536):
                if not way["silent"]:
                    writer.write(data)
        except ConnectionError:
            pass

    def silence(self):
        """Of the connections there are: those that come later work."""
        for way in self.ways:
            way["silent"] = True


@pytest.fixture
async def way(settings):
    found = Way(urlsplit(settings.database_url.get_secret_value()))
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    place = f"{found.target.username}:{found.target.password}@127.0.0.1:{port}"
    found.url = urlunsplit(found.target._replace(netloc=place))
    yield found
    server.close()
    for one in found.ways:
        for writer in one["writers"]:
            writer.transport.abort()


@asynccontextmanager
async def running(script, settings, way):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        env=os.environ
        | {
            "DATABASE_URL": way.url,
            "ZOEKLICHT_VAULT_DATABASE_URL": settings.vault_url,
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "ZOEKLICHT_MASTER_KEY": settings.master_key.get_secret_value(),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.communicate()


async def beaten_again(pool, after=None):
    """The time of a heartbeat later than `after`."""
    async with asyncio.timeout(60):
        while True:
            at = await pool.fetchval("select max(beat_at) from kernel.heartbeat where ready")
            if at is not None and (after is None or at > after):
                return at
            await asyncio.sleep(0.05)


async def test_heartbeats_go_on_after_a_goodbye_whose_end_is_not_noticed(settings, pool, way):
    """PostgreSQL says that it ends a session; a query before the connection ends is no reason to be dead for all others."""
    async with running(IDLE, settings, way) as process:
        await beaten_again(pool)
        ended = await pool.fetch(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where application_name = 'zoeklicht-intake' and datname = current_database()"
        )
        assert ended
        await beaten_again(pool, await pool.fetchval("select clock_timestamp()"))
        assert process.returncode is None


async def test_heartbeats_go_on_when_a_connection_falls_silent(settings, pool, way):
    """A server whose machine lost power says nothing at all: the next heartbeat takes another connection."""
    async with running(IDLE, settings, way) as process:
        await beaten_again(pool)
        way.silence()
        await beaten_again(pool, await pool.fetchval("select clock_timestamp()"))
        assert process.returncode is None


async def test_the_edge_looks_again_when_a_connection_falls_silent(settings, way, monkeypatch):
    """One connection that says nothing does not make the whole system unready: the next look takes another one."""
    monkeypatch.setattr(watch, "_ANSWER_WITHIN_S", 0.2)
    pool = await create_pool(way.url, size=2, application="test-edge")
    edge = Watch(settings, pool)
    looking = asyncio.create_task(edge._watch_database())
    try:
        async with asyncio.timeout(30):
            for harm in (lambda: None, way.silence):
                harm()
                seen = edge.database_at
                while edge.database_at == seen:  # noqa: ASYNC110 - it looks by itself
                    await asyncio.sleep(0.05)
    finally:
        looking.cancel()
        pool.terminate()


async def test_a_service_whose_work_hangs_ends_itself(settings, way):
    """A process that does nothing is worse than a dead one: the supervisor starts only the latter again."""
    async with running(STUCK_WORK, settings, way) as process:
        said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == STUCK
    assert b"a claim did not end, while the database answered" in said


async def test_a_process_that_comes_before_its_migration_waits_for_it(settings, pool, way):
    """It says what is to be done, touches nothing, and goes on by itself once the database has the step."""
    step = "('services.volunteers', (select max(name) from public.migration where owner = 'services.volunteers'))"
    taken = await pool.fetchrow(f"delete from public.migration where (owner, name) = {step} returning *")
    async with running(IDLE, settings, way) as process:
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        assert b"zoeklicht migrate" in line
        assert f'"first":"{taken["owner"]}/{taken["name"]}"'.encode() in line
        assert await pool.fetchval("select count(*) from kernel.heartbeat") == 0
        await pool.execute(
            "insert into public.migration (owner, name, digest) values ($1, $2, $3)",
            taken["owner"],
            taken["name"],
            taken["digest"],
        )
        await beaten_again(pool)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0


async def test_a_process_that_waits_for_a_migration_can_be_stopped(settings, pool, way):
    await pool.execute("drop table public.migration")
    async with running(IDLE, settings, way) as process:
        async with asyncio.timeout(30):
            assert b"zoeklicht migrate" in await process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
