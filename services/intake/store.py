"""What intake keeps beside the log: case numbers, who is in which case, the blind index, timers. And its commits."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from schemas.events import (
    CampaignEnded,
    CampaignExtended,
    CampaignReleased,
    CampaignRequested,
    CampaignUpdated,
    CaseClosed,
    CaseMerged,
    CaseOpened,
    CaseReopened,
    ChildrenJoined,
    EventData,
)
from schemas.vocabulary import Mode
from services.eventlog.store import Append, Cause, NewEvent, Recorded, Stop, append, tolerated
from services.intake.domain import campaign as campaigns
from services.intake.domain import case as cases
from services.intake.domain.campaign import Campaign
from services.intake.domain.case import Case
from services.intake.domain.drafts import Draft, Secret
from services.intake.domain.identity import identifying
from services.intake.domain.media import Photo, photo_name, sheet_name
from services.intake.domain.policy import Policy
from services.intake.sealing import key_names, sealed_event
from services.kernel.postgres import Connection, Pool, queries
from services.kernel.vault import Vault, blind, derive

SQL = queries("services.intake")


@dataclass(frozen=True, slots=True)
class File:
    """All that intake knows of a case: the case, its campaigns, and the events of both in order of appending."""

    case: Case
    campaigns: Mapping[UUID, Campaign]
    events: Sequence[Recorded]

    @property
    def versions(self) -> dict[str, int]:
        """The version of every stream of the case."""
        return {self.case.stream: self.case.version} | {c.stream: c.version for c in self.campaigns.values()}


def fold(case_id: UUID, events: Iterable[Recorded]) -> File:
    """The file of a case from its events; events of other services are passed over."""
    file = File(cases.initial_state(case_id), {}, ())
    mine = []
    for event in events:
        if event.stream == file.case.stream or event.stream.startswith("campaign-"):
            file = with_event(file, event)
            mine.append(event)
    return replace(file, events=mine)


def with_event(file: File, event: Recorded) -> File:
    """The file after one more event of the case or of one of its campaigns."""
    if event.stream == file.case.stream:
        return replace(file, case=cases.evolve(file.case, event), events=[*file.events, event])
    campaign_id = UUID(event.stream.removeprefix("campaign-"))
    before = file.campaigns.get(campaign_id) or campaigns.initial_state(campaign_id, file.case.case_id)
    after = {**file.campaigns, campaign_id: campaigns.evolve(before, event)}
    return replace(file, campaigns=after, events=[*file.events, event])


async def load_files(connection: Connection, case_ids: Sequence[UUID]) -> dict[UUID, File]:
    """The files of several cases; a case that does not exist has version 0."""
    rows = await connection.fetch(SQL["intake_events"], [str(case_id) for case_id in case_ids])
    events: dict[str, list[Recorded]] = {str(case_id): [] for case_id in case_ids}
    for row in rows:
        events[row["subject"]].append(tolerated(row))
    return {case_id: fold(case_id, events[str(case_id)]) for case_id in case_ids}


def fingerprint_key(master_key: bytes) -> bytes:
    """The key of the blind index."""
    return derive(master_key, "blind-index")


def fingerprint(secret: bytes, identity: Mapping[str, Any] | None, mode: Mode) -> bytes | None:
    """What finds a child again among those of the mode: nobody of an exercise is anybody real.

    None unless names and birth date are all known.
    """
    parts = identifying(dict(identity or {}))
    if not parts:
        return None
    return blind(secret, *parts) if mode is Mode.ACTUAL else blind(secret, mode.value, *parts)


def fingerprints(secret: bytes, drafts: Iterable[Draft], mode: Mode) -> dict[bytes, UUID]:
    """The fingerprints of every identity in these drafts of cases of a mode."""
    found = {}
    for draft in drafts:
        for row in draft.fields.get("children") or ():
            identity = row.get("identity") if isinstance(row, Mapping) else None
            if isinstance(identity, Secret):
                mark = fingerprint(secret, identity.value, mode)
                if mark:
                    found[mark] = UUID(identity.key.removeprefix("child:"))
    return found


async def known_children(connection: Connection | Pool, marks: Iterable[bytes]) -> dict[bytes, UUID]:
    """The child with each of these fingerprints; of several, the one that was known first."""
    rows = await connection.fetch(SQL["known_children"], list(marks))
    return {bytes(row["fingerprint"]): row["child_id"] for row in reversed(rows)}


async def children_like(connection: Connection | Pool, marks: Iterable[bytes]) -> list[UUID]:
    """Every child with one of these fingerprints."""
    return [row["child_id"] for row in await connection.fetch(SQL["known_children"], list(marks))]


async def forget_children(connection: Connection, children: Iterable[UUID]) -> None:
    """Erases what finds these children again: part of their erasure."""
    await connection.execute(SQL["forget_children"], list(children))


async def cases_of_children(
    connection: Connection | Pool, children: Iterable[UUID]
) -> list[Mapping[str, Any]]:
    """Rows (child_id, case_id, case_number, open, mode), in order of number."""
    return list(await connection.fetch(SQL["cases_of_children"], list(children)))


async def next_number(source: Connection | Pool, year: int, count: int = 1) -> list[str]:
    """`count` new case numbers of a year, such as 2021-000123."""
    last = await source.fetchval(SQL["next_numbers"], year, count)
    return [f"{year}-{number:06d}" for number in range(last - count + 1, last + 1)]


async def case_of(source: Connection | Pool, campaign_id: UUID) -> UUID | None:
    """The case of a campaign."""
    found: UUID | None = await source.fetchval(SQL["case_of"], campaign_id)
    return found


async def database_now(source: Connection | Pool) -> datetime:
    """The clock by which everything is timed."""
    moment: datetime = await source.fetchval(SQL["now"])
    return moment


@dataclass(frozen=True, slots=True)
class Committed:
    """What was appended, with the new versions."""

    events: Sequence[tuple[Draft, NewEvent]]
    versions: Mapping[str, int]

    def first(self, stream: str) -> NewEvent:
        """The first event that was appended to a stream."""
        return next(event for draft, event in self.events if draft.stream == stream)


async def commit(
    connection: Connection,
    *,
    vault: Vault,
    secret: bytes,
    policy: Policy,
    files: Sequence[File],
    drafts: Sequence[Draft],
    cause: Cause,
) -> Committed:
    """Seals what was decided and appends it with all that must be true at once: stops, timers, indexes.

    The streams of the cases are locked; a new stream belongs to the last of the files. Raises VersionConflictError, KeyDestroyedError.
    """
    keys = await vault.ensure(key_names(drafts)) if key_names(drafts) else {}
    events = [(draft, sealed_event(draft, keys)) for draft in drafts]
    subjects = {stream: file.case.case_id for file in files for stream in file.versions}
    expected = {stream: version for file in files for stream, version in file.versions.items()}
    appends, stops = [], []
    for stream in dict.fromkeys(draft.stream for draft in drafts):
        case_id = subjects.get(stream, files[-1].case.case_id)
        version = expected.get(stream, 0)
        mine = [(draft, event) for draft, event in events if draft.stream == stream]
        appends.append(Append(stream, str(case_id), [event for _, event in mine], cause, version))
        stops += [
            Stop(*draft.darkens, case_id, version + number, event.event_id, cause.mode)
            for number, (draft, event) in enumerate(mine, 1)
            if draft.darkens
        ]
    versions = await append(connection, appends, stops)
    await index_children(connection, fingerprints(secret, drafts, cause.mode))
    facts = [(subjects.get(draft.stream, files[-1].case.case_id), event.data) for draft, event in events]
    await note_cases(connection, facts)
    await _note_links(connection, drafts)
    await _set_timers(connection, policy, [data for _, data in facts])
    return Committed(events, versions)


async def index_children(connection: Connection, marks: Mapping[bytes, UUID]) -> None:
    """Remembers how to find these children again."""
    if marks:
        await connection.execute(SQL["index_children"], list(marks), list(marks.values()))


async def note_cases(connection: Connection, facts: Sequence[tuple[UUID, EventData]]) -> None:
    """Keeps the tables that find cases in step with (case id, event)."""
    opened = [(case, data) for case, data in facts if isinstance(data, CaseOpened)]
    if opened:
        await connection.execute(
            SQL["opened"], [c for c, _ in opened], [d.case_number for _, d in opened], [True] * len(opened)
        )
    members = [
        (child.child_id, case)
        for case, data in facts
        if isinstance(data, CaseOpened | ChildrenJoined)
        for child in data.children
    ]
    if members:
        await connection.execute(
            SQL["case_children"], [child for child, _ in members], [case for _, case in members]
        )
    # The last turn of each case counts.
    turned = {
        case: isinstance(data, CaseReopened)
        for case, data in facts
        if isinstance(data, CaseClosed | CaseMerged | CaseReopened)
    }
    if turned:
        await connection.execute(SQL["turned"], list(turned), list(turned.values()))
    started = {
        data.campaign_id: case
        for case, data in facts
        if isinstance(data, CampaignRequested | CampaignReleased)
    }
    if started:
        await connection.execute(SQL["campaigns"], list(started), list(started.values()))


async def photos(connection: Connection, media_ids: Sequence[UUID]) -> dict[UUID, Photo]:
    """The photos with these ids; those that do not exist are left out."""
    rows = await connection.fetch(SQL["photos"], media_ids)
    return {row["media_id"]: Photo(**row) for row in rows}


def link_digest(link: str) -> bytes:
    """What is kept of the unguessable part of a picture's address."""
    return hashlib.sha256(link.encode()).digest()


async def _note_links(connection: Connection, drafts: Iterable[Draft]) -> None:
    """Lets the addresses that these appeals hand out be found."""
    found = {}
    for draft in drafts:
        appeal, campaign_id = draft.fields.get("appeal") or {}, draft.fields.get("campaign_id")
        for one in appeal.get("media") or ():
            found[link_digest(one["link"].value)] = (campaign_id, photo_name(one["media_id"]))
        for one in appeal.get("renderings") or ():
            found[link_digest(one["link"].value)] = (campaign_id, sheet_name(one["rel"], one["language"]))
    if found:
        await connection.execute(
            SQL["links"],
            list(found),
            [one for one, _ in found.values()],
            [name for _, name in found.values()],
        )


async def _set_timers(connection: Connection, policy: Policy, facts: Iterable[EventData]) -> None:
    for data in facts:
        match data:
            case CampaignRequested():
                if policy.kinds[data.appeal.kind].release == "automatic":
                    await connection.execute(SQL["set_timer"], data.campaign_id, "release", None)
            case CampaignReleased() | CampaignUpdated() | CampaignExtended():
                await connection.execute(SQL["clear_timers"], data.campaign_id, "release")
                if data.appeal.expires_at:
                    due = data.appeal.expires_at
                    await connection.execute(SQL["set_timer"], data.campaign_id, "expire", due)
            case CampaignEnded():
                await connection.execute(SQL["clear_timers"], data.campaign_id, None)
            case _:
                pass
