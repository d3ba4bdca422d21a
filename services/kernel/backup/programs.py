"""pg_dump and pg_restore: they know every kind of object and every order in which those depend on each other.

Both put aside the time limits of the server, of the database and of the user by themselves.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from services.kernel.backup.archive import AT_ONCE
from services.kernel.backup.errors import BackupError
from services.kernel.embedded.postgres import programs

_SAID = re.compile(r"^pg_\w+: error: .*$", re.MULTILINE)


def _call(
    folder: Path | None, name: str, url: str, options: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment: a password never stands in a list of processes. Raises BackupError."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    bare = urlunsplit(parts._replace(netloc=f"{parts.username or ''}@{host}" if parts.username else host))
    env = os.environ | {"PGAPPNAME": f"zoeklicht-{name}", "LC_ALL": "C"}
    if parts.password:
        env["PGPASSWORD"] = unquote(parts.password)
    program = (folder or programs()) / name
    if not os.access(program, os.X_OK):
        raise BackupError(
            f"there is no {name} in {program.parent}: name its folder in ZOEKLICHT_POSTGRES_PROGRAMS"
        )
    return [str(program), f"--dbname={bare}", "--no-password", *options], env


def _failed(name: str, errors: bytes) -> BackupError:
    # Only the first line: what follows may repeat a row.
    said = _SAID.search(errors.decode("utf-8", "replace"))
    why = said.group() if said else f"{name} ended without a word"
    return BackupError(
        f"{why}; where the server is newer than the program, or wants TLS, name the folder of its own programs in"
        " ZOEKLICHT_POSTGRES_PROGRAMS"
    )


def dump(url: str, snapshot: str, take: Callable[[bytes], None], folder: Path | None = None) -> None:
    """Writes the database as one snapshot shows it, in pg_dump's custom format, part by part. Raises BackupError.

    Roles and grants belong to a server, and are left to whoever makes the database.
    """
    options = ["--format=custom", f"--snapshot={snapshot}", "--no-owner", "--no-privileges"]
    command, env = _call(folder, "pg_dump", url, options)
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=errors) as process,  # noqa: S603 - ours
    ):
        try:
            while part := process.stdout.read(AT_ONCE):  # type: ignore[union-attr]
                take(part)
        except BaseException:
            process.kill()
            raise
        if process.wait() != 0:
            errors.seek(0)
            raise _failed("pg_dump", errors.read())


def load(url: str, parts: Iterable[bytes], folder: Path | None = None) -> None:
    """Makes what `dump` wrote in an empty database, all of it or nothing. Raises BackupError, and what `parts` raises."""
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    command, env = _call(folder, "pg_restore", url, options)
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 - our own command line, no shell
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors
        ) as process,
    ):
        broken = False
        try:
            for part in parts:
                process.stdin.write(part)  # type: ignore[union-attr]
            process.stdin.close()  # type: ignore[union-attr]
        except BrokenPipeError:
            broken = True
        except BaseException:
            # Before its input ends: half of it must not look like all of it.
            process.kill()
            raise
        if process.wait() != 0 or broken:
            errors.seek(0)
            raise _failed("pg_restore", errors.read())
