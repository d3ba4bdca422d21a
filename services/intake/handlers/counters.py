"""The use cases of counters: calls to 116 000, reach."""

from dataclasses import replace
from uuid import UUID

from schemas.commands import (
    CountCalls,
    ReportReach,
)
from schemas.events import CallsCounted, ReachReported
from schemas.vocabulary import Mode
from services.eventlog.store import (
    Append,
    NewEvent,
    append,
)
from services.intake import store
from services.intake.domain.moments import happened
from services.intake.handlers.steps import Answer, Ask, IntakeDeps, execute, load
from services.kernel.postgres import Connection


async def count_calls(deps: IntakeDeps, ask: Ask, command: CountCalls) -> Answer:
    """Counts calls to 116 000."""
    event = NewEvent(CallsCounted(count=command.count), time=command.at)
    counted = Append("ops-calls", "calls", [event], ask.cause(Mode.ACTUAL))
    return await _counted(deps, ask, command, counted, None)


async def report_reach(deps: IntakeDeps, ask: Ask, command: ReportReach) -> Answer:
    """Counts the reach of posts about a case."""
    data = ReachReported(people=command.people, interactions=command.interactions)
    case_id = command.case_id
    counted = Append(
        f"ops-{case_id}", str(case_id), [NewEvent(data, time=command.at)], ask.cause(Mode.ACTUAL)
    )
    return await _counted(deps, ask, command, counted, case_id)


async def _counted(
    deps: IntakeDeps, ask: Ask, command: CountCalls | ReportReach, counted: Append, case_id: UUID | None
) -> Answer:
    async def work(connection: Connection) -> Answer:
        happened(command, await store.database_now(connection))
        whole = counted
        if case_id:
            # What is counted for an exercise is an exercise.
            mode = (await load(connection, case_id)).case.mode
            whole = replace(counted, cause=replace(counted.cause, mode=mode))
        versions = await append(connection, [whole])
        body = {"event_id": str(counted.events[0].event_id), "version": versions[counted.stream]}
        return Answer(201, body)

    return await execute(deps, ask, [counted.stream], work)
