"""What can be wrong with a backup."""

from services.kernel.errors import ZoeklichtError


class BackupError(ZoeklichtError):
    """A backup cannot be made or brought back; the message says what to do.

    BackupError
    ├── DamagedBackupError   its bytes are not those that were written
    └── UnfitBackupError     it is whole, and must not be used here
    """


class DamagedBackupError(BackupError):
    """The file is not whole, or was changed since it was made."""


class UnfitBackupError(BackupError):
    """The file is whole, and of another installation, of a newer version, or too old."""
