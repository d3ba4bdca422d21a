"""PostgreSQL refuses to run as root: under root it gets an account of its own, and the right to reach its files."""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

_NAME = "pgserver"
_SEARCH = stat.S_IXOTH
_READ = stat.S_IROTH


@dataclass(frozen=True)
class Account:
    """User and group id that the server's processes run with."""

    uid: int
    gid: int


def server_account(cluster: Path) -> Account | None:
    """Choose who runs the server: None (ourselves) when we are not root.

    Under root it is the owner of an existing cluster, so that a folder made by a normal user stays theirs;
    else the account `pgserver`, made when missing; else `nobody`, where no account can be made.
    """
    if os.geteuid() != 0:
        return None
    if cluster.exists() and cluster.stat().st_uid != 0:
        status = cluster.stat()
        return Account(status.st_uid, status.st_gid)
    entry = _find(_NAME) or _make(_NAME) or _find("nobody")
    return None if entry is None else Account(entry.pw_uid, entry.pw_gid)


def _find(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _make(name: str) -> pwd.struct_passwd | None:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        return None
    command = [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
    subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - fixed words only
    return _find(name)


def let_reach(path: Path) -> None:
    """Let other accounts walk through the folders above `path`: search only, so nothing can be listed."""
    for folder in path.absolute().parents:
        _add(folder, _SEARCH)


def let_run(folder: Path) -> None:
    """Let other accounts read and run a program folder that was installed for its owner alone."""
    let_reach(folder)
    if folder.stat().st_mode & (_SEARCH | _READ) == _SEARCH | _READ:
        return
    for entry in [folder, *folder.rglob("*")]:
        runnable = entry.stat().st_mode & stat.S_IXUSR
        _add(entry, _READ | _SEARCH if runnable else _READ)


def _add(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(stat.S_IMODE(mode) | bits)
