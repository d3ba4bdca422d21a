"""What the use cases stand on."""

from dataclasses import dataclass

from services.eventlog.store import Cause
from services.kernel.postgres import Pool, queries
from services.kernel.principals import Principal
from services.kernel.settings import Settings
from services.kernel.vault import Vault

SQL = queries("services.volunteers")


@dataclass(frozen=True, slots=True)
class VolunteerDeps:
    """A pool of their own, the keys, the settings."""

    pool: Pool
    vault: Vault
    settings: Settings


@dataclass(frozen=True, slots=True)
class Ask:
    """Who asks, and in which request."""

    principal: Principal
    correlation_id: str
    traceparent: str | None = None

    @property
    def cause(self) -> Cause:
        """Why something is appended."""
        return Cause(self.principal.name, self.correlation_id, traceparent=self.traceparent)
