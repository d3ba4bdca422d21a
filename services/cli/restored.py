"""What a restore does with what happened after its backup: who was erased stays erased, what was lit goes dark."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from rich.console import Console

from schemas.commands import EndCampaign
from schemas.vocabulary import EndReason, StandDown
from services.dispatch.emergency.pack import REVISION
from services.dispatch.publish import Publication, Publisher, alert_of
from services.eventlog.store import Cause
from services.intake import erasing
from services.intake.domain.policy import Policy
from services.intake.handlers import campaigns
from services.intake.handlers.steps import Ask, IntakeDeps
from services.kernel.backup import BackupError
from services.kernel.erasure import Job
from services.kernel.ids import derived_id, new_id
from services.kernel.postgres import Connection, Pool, in_transaction, queries
from services.kernel.principals import Principal, Role
from services.kernel.settings import Settings
from services.kernel.vault import Vault, key_name
from services.volunteers import callouts
from services.volunteers.desk import VolunteerDeps

ACTOR = "restore"

_SQL = queries("services.cli", "restore.sql")
console = Console(highlight=False, soft_wrap=True, markup=False)


@dataclass(frozen=True, slots=True)
class Desk:
    """The two databases of the installation. `keys`: the vault's, for what a vault does not do by itself."""

    pool: Pool
    keys: Pool
    vault: Vault
    settings: Settings
    policy: Policy

    @property
    def intake(self) -> IntakeDeps:
        """For the use cases of campaigns and erasures."""
        return IntakeDeps(self.pool, self.vault, self.settings, self.policy)


# ── erased since ────────────────────────────────────────────────────────────────────────────────────────────


def erased_since(certificates: Sequence[Path]) -> frozenset[str]:
    """The names of the keys of children and cases in these certificates. Raises BackupError for another file."""
    names: set[str] = set()
    for file in certificates:
        try:
            said = orjson.loads(file.read_bytes())
            names |= {key_name("child", UUID(one)) for one in said["children"]}
            names |= {key_name("case", UUID(one)) for one in said["cases"]}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BackupError(
                f"{file} is no certificate: take what `zoeklicht erase --certificate` printed"
            ) from error
    return frozenset(names)


def ids_of(names: Collection[str], kind: str) -> list[UUID]:
    """The subjects of the keys of one kind."""
    return sorted(UUID(one.partition(":")[2]) for one in names if one.startswith(f"{kind}:"))


async def forget_again(desk: Desk, names: Collection[str]) -> set[str]:
    """Forgets the copies of children and cases that the log does not know as erased; returns their alerts' key names.

    The record of such an erasure is lost with what came after the backup; partners were told then.
    """
    children, cases = ids_of(names, "child"), ids_of(names, "case")
    if not children and not cases:
        return set()
    await erasing.erase(desk.intake, Job(new_id(), children, cases, datetime.now(UTC)))
    console.print("erased after the backup, and again now; for a new certificate ask for it again:")
    for one in children:
        console.print(f"  zoeklicht erase --child {one}")
    return {row["name"] for row in await desk.pool.fetch(_SQL["keys_of_cases"], cases)}


# ── dark ────────────────────────────────────────────────────────────────────────────────────────────────────


async def go_dark(desk: Desk, correlation_id: str, *, cases: Collection[UUID] | None = None) -> None:
    """Ends every campaign and call-out that was going on, or those of some cases: it may have ended since the backup.

    Each end is an event with its stop, so displays go dark by the usual way, and whoever must look again has a list.
    """
    cause = Cause(ACTOR, correlation_id)
    publisher = Publisher(desk.pool, desk.vault, desk.settings)
    for row in await desk.pool.fetch(_SQL["lit"]):
        if cases is None or row["case_id"] in cases:
            await _withdraw(publisher, row, cause)
    ask = Ask(Principal(ACTOR, Role.ADMIN), correlation_id)
    shown = [
        row for row in await desk.pool.fetch(_SQL["going_on"]) if cases is None or row["case_id"] in cases
    ]
    for row in shown:
        await campaigns.end(desk.intake, ask, row["campaign_id"], EndCampaign(reason=EndReason.OTHER))
    called = [
        row for row in await desk.pool.fetch(_SQL["called_out"]) if cases is None or row["case_id"] in cases
    ]
    helpers = VolunteerDeps(desk.pool, desk.vault, desk.settings)
    for row in called:
        await in_transaction(desk.pool, partial(_call_off, helpers, row["callout_id"], cause))
    _tell(shown, called)


async def _withdraw(publisher: Publisher, row: Any, cause: Cause) -> None:
    """Under the number of an emergency: displays may have seen newer revisions than this backup knows."""
    alert = alert_of(row)
    because = derived_id(ACTOR, alert.alert_id)
    told = replace(cause, mode=alert.mode)
    await publisher.publish(
        Publication(alert, "withdrawn", told, because, reason=EndReason.OTHER.value, number=REVISION)
    )


def _tell(shown: Sequence[Any], called: Sequence[Any]) -> None:
    if shown or called:
        console.print(
            "ended, for nobody knows what happened since; if the child is still missing, ask for it anew:"
        )
    for row in shown:
        what = "was lit" if row["lit"] else "was asked for"
        console.print(f"  case {row['case_number']}  campaign {row['campaign_id']}  {what}")
    for row in called:
        console.print(f"  case {row['case_number']}  call-out {row['callout_id']}")


async def _call_off(helpers: VolunteerDeps, callout_id: UUID, cause: Cause, connection: Connection) -> None:
    await callouts.stand_down(callouts.Work(helpers, connection, callout_id, cause), StandDown.CALLED_OFF)
