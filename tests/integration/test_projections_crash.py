"""A database that crashes takes the last batches of a projection back together with their place: they come again."""

import asyncio
import os
import signal

from projections_ground import History, brussels, connected, ends, follow, live, relay_all

from schemas.events import TOPICS
from services.cli.database import migrate_all
from services.kernel.embedded import EmbeddedPostgres
from services.kernel.kafka import create_topics
from services.kernel.postgres import AWAY, create_pool
from services.kernel.settings import load_settings
from services.projections.models.case_list import CaseList
from services.projections.stream import Follower, Watch

CASES, BETWEEN = 60, 20


class Noting(CaseList):
    """The list of cases, which notes how its transactions are committed."""

    def __init__(self) -> None:
        self.committed: set[str] = set()

    async def apply(self, connection, events):
        self.committed.add(await connection.fetchval("show synchronous_commit"))
        await super().apply(connection, events)


async def test_a_crash_of_the_database_loses_nothing(kafka, master_key, tmp_path, monkeypatch):
    """Commits of read models do not wait for the disk; whatever a crash takes of them, it takes their place in Kafka too."""
    monkeypatch.setattr("services.projections.stream.MAX_BATCH", 5)
    server = EmbeddedPostgres(tmp_path / "postgres", log_file=tmp_path / "postgres.log")
    url = server.start()
    settings = load_settings(
        database_url=url,
        vault_database_url=server.dsn("vault"),
        kafka_bootstrap_servers=kafka,
        topic_prefix=f"crash-{os.getpid()}-",
        topic_partitions=3,
        master_key=master_key,
    )
    try:
        await migrate_all(settings)
        await create_topics(settings, TOPICS)
        pool = await create_pool(url, size=2, application="test")
        history = History(pool)
        for number in range(CASES):
            await history.case(f"2021-{number}", brussels(2021, 3, 1 + number % 28))
        await relay_all(settings)
        version = await live(pool, Noting())
        await pool.execute(
            "update projections.version set built_at = clock_timestamp() where built_at is null"
        )
        async with connected(settings) as connection:
            follower, some = Follower(settings, connection, version), asyncio.Event()

            def changed() -> None:
                if sum(follower._engine.positions.values()) >= BETWEEN:
                    some.set()

            running = asyncio.create_task(follower.run(asyncio.Event(), Watch(changed=changed)))
            await some.wait()
            os.kill(server.pid, signal.SIGKILL)
            [ended] = await asyncio.gather(running, return_exceptions=True)
            assert isinstance(ended, AWAY)
        pool.terminate()
        assert version.projection.committed == {"off"}
        server.start()
        pool = await create_pool(url, size=2, application="test")
        placed = await pool.fetchval(
            "select coalesce(sum(next_offset), 0) from projections.checkpoint where projection = 'case_list'"
        )
        assert await pool.fetchval(f"select count(*) from {version.schema}.case_list") == placed
        await follow(settings, Noting(), version.number)
        assert await pool.fetchval(f"select count(*) from {version.schema}.case_list") == CASES
        assert sum((await ends(settings)).values()) == CASES
        await pool.close()
    finally:
        server.stop()
