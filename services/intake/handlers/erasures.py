"""The use cases of erasures: ask for one, take that back, approve it, wait no longer for a partner.

The decisions are events; what follows from an approval is done by the services, each its part.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from schemas.commands import GiveUpPartner, RequestErasure
from schemas.events import (
    ErasureApproved,
    ErasurePartnerGivenUp,
    ErasureRequested,
    ErasureWithdrawn,
    EventData,
)
from schemas.vocabulary import EndReason, Mode
from services.eventlog.store import (
    Append,
    NewEvent,
    append,
    campaign_stream,
    case_stream,
    read_stream,
)
from services.intake import store
from services.intake.domain import campaigns
from services.intake.domain.erasure import (
    Erasure,
    Scope,
    check_approval,
    check_undecided,
    decide_scope,
    erasure_stream,
    folded,
)
from services.intake.domain.errors import StateRuleError
from services.intake.handlers.steps import Answer, Ask, IntakeDeps, commit, execute
from services.intake.store import SQL, File
from services.kernel.audit import note
from services.kernel.erasure.jobs import SQL as JOBS
from services.kernel.ids import new_id
from services.kernel.postgres import Connection, Pool
from services.kernel.problems import ConflictError, NotFoundError
from services.kernel.vault import key_name


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom and what an erasure concerns, before any rule is asked."""

    asked: UUID | None
    children: frozenset[UUID]
    cases: frozenset[UUID]


async def request(deps: IntakeDeps, ask: Ask, command: RequestErasure) -> Answer:
    """Asks for an erasure; nothing is erased before somebody else approves it. Raises a Problem."""
    erasure_id = new_id()
    reach = await _reach(deps.pool, command.case_id, command.child_id)

    async def work(connection: Connection) -> Answer:
        files = await store.load_files(connection, list(reach.cases))
        scope = _scope(reach, files)
        if not await deps.vault.find([key_name("child", child) for child in scope.children]):
            raise StateRuleError("erased", "all of this is erased already: see the list of erasures")
        asked = ErasureRequested(erasure_id=erasure_id, **command.model_dump())
        erasure = Erasure(erasure_id, case_id=command.case_id, child_id=command.child_id)
        version = await _append(connection, ask, erasure, asked, mode=_mode(files.values()))
        await connection.execute(JOBS["requested"], erasure_id)
        twins = await connection.fetch(SQL["same_identity"], list(scope.children))
        body = {
            "erasure_id": str(erasure_id),
            "state": "requested",
            "version": version,
            **scope_view(scope),
            "same_identity": [str(row["child_id"]) for row in twins],
        }
        return Answer(201, body)

    return await execute(deps, ask, [erasure_stream(erasure_id)], work)


async def approve(deps: IntakeDeps, ask: Ask, erasure_id: UUID, *, by_policy: bool = False) -> Answer:
    """Approves what somebody else asked for: campaigns end at once, and the services begin to erase.

    Raises a Problem: for whoever asked for it, and when a case has changed so that it cannot be erased.
    """
    before = await load_erasure(deps.pool, erasure_id)
    reach = await _reach(deps.pool, before.case_id, before.child_id)
    shown = await deps.pool.fetch(SQL["campaigns_of"], list(reach.cases))
    marks = await deps.pool.fetch(SQL["fingerprints_of"], list(reach.children))
    locks = [before.stream, *(case_stream(one) for one in reach.cases)]
    locks += [campaign_stream(row["campaign_id"]) for row in shown]
    # Whoever opens a case finds these children by their fingerprints: before they are forgotten, or not at all.
    locks += [f"child-{bytes(row['fingerprint']).hex()}" for row in marks]

    async def work(connection: Connection) -> Answer:
        erasure = await load_erasure(connection, erasure_id)
        check_approval(erasure, ask.principal.name, by_policy=by_policy)
        if await _reach(connection, erasure.case_id, erasure.child_id) != reach:
            raise ConflictError("busy", "its cases are changing: try again", headers={"Retry-After": "1"})
        files = await store.load_files(connection, list(reach.cases))
        scope = _scope(reach, files)
        agreed = ErasureApproved(
            erasure_id=erasure_id,
            children=tuple(sorted(scope.children)),
            cases=tuple(sorted(scope.cases)),
        )
        for file in files.values():
            if ends := campaigns.end_all(list(file.campaigns.values()), EndReason.OTHER):
                await commit(connection, deps, [file], ends, ask.cause(file.case.mode))
        version = await _append(connection, ask, erasure, agreed, mode=_mode(files.values()))
        await store.forget_children(connection, scope.children)
        await connection.execute(JOBS["approved"], erasure_id, list(agreed.children), list(agreed.cases))
        subjects = [f"child:{one}" for one in scope.children] + [f"case:{one}" for one in scope.cases]
        await note(connection, ask.principal.name, ask.principal.role, "erasure.approved", subjects)
        body = {
            "erasure_id": str(erasure_id),
            "state": "approved",
            "version": version,
            **scope_view(scope),
        }
        return Answer(200, body)

    answer = await execute(deps, ask, locks, work)
    for row in shown:
        deps.sheets.pop(row["campaign_id"], None)
    return answer


async def withdraw(deps: IntakeDeps, ask: Ask, erasure_id: UUID) -> Answer:
    """Takes a request back, or declines it, before anybody approved it. Raises a Problem."""

    async def work(connection: Connection) -> Answer:
        erasure = await load_erasure(connection, erasure_id)
        check_undecided(erasure)
        version = await _append(connection, ask, erasure, ErasureWithdrawn(erasure_id=erasure_id))
        return Answer(200, {"erasure_id": str(erasure_id), "state": "withdrawn", "version": version})

    return await execute(deps, ask, [erasure_stream(erasure_id)], work)


async def give_up(
    deps: IntakeDeps, ask: Ask, erasure_id: UUID, recipient: UUID, command: GiveUpPartner
) -> Answer:
    """Waits no longer for a recipient to confirm: a decision of a person, by name. Raises a Problem."""

    async def work(connection: Connection) -> Answer:
        erasure = await load_erasure(connection, erasure_id)
        given = ErasurePartnerGivenUp(erasure_id=erasure_id, recipient=recipient, reason=command.reason)
        waited = await connection.fetchval(JOBS["waits_for"], erasure_id, recipient)
        if not waited or not erasure.executed_at:
            raise NotFoundError(
                "not-waited-for", "nobody waits for this recipient here: see the list of its partners"
            )
        version = await _append(connection, ask, erasure, given)
        await connection.execute(JOBS["give_up"], erasure_id, recipient, ask.principal.name)
        return Answer(200, {"erasure_id": str(erasure_id), "state": erasure.state, "version": version})

    return await execute(deps, ask, [erasure_stream(erasure_id)], work)


async def load_erasure(source: Connection | Pool, erasure_id: UUID) -> Erasure:
    """The erasure as it is now. Raises NotFoundError."""
    erasure = folded(erasure_id, await read_stream(source, erasure_stream(erasure_id)))
    if not erasure.version:
        raise NotFoundError(
            "no-such-erasure", "there is no erasure with this id: GET /v1/erasures lists them"
        )
    return erasure


def scope_view(scope: Scope) -> dict[str, list[str]]:
    """What an erasure takes along, in JSON."""
    return {"children": sorted(map(str, scope.children)), "cases": sorted(map(str, scope.cases))}


async def _reach(source: Connection | Pool, case_id: UUID | None, child_id: UUID | None) -> Reach:
    """The children, all their cases, and the duplicates that were merged into those."""
    if child_id:
        children = {child_id}
    else:
        begun = {case_id, *(row["case_id"] for row in await source.fetch(SQL["merged_into"], [case_id]))}
        rows = await source.fetch(SQL["children_of"], list(begun))
        children = {row["child_id"] for row in rows}
    cases = {row["case_id"] for row in await store.cases_of_children(source, children)}
    duplicates = await source.fetch(SQL["merged_into"], list(cases))
    cases |= {row["case_id"] for row in duplicates}
    if not children or not cases:
        what = "child" if child_id else "case"
        raise NotFoundError(
            f"no-such-{what}", f"there is no {what} with this id: take it from the list of cases"
        )
    return Reach(case_id, frozenset(children), frozenset(cases))


def _scope(reach: Reach, files: dict[UUID, File]) -> Scope:
    cases = {case_id: file.case for case_id, file in files.items()}
    asked = cases[reach.asked] if reach.asked else None
    return decide_scope(asked, reach.children, cases.values())


def _mode(files: Iterable[File]) -> Mode:
    """An erasure that touches something real is real."""
    return Mode.EXERCISE if all(file.case.mode is Mode.EXERCISE for file in files) else Mode.ACTUAL


async def _append(
    connection: Connection, ask: Ask, erasure: Erasure, data: EventData, *, mode: Mode = Mode.ACTUAL
) -> int:
    one = Append(erasure.stream, erasure.subject, [NewEvent(data)], ask.cause(mode), erasure.version)
    return (await append(connection, [one]))[erasure.stream]
