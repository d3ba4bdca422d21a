"""The root of every error that this system raises on purpose."""


class ZoeklichtError(Exception):
    """Something the reader can act on: the message says what to do next.

    ZoeklichtError
    ├── SettingsError     (kernel.settings)
    ├── EmbeddedError     (kernel.embedded)
    ├── BackupError       (kernel.backup)
    ├── VaultError        (kernel.vault)
    ├── MigrationError    (kernel.migrations)
    ├── Problem           (kernel.problems)   becomes an HTTP problem document
    └── one tree per service
    """
