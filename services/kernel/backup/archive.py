"""The file of a backup: a zip with its content and its manifest, which is authenticated by the master key.

Whoever knows no master key can neither forge a backup nor let old keys live longer. `unzip` and `pg_restore` read it
without this software.
"""

import errno
import hashlib
import hmac
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from pydantic import ValidationError

from services.kernel.backup.errors import BackupError, DamagedBackupError, UnfitBackupError
from services.kernel.backup.manifest import FORMAT, Kind, Manifest
from services.kernel.vault import blind, derive, fingerprint

CONTENT, MANIFEST, SEAL = "content", "manifest.json", "manifest.seal"
AT_ONCE = 1 << 18
"""Bytes of content that are in memory at a time."""
_WHOLE_MOST = 1 << 20
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EISDIR}
_DAMAGED = "this file is damaged or no backup: take another one"


def _seal(master: bytes, manifest: bytes) -> str:
    return blind(derive(master, "backup"), manifest.decode()).hex()


def file_in(folder: Path, kind: Kind, made_at: datetime) -> Path:
    """What a backup is called in a folder of many."""
    return folder / f"zoeklicht-{kind}-{made_at:%Y%m%dT%H%M%SZ}.backup"


class Writer:
    """Takes the content in parts, and the manifest at the end."""

    def __init__(self, file: BinaryIO, master: bytes) -> None:
        self._zip = ZipFile(file, "w", ZIP_STORED)
        self._content = self._zip.open(ZipInfo(CONTENT), "w", force_zip64=True)
        self._digest = hashlib.sha256()
        self._master = master
        self.size = 0

    def write(self, part: bytes) -> None:
        """The next bytes of the content."""
        self._content.write(part)
        self._digest.update(part)
        self.size += len(part)

    def finish(self, manifest: Manifest) -> Manifest:
        """Ends the file with its manifest, to which it adds the figures of the content."""
        self._content.close()
        whole = manifest.model_copy(update={"digest": self._digest.hexdigest(), "size": self.size})
        text = whole.model_dump_json(indent=2).encode()
        self._zip.writestr(MANIFEST, text)
        self._zip.writestr(SEAL, _seal(self._master, text))
        self._zip.close()
        return whole

    def give_up(self) -> None:
        """Lets go of the file, which nobody reads."""
        with suppress(OSError, ValueError):
            self._content.close()
        with suppress(OSError, ValueError):
            self._zip.close()


@contextmanager
def writing(path: Path, master: bytes) -> Iterator[Writer]:
    """A backup that appears at its place once it is finished and on the disk, for its owner alone.

    Raises BackupError when it cannot be written; nothing is left then, and an older file stays as it is.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.unlink(missing_ok=True)  # left by a killed process of the same number
        file = os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as error:
        raise BackupError(f"cannot write {path} ({error.strerror}); choose another place") from error
    try:
        with file:
            writer = Writer(file, master)
            try:
                yield writer
            finally:
                writer.give_up()
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _keep_folder(path.parent)
    except OSError as error:
        if error.errno not in _DISK:
            raise
        raise BackupError(f"cannot write {path} ({error.strerror}); choose another place") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _keep_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def manifest_of(path: Path, master: bytes) -> Manifest:
    """What the file says it is. Raises DamagedBackupError, UnfitBackupError."""
    try:
        with ZipFile(path) as archive:
            if max(archive.getinfo(name).file_size for name in (MANIFEST, SEAL)) > _WHOLE_MOST:
                raise DamagedBackupError(_DAMAGED)
            text, seal = archive.read(MANIFEST), archive.read(SEAL)
    except OSError as error:
        raise BackupError(f"cannot read {path} ({error.strerror})") from error
    except (BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError) as error:
        raise DamagedBackupError(_DAMAGED) from error
    return _believed(text, seal, master)


def _believed(text: bytes, seal: bytes, master: bytes) -> Manifest:
    form = re.search(rb'"format":\s*(\d{1,9})', text)
    if form and int(form[1]) > FORMAT:
        raise UnfitBackupError("this backup is of a newer version of zoeklicht: install that one")
    try:
        manifest = Manifest.model_validate_json(text)
    except (ValidationError, UnicodeDecodeError) as error:
        raise DamagedBackupError(_DAMAGED) from error
    if manifest.master != fingerprint(master):
        raise UnfitBackupError(
            "this backup belongs to another master key: set ZOEKLICHT_MASTER_KEY to the one of its installation"
        )
    if not hmac.compare_digest(_seal(master, text).encode(), seal):
        raise DamagedBackupError("the manifest was changed since the backup was made: take another one")
    return manifest


def content_of(path: Path, manifest: Manifest) -> Iterator[bytes]:
    """The content in parts. Raises DamagedBackupError at its end when it is not what was written."""
    digest = hashlib.sha256()
    try:
        with ZipFile(path) as archive, archive.open(CONTENT) as content:
            while part := content.read(AT_ONCE):
                digest.update(part)
                yield part
    except (BadZipFile, KeyError, EOFError) as error:
        raise DamagedBackupError(_DAMAGED) from error
    if digest.hexdigest() != manifest.digest:
        raise DamagedBackupError(_DAMAGED)


def check_whole(path: Path, manifest: Manifest) -> None:
    """Reads all of it once. Raises DamagedBackupError."""
    for _ in content_of(path, manifest):
        pass
