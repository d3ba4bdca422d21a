"""The use cases of cases: open one, add a fact, find those of a child."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from schemas.commands import (
    CorrectDetails,
    Fact,
    FindChild,
    MergeCase,
    OpenCase,
)
from schemas.vocabulary import Mode, Party
from services.eventlog.store import (
    case_stream,
)
from services.intake import store
from services.intake.domain import facts
from services.intake.domain.appeal import Signed
from services.intake.domain.campaign import Campaign, is_showing
from services.intake.domain.drafts import SealedAt
from services.intake.domain.identity import identity_of
from services.intake.domain.merging import decide_merge
from services.intake.domain.moments import happened
from services.intake.handlers.steps import (
    Answer,
    Ask,
    IntakeDeps,
    check_match,
    commit,
    execute,
    known_of,
    load,
)
from services.intake.store import File
from services.kernel.audit import note
from services.kernel.ids import new_id
from services.kernel.postgres import Connection


async def open_case(deps: IntakeDeps, ask: Ask, command: OpenCase) -> Answer:
    """Opens a case; says which other cases concern the same child: open ones, and those of earlier times."""
    case_id = new_id()
    marks = [store.fingerprint(deps.secret, identity_of(child), command.mode) for child in command.children]
    # Locked too, so that a child that is called in twice at the same moment is one child.
    locks = [case_stream(case_id), *(f"child-{mark.hex()}" for mark in marks if mark)]

    async def work(connection: Connection) -> Answer:
        found = await store.known_children(connection, [mark for mark in marks if mark])
        child_ids = [found.get(mark) or uuid4() if mark else uuid4() for mark in marks]
        twins = await _cases_like(connection, marks)
        file = store.fold(case_id, ())
        known = await known_of(connection, deps, [file], ask.principal)
        happened(command, known.now)
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
        happened(fact, known.now)
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
            body |= await _cases_like(
                connection, store.fingerprints(deps.secret, drafts, file.case.mode), case_id
            )
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


async def find_child(deps: IntakeDeps, ask: Ask, command: FindChild) -> Answer:
    """The cases of a child, by exact identity. Who searched is audited by what was found, never by what was sought."""
    identity = command.model_dump(mode="json")
    marks = [mark for mode in Mode if (mark := store.fingerprint(deps.secret, identity, mode))]

    async def work(connection: Connection) -> Answer:
        found = await store.children_like(connection, marks)
        rows = await store.cases_of_children(connection, found)
        named = [f"child:{child}" for child in found] + [f"case:{row['case_id']}" for row in rows]
        await note(connection, ask.principal.name, ask.principal.role, "child.searched", named)
        cases: dict[UUID, list[dict[str, str]]] = {child: [] for child in found}
        for row in rows:
            cases[row["child_id"]].append(
                {
                    "case_id": str(row["case_id"]),
                    "case_number": row["case_number"],
                    "state": "open" if row["open"] else "closed",
                    "mode": row["mode"],
                }
            )
        items = [{"child_id": str(child), "cases": of_child} for child, of_child in cases.items()]
        return Answer(200, {"items": items, "next_cursor": None})

    return await execute(deps, ask, [], work)
