"""The use cases of intake: load, decide, seal, append, each in one transaction under the lock of its case.

Those of campaigns have a module of their own, `campaign_steps`.
"""

from asyncio import Future
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from secrets import token_bytes
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from schemas.commands import (
    CorrectDetails,
    CountCalls,
    Fact,
    FindChild,
    MergeCase,
    OpenCase,
    ReportReach,
)
from schemas.events import CallsCounted, ReachReported
from schemas.vocabulary import Mode, Party
from services.eventlog.store import (
    Append,
    Cause,
    NewEvent,
    VersionConflictError,
    append,
    case_stream,
    lock_streams,
)
from services.intake import store
from services.intake.domain import facts
from services.intake.domain.appeal import Known, Signed
from services.intake.domain.campaign import Campaign, is_showing
from services.intake.domain.drafts import Draft, SealedAt
from services.intake.domain.errors import IntakeError
from services.intake.domain.identity import identity_of
from services.intake.domain.media import Gallery
from services.intake.domain.merging import decide_merge
from services.intake.domain.policy import Policy
from services.intake.problems import problem
from services.intake.store import Committed, File
from services.kernel.audit import note_look
from services.kernel.auth import Principal
from services.kernel.idempotency import Idempotency
from services.kernel.ids import new_id
from services.kernel.postgres import Connection, Pool, in_transaction
from services.kernel.problems import ConflictError, NotFoundError, PreconditionFailedError
from services.kernel.settings import Settings
from services.kernel.vault import KeyDestroyedError, Vault

ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class IntakeDeps:
    """What intake works with."""

    pool: Pool
    vault: Vault
    settings: Settings
    policy: Policy
    sheets: dict[UUID, tuple[int, dict[str, Future[bytes]]]] = field(default_factory=dict, compare=False)
    """Drawn pictures by campaign, with the version they were drawn from; never more than a few."""

    @property
    def secret(self) -> bytes:
        """The key of the blind index."""
        return store.fingerprint_key(self.settings.master_key_bytes)


@dataclass(frozen=True, slots=True)
class Ask:
    """Who asks, and how: the version the caller saw, the key that makes a repeat harmless."""

    principal: Principal
    correlation_id: str
    traceparent: str | None = None
    idempotency: Idempotency | None = None
    if_match: int | None = None

    def cause(self, mode: Mode) -> Cause:
        """Why the events are appended."""
        return Cause(self.principal.name, self.correlation_id, traceparent=self.traceparent, mode=mode)


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body; `version` of the body becomes the ETag."""

    status: int
    body: dict[str, Any]


Work = Callable[[Connection], Awaitable[Answer]]


async def execute(deps: IntakeDeps, ask: Ask, locks: Iterable[str], work: Work) -> Answer:
    """Runs `work` in one transaction under these locks, with the caller's idempotency key.

    Everything is read and decided under the lock of the case, so that of two commands the second sees what the first
    appended. Raises a Problem for whatever is refused, AnsweredBefore for a repeat.
    """
    names = list(locks)

    async def once(connection: Connection) -> Answer:
        if ask.idempotency:
            await ask.idempotency.claim(connection)
        await lock_streams(connection, names)
        answer = await work(connection)
        if ask.idempotency:
            await ask.idempotency.remember(connection, answer.status, answer.body)
        return answer

    if ask.idempotency:
        await ask.idempotency.replay(deps.pool)
    for _ in range(ATTEMPTS):
        try:
            return await in_transaction(deps.pool, once)
        except (VersionConflictError, asyncpg.UniqueViolationError):
            continue
        except IntakeError as error:
            raise problem(error) from error
        except KeyDestroyedError as error:
            raise ConflictError("erased", "this identity is erased and takes no new data") from error
    raise ConflictError("busy", "others keep changing this case: try again", headers={"Retry-After": "1"})


# ── reading for a decision ──────────────────────────────────────────────────────────────────────────────────


async def load(connection: Connection, case_id: UUID) -> File:
    """The file of a case. Raises NotFoundError."""
    file = (await store.load_files(connection, [case_id]))[case_id]
    if not file.case.version:
        raise NotFoundError("no-such-case", "there is no case with this id: take it from the list of cases")
    return file


async def known_of(
    connection: Connection,
    deps: IntakeDeps,
    files: Iterable[File],
    principal: Principal,
    media: Sequence[UUID] = (),
) -> Known:
    """What was said in clear, opened for a decision; and the photos with these ids."""
    children = {c.child_id: c.identity for file in files for c in file.case.children}
    texts = {c.campaign_id: c.texts for file in files for c in file.campaigns.values() if c.texts}
    links = {c.campaign_id: c.links for file in files for c in file.campaigns.values() if c.links}
    sealed = [*children.values(), *texts.values(), *(at for one in links.values() for at in one.values())]
    names = {at.sealed.key for at in sealed}
    keys = await deps.vault.find(sorted(names)) if names else {}
    return Known(
        now=await store.database_now(connection),
        zone=deps.settings.zone,
        policy=deps.policy,
        actor=principal.name,
        role=principal.role,
        identities={child: at.opened(keys) for child, at in children.items()},
        texts={campaign: at.opened(keys) or {} for campaign, at in texts.items()},
        gallery=Gallery(
            photos=await store.photos(connection, media) if media else {},
            links={
                campaign: {name: link for name, at in one.items() if (link := at.opened(keys)) is not None}
                for campaign, one in links.items()
            },
            seed=token_bytes(32),
        ),
    )


def check_match(file: File, stream: str, if_match: int | None) -> None:
    """Raises PreconditionFailedError when the stream is not at the version that the caller saw."""
    version = file.versions[stream]
    if if_match is None or if_match == version:
        return
    since = [event for event in file.events if event.stream == stream and event.version > max(if_match, 0)]
    raise PreconditionFailedError(
        "stale-version",
        "somebody was faster: look at what changed, and send it again with the current version",
        current_version=version,
        changed=[
            {
                "version": event.version,
                "event_id": str(event.event_id),
                "type": event.type,
                "by": event.cause.actor,
                "recorded_at": event.recorded_time.isoformat(),
            }
            for event in since
        ],
    )


async def commit(
    connection: Connection, deps: IntakeDeps, files: list[File], drafts: list[Draft], cause: Cause
) -> Committed:
    """Seals and appends what was decided."""
    return await store.commit(
        connection,
        vault=deps.vault,
        secret=deps.secret,
        policy=deps.policy,
        files=files,
        drafts=drafts,
        cause=cause,
    )


# ── cases ───────────────────────────────────────────────────────────────────────────────────────────────────


async def open_case(deps: IntakeDeps, ask: Ask, command: OpenCase) -> Answer:
    """Opens a case; says which other cases concern the same child: open ones, and those of earlier times."""
    case_id = new_id()
    marks = [store.fingerprint(deps.secret, identity_of(child)) for child in command.children]
    # Locked too, so that a child that is called in twice at the same moment is one child.
    locks = [case_stream(case_id), *(f"child-{mark.hex()}" for mark in marks if mark)]

    async def work(connection: Connection) -> Answer:
        found = await store.known_children(connection, [mark for mark in marks if mark])
        child_ids = [found.get(mark) or uuid4() if mark else uuid4() for mark in marks]
        twins = await _cases_like(connection, marks)
        file = store.fold(case_id, ())
        known = await known_of(connection, deps, [file], ask.principal)
        year = known.now.astimezone(known.zone).year
        (number,) = await store.next_number(connection, year)
        drafts = facts.decide_open(file.case, number, command, child_ids, known)
        committed = await commit(connection, deps, [file], drafts, ask.cause(command.mode))
        body = {
            "case_id": str(case_id),
            "case_number": number,
            "version": committed.versions[case_stream(case_id)],
            "children": [{"index": n, "child_id": str(child)} for n, child in enumerate(child_ids)],
            **twins,
        }
        return Answer(201, body)

    return await execute(deps, ask, locks, work)


async def _cases_like(
    connection: Connection, marks: Iterable[bytes | None], but: UUID | None = None
) -> dict[str, list[dict[str, str]]]:
    """Cases of children with these fingerprints: open ones may be duplicates, in closed ones the child came back."""
    children = await store.children_like(connection, [mark for mark in marks if mark])
    rows = {row["case_id"]: row for row in await store.cases_of_children(connection, children)}
    named: dict[bool, list[dict[str, str]]] = {True: [], False: []}
    for case_id, row in rows.items():
        if case_id != but:
            named[row["open"]].append({"case_id": str(case_id), "case_number": row["case_number"]})
    return {"possible_duplicates": named[True], "earlier_cases": named[False]}


async def add_fact(deps: IntakeDeps, ask: Ask, case_id: UUID, fact: Fact) -> Answer:
    """Adds a fact to a case, and what follows from it for its campaigns."""
    other_id = fact.case_id if isinstance(fact, MergeCase) else None
    locks = [case_stream(one) for one in (case_id, other_id) if one]

    async def work(connection: Connection) -> Answer:
        file = await load(connection, case_id)
        check_match(file, file.case.stream, ask.if_match)
        facts.takes(file.case, fact)
        files = [file]
        if other_id and other_id != case_id:
            files.append((await store.load_files(connection, [other_id]))[other_id])
        known = await known_of(connection, deps, files, ask.principal)
        campaigns_of_case = list(file.campaigns.values())
        if isinstance(fact, MergeCase):
            signed, notes = await _signed(deps, campaigns_of_case), await _notes(deps, file)
            known = replace(known, signed=signed, notes=notes)
            theirs = list(files[-1].campaigns.values())
            drafts = decide_merge(file.case, campaigns_of_case, files[-1].case, theirs, known)
        else:
            drafts = facts.decide_fact(file.case, campaigns_of_case, fact, known)
        committed = await commit(connection, deps, files, drafts, ask.cause(file.case.mode))
        event = committed.first(file.case.stream)
        version = committed.versions[file.case.stream]
        body: dict[str, Any] = {"event_id": str(event.event_id), "version": version}
        if isinstance(fact, CorrectDetails):
            body |= await _cases_like(connection, store.fingerprints(deps.secret, drafts), case_id)
        return Answer(201, body)

    return await execute(deps, ask, locks, work)


async def _signed(deps: IntakeDeps, of_case: Iterable[Campaign]) -> dict[tuple[UUID, Party], Signed]:
    """What is sealed of the consents of these campaigns, opened: they go on in another case."""
    sealed = {
        (campaign.campaign_id, party): {
            name: at
            for name in ("given_by", "reference", "reason")
            if (at := getattr(consent, name)) is not None
        }
        for campaign in of_case
        if is_showing(campaign)
        for party, consent in campaign.consents.items()
    }
    names = {at.sealed.key for parts in sealed.values() for at in parts.values()}
    keys = await deps.vault.find(sorted(names)) if names else {}
    return {whose: {name: at.opened(keys) for name, at in parts.items()} for whose, parts in sealed.items()}


async def _notes(deps: IntakeDeps, file: File) -> dict[SealedAt, str]:
    """The texts of a case that go with its children into another, opened."""
    sealed = file.case.texts
    keys = await deps.vault.find(sorted({at.sealed.key for at in sealed})) if sealed else {}
    return {at: at.opened(keys) for at in sealed if at.sealed.key in keys}


# ── search and counters ─────────────────────────────────────────────────────────────────────────────────────


async def find_child(deps: IntakeDeps, ask: Ask, command: FindChild) -> Answer:
    """The cases of a child, by exact identity. Who searched is audited by what was found, never by what was sought."""
    mark = store.fingerprint(deps.secret, command.model_dump(mode="json"))

    async def work(connection: Connection) -> Answer:
        found = await store.children_like(connection, [mark] if mark else [])
        rows = await store.cases_of_children(connection, found)
        named = [f"child:{child}" for child in found] + [f"case:{row['case_id']}" for row in rows]
        await note_look(connection, ask.principal, "child.searched", named)
        cases: dict[UUID, list[dict[str, str]]] = {child: [] for child in found}
        for row in rows:
            cases[row["child_id"]].append(
                {
                    "case_id": str(row["case_id"]),
                    "case_number": row["case_number"],
                    "state": "open" if row["open"] else "closed",
                }
            )
        items = [{"child_id": str(child), "cases": of_child} for child, of_child in cases.items()]
        return Answer(200, {"items": items, "next_cursor": None})

    return await execute(deps, ask, [], work)


async def count_calls(deps: IntakeDeps, ask: Ask, command: CountCalls) -> Answer:
    """Counts calls to 116 000."""
    event = NewEvent(CallsCounted(count=command.count), time=command.at)
    return await _counted(deps, ask, Append("ops-calls", "calls", [event], ask.cause(Mode.ACTUAL)), None)


async def report_reach(deps: IntakeDeps, ask: Ask, command: ReportReach) -> Answer:
    """Counts the reach of posts about a case."""
    data = ReachReported(people=command.people, interactions=command.interactions)
    case_id = command.case_id
    counted = Append(
        f"ops-{case_id}", str(case_id), [NewEvent(data, time=command.at)], ask.cause(Mode.ACTUAL)
    )
    return await _counted(deps, ask, counted, case_id)


async def _counted(deps: IntakeDeps, ask: Ask, counted: Append, case_id: UUID | None) -> Answer:
    async def work(connection: Connection) -> Answer:
        whole = counted
        if case_id:
            # What is counted for an exercise is an exercise.
            mode = (await load(connection, case_id)).case.mode
            whole = replace(counted, cause=replace(counted.cause, mode=mode))
        versions = await append(connection, [whole])
        body = {"event_id": str(counted.events[0].event_id), "version": versions[counted.stream]}
        return Answer(201, body)

    return await execute(deps, ask, [counted.stream], work)
