"""Each role of the database can do its work and nothing beside it: `zoeklicht migrate --roles` on a real PostgreSQL."""

import asyncio
import os
import secrets
import sys
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from criteria_ground import case_id, opened
from criteria_log import tell

from services.cli import upkeep
from services.cli.database import OPENING_USERS, SERVICE_USERS, grant_roles
from services.kernel.postgres import DatabaseRefusedError, connect

ONLY_OPEN = {"sender", "auditor"}
"""They erase nobody, so they destroy no key."""
PASSWORD = secrets.token_urlsafe(12)


def user_of(role):
    return f"zl_{os.getpid()}_{role}"


def as_user(url, role):
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user_of(role)}:{PASSWORD}@{parts.hostname}:{parts.port}"))


@pytest.fixture
async def users(settings, pool):
    """A user in each role; users belong to the server, so they are removed again."""
    await grant_roles(settings)
    for role in SERVICE_USERS:
        await pool.execute(
            f"create role {user_of(role)} login password '{PASSWORD}' in role zoeklicht_{role}"
        )
    yield settings
    for role in SERVICE_USERS:
        await pool.execute(f"drop role {user_of(role)}")


FORBIDDEN = {
    "relay": [
        "insert into eventlog.events default values",
        "update eventlog.epoch set current = 7",
        "select from intake.case_open",
        "select from kernel.token",
        "select from dispatch.recipient",
        "select from volunteers.person",
        "select from criteria.case_state",
        "select from projections.case_list",
    ],
    "criteria": [
        "update eventlog.events set actor = 'nobody'",
        "update eventlog.relay_checkpoint set clean_stop = true",
        "select from intake.photo",
        "select from kernel.session",
        "select from kernel.audit",
        "select from dispatch.recipient",
        "select from volunteers.person",
        "select from projections.case_list",
    ],
    "projections": [
        "insert into eventlog.events default values",
        "select from intake.blind_index",
        "select from kernel.token",
        "select from kernel.audit",
        "select from dispatch.recipient",
        "select from volunteers.person",
        "update criteria.rules set version = ''",
    ],
    "intake": [
        "update eventlog.events set actor = 'nobody'",
        "update kernel.audit set role = 'nobody'",
        "update eventlog.relay_checkpoint set clean_stop = true",
        "select from kernel.token",
        "select from kernel.duty",
        "select from dispatch.recipient",
        "select from volunteers.person",
        "select from criteria.case_state",
        "select from projections.case_list",
    ],
    "dispatch": [
        "select from intake.photo",
        "select from intake.blind_index",
        "select from kernel.token",
        "select from kernel.audit",
        "insert into eventlog.stop default values",
        "select from volunteers.person",
        "select from projections.case_list",
    ],
    "sender": [
        "select from intake.photo",
        "select from kernel.token",
        "select from kernel.erasure",
        "insert into eventlog.stop default values",
        "select from volunteers.person",
        "select from criteria.case_state",
    ],
    "volunteers": [
        "select from intake.photo",
        "select from kernel.token",
        "select from kernel.audit",
        "insert into eventlog.stop default values",
        "select from dispatch.recipient",
        "select from criteria.case_state",
    ],
    "auditor": [
        "insert into eventlog.events default values",
        "insert into eventlog.stop default values",
        "update kernel.audit set role = 'nobody'",
        "insert into kernel.duty default values",
        "select from intake.photo",
        "select from kernel.token",
        "select from volunteers.person",
    ],
    "web": [
        "update kernel.audit set role = 'nobody'",
        "delete from kernel.audit",
        "alter table kernel.audit disable trigger append_only",
        "create or replace function kernel.refuse_change() returns trigger language plpgsql as 'begin return new; end'",
        "update eventlog.relay_checkpoint set clean_stop = true",
        "update eventlog.epoch set current = 7",
        "delete from projections.case_list",
        "drop table intake.photo",
        "alter table intake.photo add more text",
    ],
}
NOBODY = [
    "update eventlog.events set actor = 'nobody'",
    "delete from eventlog.events",
    "truncate eventlog.events",
    "alter table eventlog.events disable trigger append_only",
    "drop schema eventlog cascade",
    "create schema mine",
    "create table public.mine ()",
    "create role zl_mine",
    "insert into public.migration (owner, name, digest) values ('a', 'b', 'c')",
    "select pg_read_file('/etc/passwd')",
    "copy kernel.heartbeat to program 'true'",
]


@pytest.mark.parametrize("role", SERVICE_USERS)
async def test_a_role_may_not_do_what_is_not_its_work(users, role):
    """Refused for want of the right, before anything else about the statement is looked at."""
    connection = await connect(as_user(users.database_url.get_secret_value(), role), application="test")
    try:
        for statement in FORBIDDEN[role] + NOBODY:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
                pytest.fail(f"{role} may: {statement}")
    finally:
        await connection.close()


@pytest.mark.parametrize("role", SERVICE_USERS)
async def test_the_keys_are_for_who_opens_data(users, role):
    """The others cannot even connect; and nobody removes a key."""
    url = as_user(users.vault_url, role)
    if role not in OPENING_USERS:
        with pytest.raises(DatabaseRefusedError, match="does not let us in"):
            await connect(url, application="test")
        return
    connection = await connect(url, application="test")
    try:
        await connection.execute("select from key")
        if role in ONLY_OPEN:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("update key set wrapped = null, destroyed_at = now()")
        for statement in (
            "delete from key",
            "truncate key",
            "drop table key",
            "select from public.migration",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_the_command_covers_what_is_new(users, pool, monkeypatch, tmp_path, capsys):
    """`zoeklicht migrate --roles` again, after a migration made another table."""
    monkeypatch.setenv("DATABASE_URL", users.database_url.get_secret_value())
    monkeypatch.setenv("ZOEKLICHT_VAULT_DATABASE_URL", users.vault_url)
    monkeypatch.setenv("ZOEKLICHT_MASTER_KEY", users.master_key.get_secret_value())
    await pool.execute("create table intake.lamp ()")
    asked = f"select has_table_privilege('{user_of('intake')}', 'intake.lamp', 'insert')"
    assert not await pool.fetchval(asked)
    await upkeep.migrate(tmp_path, new_epoch=False, roles=True)
    assert await pool.fetchval(asked)
    assert "docs/database-roles.md" in capsys.readouterr().out


@asynccontextmanager
async def at_work(settings, *names):
    """Processes, each as the user of its own role."""
    processes = []
    for name in names:
        environment = {
            "DATABASE_URL": as_user(settings.database_url.get_secret_value(), name),
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "ZOEKLICHT_MASTER_KEY": settings.master_key.get_secret_value(),
            "ZOEKLICHT_TOPIC_PREFIX": settings.topic_prefix,
            "ZOEKLICHT_LOG_LEVEL": "warning",
        }
        command = [sys.executable, "-m", "services.cli.service", name]
        processes.append(
            await asyncio.create_subprocess_exec(
                *command,
                env=os.environ | environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        )
    said = []
    try:
        yield said
    finally:
        for process in processes:
            if process.returncode is None:
                process.terminate()
        ends = [await asyncio.wait_for(process.communicate(), 60) for process in processes]
        said += [output.decode() for output, _ in ends]


async def test_those_who_open_nothing_do_their_work_with_their_own_rights(settings_with_kafka, users, pool):
    """A case goes from the store through Kafka to its assessment, which comes back and shows in the list of cases."""
    shown = "select from projections.case_list where worrying"
    async with at_work(settings_with_kafka, "relay", "criteria", "projections") as said:
        await tell(pool, case_id(1), opened(5))
        async with asyncio.timeout(120):
            while not await pool.fetch(shown):  # noqa: ASYNC110 - what other processes do sets no event here
                await asyncio.sleep(0.1)
    assert not any("InsufficientPrivilege" in one for one in said), said
