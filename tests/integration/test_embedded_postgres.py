"""The embedded PostgreSQL: data and address survive every kind of end, and one owner has one server."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import asyncpg
import psutil
import pytest

from services.kernel.embedded import EmbeddedError, EmbeddedPostgres
from services.kernel.embedded.process import PORT_PATIENCE_S

# A name that properties files, lists and shells are known to trip over.
FOLDER = "été, postgres #1"


@pytest.fixture
def server(tmp_path):
    made = EmbeddedPostgres(tmp_path / FOLDER, log_file=tmp_path / "postgres.log", fsync=False)
    yield made
    made.stop()


async def run(dsn, *statements):
    """Run statements on a fresh connection; give the first value of the last one."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


async def leave_a_row(dsn):
    await run(dsn, "CREATE TABLE lamp (name text)", "INSERT INTO lamp VALUES ('lit')", "SELECT 1")


async def test_data_and_address_survive_a_restart(server):
    """Both databases exist; what was committed is there after stop and start, at the same address."""
    dsn = server.start()
    await leave_a_row(dsn)
    assert await run(server.dsn("vault"), "SELECT current_database()") == "vault"
    server.stop()
    assert server.pid is None

    assert server.start() == dsn
    assert await run(dsn, "SELECT name FROM lamp") == "lit"


async def test_the_server_promises_what_the_store_needs(tmp_path):
    """By default commits are flushed to disk, and no transaction can hold up the readers for ever."""
    with EmbeddedPostgres(tmp_path / "pg", log_file=tmp_path / "log") as server:
        names = [
            "fsync",
            "synchronous_commit",
            "full_page_writes",
            "data_checksums",
            "jit",
            "listen_addresses",
        ]
        names += ["transaction_timeout", "idle_in_transaction_session_timeout"]
        rows = ", ".join(f"current_setting('{name}')" for name in names)
        got = await run(server.dsn("zoeklicht"), f"SELECT ARRAY[{rows}]")

    assert got == ["on", "on", "on", "on", "off", "127.0.0.1", "1min", "30s"]


async def test_only_who_can_read_the_password_file_gets_in(server, tmp_path):
    """The password is random, readable by its owner alone, and asked for."""
    dsn = server.start()
    password_file = tmp_path / FOLDER / "password"
    password = password_file.read_text().strip()

    assert password_file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(dsn.replace(password, "guess"))


async def test_the_log_holds_no_values(server, tmp_path):
    """A statement that fails leaves its reason in the log, never the values it was about."""
    dsn = server.start()
    with pytest.raises(asyncpg.UniqueViolationError):
        await run(
            dsn,
            "CREATE TABLE child (name text PRIMARY KEY)",
            "INSERT INTO child VALUES ('Lou Voorbeeld')",
            "INSERT INTO child VALUES ('Lou Voorbeeld')",
        )
    log = (tmp_path / "postgres.log").read_text()

    assert "duplicate key" in log
    assert "Voorbeeld" not in log


async def test_after_kill_9_the_next_start_has_everything_committed(server):
    """A killed server is started again by the same call, and recovers."""
    dsn = server.start()
    await leave_a_row(dsn)
    killed = server.pid
    os.kill(killed, signal.SIGKILL)
    server._process.wait()

    assert server.start() == dsn
    assert server.pid != killed
    assert await run(dsn, "SELECT name FROM lamp") == "lit"


def killed_with_its_port_taken(server):
    dsn = server.start()
    os.kill(server.pid, signal.SIGKILL)
    server._process.wait()
    return dsn, socket.create_server(("127.0.0.1", int(dsn.rpartition(":")[2].partition("/")[0])))


def test_a_server_that_comes_back_waits_for_its_port(server):
    """Its clients know no other address: it does not move as soon as at a first start."""
    dsn, stranger = killed_with_its_port_taken(server)
    with ThreadPoolExecutor() as threads, stranger:
        back = threads.submit(server.start)
        _, waiting = wait([back], PORT_PATIENCE_S + 1)
        assert waiting
        stranger.close()
        assert back.result(60) == dsn


def test_a_server_that_is_stopped_while_it_waits_for_its_port_is_not_started(server):
    """Whoever started it has gone meanwhile: nobody would end it."""
    _, stranger = killed_with_its_port_taken(server)
    with ThreadPoolExecutor() as threads, stranger:
        back = threads.submit(server.start)
        _, waiting = wait([back], 0.5)
        assert waiting
        server.stop()
        stranger.close()
        with pytest.raises(EmbeddedError, match="was stopped"):
            back.result(60)
    assert server.pid is None


def test_a_stale_pid_file_whose_number_now_belongs_to_a_stranger_is_no_obstacle(server, tmp_path):
    """After a crash the old number may be anybody's; that process stays alive, and the server starts."""
    dsn = server.start()
    pid_file = tmp_path / FOLDER / "cluster" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    owner = pid_file.parent.stat()
    as_owner = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    with subprocess.Popen(["/bin/sleep", "60"], **as_owner) as stranger:
        try:
            pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
            os.chown(pid_file, owner.st_uid, owner.st_gid)

            assert server.start() == dsn
            assert stranger.poll() is None
        finally:
            stranger.kill()


async def test_a_taken_port_moves_the_server_not_the_data(server):
    """When somebody else took the port in the meantime, the server answers elsewhere, with its data."""
    dsn = server.start()
    await leave_a_row(dsn)
    server.stop()
    port = int(dsn.rpartition(":")[2].partition("/")[0])
    with socket.create_server(("127.0.0.1", port)):
        moved = server.start()

        assert moved != dsn
        assert await run(moved, "SELECT name FROM lamp") == "lit"


OWNER = """
import sys
from pathlib import Path
from services.kernel.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), log_file=Path(sys.argv[2]), fsync=False)
server.start()
print(server.pid, flush=True)
sys.stdin.read()
server.stop()
"""


def other_owner(tmp_path):
    command = [sys.executable, "-c", OWNER, str(tmp_path / FOLDER), str(tmp_path / "postgres.log")]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


async def test_the_server_of_a_killed_owner_is_ended_before_a_new_one_starts(server, tmp_path):
    """An owner killed by -9 leaves its server running; the next start ends it and takes over."""
    with other_owner(tmp_path) as owner:
        left = int(owner.stdout.readline())
        await leave_a_row(server.dsn("zoeklicht"))
        assert server.attach() == server.dsn("zoeklicht")
        with pytest.raises(EmbeddedError, match="in use by another running process"):
            server.start()
        owner.kill()
    assert psutil.pid_exists(left)

    dsn = server.start()

    assert not psutil.pid_exists(left)
    assert await run(dsn, "SELECT name FROM lamp") == "lit"


def test_the_server_does_not_hear_the_terminals_ctrl_c(server):
    """It leads a session of its own, so that its owner alone decides when it ends."""
    server.start()

    assert os.getsid(server.pid) == server.pid != os.getsid(0)


def test_a_server_that_cannot_start_says_where_to_look_and_leaves_nothing_behind(server, tmp_path):
    """A broken cluster gives one line with the log's place and the way out, and no process."""
    server.start()
    server.stop()
    (tmp_path / FOLDER / "cluster" / "global" / "pg_control").unlink()

    with pytest.raises(EmbeddedError) as caught:
        server.start()

    assert "\n" not in str(caught.value)
    assert str(tmp_path / "postgres.log") in str(caught.value)
    assert "pg_control" in str(caught.value)
    assert "DATABASE_URL" in str(caught.value)
    assert server.pid is None
    assert server.attach() is None


def test_half_a_first_start_is_begun_anew(server, tmp_path):
    """A first start that was cut off leaves a draft, which the next start throws away."""
    draft = tmp_path / FOLDER / "cluster.new"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")

    server.start()

    assert not draft.exists()


def test_an_address_of_a_folder_without_server_is_refused(tmp_path):
    """Asking for an address before the first start says to start first."""
    server = EmbeddedPostgres(Path(tmp_path / "empty"), log_file=tmp_path / "log")

    assert server.attach() is None
    with pytest.raises(EmbeddedError, match="start it first"):
        server.dsn("zoeklicht")
