"""The file of a backup: whole or not there, its manifest vouched for by the master key, keys that grow old."""

import zipfile
from datetime import UTC, datetime, timedelta

import pytest

from services.kernel.backup import BackupError, DamagedBackupError, Manifest, UnfitBackupError, check_steps
from services.kernel.backup.archive import (
    CONTENT,
    MANIFEST,
    SEAL,
    check_whole,
    content_of,
    fingerprint,
    manifest_of,
    writing,
)

MASTER, OTHER = bytes(range(32)), bytes(32)
MADE = datetime(2026, 3, 4, 12, tzinfo=UTC)
STEP = ("services.kernel", "0001_kernel.sql", "aa")


def manifest(**changes):
    given = {
        "kind": "main",
        "made_at": MADE,
        "software": "1",
        "master": fingerprint(MASTER),
        "steps": (STEP,),
    }
    return Manifest(**given | {"keys": 1} | changes)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "x.backup"
    with writing(path, MASTER) as writer:
        writer.write(b"first part, ")
        writer.write(b"second part")
        writer.finish(manifest())
    return path


def rewritten(file, **changes):
    """The same zip with other entries: what a forger would make."""
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()} | changes
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def test_what_was_written_is_read_and_only_the_owner_may(file):
    """Content, figures of it, mode 0600."""
    found = manifest_of(file, MASTER)
    assert (found.size, found.made_at) == (23, MADE)
    assert b"".join(content_of(file, found)) == b"first part, second part"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_failed_backup_leaves_the_older_one_and_nothing_else(file):
    """The new file replaces the old one in the last step, or not at all."""
    before = file.read_bytes()
    with pytest.raises(RuntimeError), writing(file, MASTER) as writer:
        writer.write(b"half of it")
        raise RuntimeError("the machine is gone")
    assert file.read_bytes() == before
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    """A folder that is not there."""
    with (
        pytest.raises(BackupError, match=r"nowhere/x.backup .*choose another place"),
        writing(tmp_path / "nowhere" / "x.backup", MASTER),
    ):
        pass


def test_every_changed_byte_of_the_content_is_found(file):
    """One flipped bit anywhere, a cut end, a file of something else."""
    whole = file.read_bytes()
    start = whole.index(b"first part")
    for place in range(start, start + 23):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DamagedBackupError):
            check_whole(file, manifest_of(file, MASTER))
    for bad in (whole[: len(whole) // 2], b"", b"no backup at all"):
        file.write_bytes(bad)
        with pytest.raises(DamagedBackupError):
            manifest_of(file, MASTER)


def test_other_content_under_the_same_manifest_is_found(file):
    """A whole zip again, whose checksums fit, but whose content is somebody else's."""
    rewritten(file, **{CONTENT: b"something else, as long"})
    with pytest.raises(DamagedBackupError):
        check_whole(file, manifest_of(file, MASTER))


def test_nobody_without_the_master_key_lets_keys_live_longer(file):
    """A manifest with a later end is refused; so is one without a seal."""
    late = manifest(kind="keys", expires_at=MADE + timedelta(days=3000)).model_dump_json().encode()
    rewritten(file, **{MANIFEST: late})
    with pytest.raises(DamagedBackupError, match="manifest was changed"):
        manifest_of(file, MASTER)
    rewritten(file, **{SEAL: b""})
    with pytest.raises(DamagedBackupError):
        manifest_of(file, MASTER)


def test_another_master_key_and_a_newer_file_say_what_to_do(file):
    """Before anything is touched."""
    with pytest.raises(UnfitBackupError, match="ZOEKLICHT_MASTER_KEY"):
        manifest_of(file, OTHER)
    rewritten(file, **{MANIFEST: b'{"format": 2, "unheard": true}'})
    with pytest.raises(UnfitBackupError, match="newer version"):
        manifest_of(file, MASTER)


def test_keys_are_over_by_their_own_end_or_by_todays_setting_whichever_is_first():
    """A certificate written under a shorter time holds for backups made under a longer one."""
    keys = manifest(kind="keys", expires_at=MADE + timedelta(days=30))
    day = timedelta(days=1)
    assert not keys.is_over(MADE + 30 * day - timedelta(seconds=1), 30)
    assert keys.is_over(MADE + 30 * day, 30)
    assert keys.is_over(MADE + 10 * day, 10)
    assert not manifest().is_over(MADE + 9999 * day, 30)


def test_a_database_of_a_newer_version_or_another_line_is_refused():
    """Unknown files mean newer, known files of another text mean another line; fewer files mean older, and are taken."""
    known = frozenset({STEP, ("services.kernel", "0002_x.sql", "bb")})
    check_steps(manifest().steps, known, "1")
    with pytest.raises(UnfitBackupError, match="is newer than this version"):
        check_steps((STEP, ("services.web", "0009_y.sql", "cc")), known, "1")
    with pytest.raises(UnfitBackupError, match="differs from this version"):
        check_steps((("services.kernel", "0002_x.sql", "zz"),), known, "1")
