"""Backups: one file with a manifest that says what it is, and that only the master key of its installation vouches for."""

from services.kernel.backup.errors import BackupError, DamagedBackupError, UnfitBackupError
from services.kernel.backup.manifest import Kind, Manifest, Step, check_steps

__all__ = ["BackupError", "DamagedBackupError", "Kind", "Manifest", "Step", "UnfitBackupError", "check_steps"]
