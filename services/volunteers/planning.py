"""From what happened in a call-out to messages, in the transaction in which it happened: each step once a person.

The newest message of a person's lane is the only one that goes out. What calls back overtakes whatever waits; whoever
nothing was ever sent to is not called back either.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from schemas.events import (
    CalledOut,
    EventData,
    NeedMet,
    StandbyCalled,
    StoodDown,
    TaskGiven,
    VolunteerAnswered,
    VolunteersAsked,
)
from schemas.vocabulary import Step
from services.kernel.ids import derived_id
from services.kernel.postgres import Connection, queries
from services.volunteers.domain.callout import Callout

LANE_CHANNEL = "volunteers_lane"
CALLS_BACK = (Step.NOT_NEEDED, Step.STAND_DOWN)

_SQL = queries("services.volunteers", "messages.sql")


async def plan(connection: Connection, after: Callout, events: Iterable[EventData]) -> None:
    """Plans the messages that follow from these events; `after` is the call-out with them."""
    for event in events:
        match event:
            case StandbyCalled():
                await _tell(connection, after, Step.STANDBY, event.told)
            case CalledOut() if event.confirm_again:
                await _tell(connection, after, Step.CHANGED, after.waiting_for)
            case VolunteersAsked():
                await _tell(connection, after, Step.ASK, [one.volunteer_id for one in event.chosen])
            case VolunteerAnswered() if not event.late:
                await connection.execute(_SQL["settle"], after.callout_id, event.volunteer_id)
            case NeedMet():
                await _tell(connection, after, Step.NOT_NEEDED, event.not_needed)
            case TaskGiven():
                await _tell(connection, after, Step.TASK, event.volunteers, event.task_id)
            case StoodDown():
                await _tell(connection, after, Step.STAND_DOWN, event.told)
            case _:
                pass


async def _tell(
    connection: Connection, after: Callout, step: Step, people: Sequence[UUID], task_id: UUID | None = None
) -> None:
    if not people:
        return
    callout_id, calls_back = after.callout_id, step in CALLS_BACK
    if not calls_back:
        await connection.execute(_SQL["lanes_new"], callout_id, list(people))
    lanes = await connection.fetch(_SQL["lanes_lock"], callout_id, list(people))
    who = [row["volunteer_id"] for row in lanes]
    revisions = [row["head"] + 1 for row in lanes]
    goes_out = [row["tried"] or not calls_back for row in lanes]
    await connection.execute(_SQL["supersede"], callout_id, who)
    await connection.execute(
        _SQL["messages_new"],
        callout_id,
        step.value,
        after.revision,
        task_id,
        [message_id(callout_id, one, revision) for one, revision in zip(who, revisions, strict=True)],
        who,
        revisions,
        ["pending" if goes else "superseded" for goes in goes_out],
    )
    await connection.execute(_SQL["lanes_head"], callout_id, calls_back, who, revisions, goes_out)
    await connection.execute(f"notify {LANE_CHANNEL}")


def message_id(callout_id: UUID, volunteer_id: UUID, revision: int) -> UUID:
    """Always the same for the same message."""
    return derived_id("volunteer-message", callout_id, volunteer_id, revision)
