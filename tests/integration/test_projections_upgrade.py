"""An installation that has facts of an earlier definition shows its reports all through an upgrade."""

import asyncpg
import pytest
from projections_ground import BRUSSELS, brussels

from services.kernel import migrations
from services.kernel.migrations import migrate
from services.kernel.postgres import create_pool
from services.projections import versions
from services.projections.reports import year_of

BEFORE = "0005_versions.sql"
PACKAGES = ("services.kernel", "services.eventlog", "services.projections")


@pytest.fixture
async def earlier(settings, monkeypatch):
    """A database as the software before left it, with one case of 2021 that is open and one that was closed."""
    url = settings.database_url.get_secret_value()
    name = f"{url.rpartition('/')[2]}_earlier"
    admin = await asyncpg.connect(url)
    await admin.execute(f'create database "{name}" template template0')
    pool = await create_pool(f"{url.rpartition('/')[0]}/{name}", size=4)
    with monkeypatch.context() as patch:
        every = migrations.migrations_of
        patch.setattr(
            migrations, "migrations_of", lambda package: [one for one in every(package) if not _is_later(one)]
        )
        await migrate(pool, PACKAGES)
    for number, month in enumerate((2, 3)):
        await pool.execute(
            "insert into projections.annual_lifecycle (case_id, version, recorded_time, time, what, case_number)"
            " values (gen_random_uuid(), 1, $1, $1, 'opened', $2)", brussels(2021, month, 1), f"2021-{number}",
        )  # fmt: skip
    await pool.execute(
        "insert into projections.annual_nature (case_id, version, recorded_time, kind)"
        " select case_id, 1, recorded_time, 'runaway' from projections.annual_lifecycle"
    )
    await pool.execute(
        "insert into projections.annual_lifecycle (case_id, version, recorded_time, time, what)"
        " select case_id, 2, time, time + interval '1 day', 'closed' from projections.annual_lifecycle"
        " where case_number = '2021-0'"
    )
    await pool.execute(
        "insert into projections.checkpoint values ('annual', 2, 'case-events', 0, 'topic', 'cluster', 3)"
    )
    yield pool
    await pool.close()
    await admin.execute(f'drop database "{name}" with (force)')
    await admin.close()


def _is_later(migration) -> bool:
    return migration.owner == "services.projections" and migration.name > BEFORE


async def test_reports_go_on_while_a_new_definition_is_built(earlier):
    """Facts of before are reported as they are; the new version stands beside, to be built."""
    await migrate(earlier, PACKAGES)
    assert await versions.install(earlier) == ["annual.v3"]
    live = [one.label for one in await versions.every(earlier, "annual") if one.live]
    assert live == ["annual.v2"]
    async with earlier.acquire() as connection:
        found = {year: await year_of(connection, BRUSSELS, year) for year in (2021, 2022)}
    assert found[2021]["new_cases"]["runaway"] == 2
    assert found[2021]["handled"]["total"] == 2
    assert found[2022]["handled"]["total"] == 1
