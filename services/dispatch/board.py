"""What an operations room sees of alerts: each one that matters now, and how far it has come with each recipient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from services.kernel.postgres import Pool, queries
from services.kernel.settings import Settings

SHOWN_AFTER = timedelta(hours=1)
"""How long an alert stays on the board after it went dark everywhere."""
MOST = 50
"""Alerts on the board at most, what is lit first."""

_SQL = queries("services.dispatch", "board.sql")
_WATCHING = queries("services.dispatch", "watching.sql")


class Step(StrEnum):
    """How far an alert has come with one recipient, in the order in which it usually goes."""

    WAITING = "waiting"
    TRYING = "trying"
    DELIVERED = "delivered"
    SHOWN = "shown"
    NOT_SHOWN = "not_shown"
    GOING_DARK = "going_dark"
    STILL_TRYING_DARK = "still_trying_dark"
    TOLD_DARK = "told_dark"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class Seat:
    """One recipient's place on the board."""

    recipient_id: UUID
    name: str
    audience: str
    step: Step
    revision: int
    attempts: int
    screens: int | None
    since: Any
    again_at: Any


@dataclass(frozen=True, slots=True)
class Fanned:
    """An alert and its recipients. `over`: it must not be shown any more, wherever its withdrawal is."""

    facts: Mapping[str, Any]
    seats: Sequence[Seat]

    @property
    def over(self) -> bool:
        """Whether it is to be dark."""
        return bool(self.facts["over"])


async def fanned(pool: Pool) -> list[Fanned]:
    """The alerts that matter now: lit ones, and those that went dark within an hour or may still be shown."""
    alerts = await pool.fetch(_SQL["alerts"], SHOWN_AFTER, MOST)
    seats: dict[UUID, list[Seat]] = {row["alert_id"]: [] for row in alerts}
    for row in await pool.fetch(_SQL["fan_out"], list(seats)):
        seats[row["alert_id"]].append(_seat(row))
    return [Fanned(row, seats[row["alert_id"]]) for row in alerts]


async def still_showing(pool: Pool, settings: Settings) -> Sequence[Mapping[str, Any]]:
    """Displays that may still show a child that was found, longest first: rows as `health.may_still_show` gives them."""
    lease = settings.display_for_s + settings.delivery_timeout_s
    found: Sequence[Mapping[str, Any]] = await pool.fetch(_WATCHING["may_still_show"], lease, None, None)
    return found


def _seat(row: Mapping[str, Any]) -> Seat:
    pending = row["state"] == "pending"
    return Seat(
        row["recipient_id"],
        row["name"],
        row["audience"],
        step(row["content"], row["state"], row["receipt"], row["attempts"]),
        row["revision"],
        row["attempts"],
        row["screens"],
        row["receipt_at"] if row["receipt"] else row["finished_at"] or row["created_at"],
        row["due_at"] if pending and row["attempts"] else None,
    )


def step(content: str, state: str, receipt: str | None, attempts: int) -> Step:
    """How far a recipient is, from its newest delivery and the last word of its screens."""
    if content == "withdrawn":
        if receipt == "removed":
            return Step.DARK
        if state == "delivered":
            return Step.TOLD_DARK
        return Step.STILL_TRYING_DARK if attempts else Step.GOING_DARK
    if receipt == "rejected" or state in {"held", "expired", "superseded"}:
        return Step.NOT_SHOWN
    if state == "pending":
        return Step.TRYING if attempts else Step.WAITING
    return Step.SHOWN if receipt == "displayed" else Step.DELIVERED
