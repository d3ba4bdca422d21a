"""The use cases of photos: taken in, shown to staff, shown to the public for as long as a campaign shows them."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any
from uuid import UUID

from schemas.events import PhotoAdded
from schemas.vocabulary import Language
from services.eventlog.store import campaign_stream, case_stream, read_stream
from services.intake import sheets, store
from services.intake.domain import campaign as campaigns
from services.intake.domain.campaign import Campaign, is_active
from services.intake.domain.drafts import Draft
from services.intake.domain.errors import StateRuleError
from services.intake.domain.media import DRAWN_TYPE, PHOTO, SHEETS, pictures_of
from services.intake.handlers.steps import Answer, Ask, IntakeDeps, check_match, execute, load
from services.intake.store import SQL
from services.kernel.conditional import entity_tag
from services.kernel.ids import new_id
from services.kernel.pictures import TYPE, WORKERS, clean
from services.kernel.postgres import Connection
from services.kernel.problems import GoneError, NotFoundError
from services.kernel.vault import context, key_name, seal_bytes, unseal_bytes

SHEETS_KEPT = 16
"""Campaigns whose drawn pictures stay in memory, each for as long as it stays as it is."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as it is served; `tag`, its entity tag, changes with its content."""

    content: bytes
    type: str
    tag: str


def _bound_to(media_id: UUID) -> bytes:
    return context("photo", media_id, "picture")


async def add(deps: IntakeDeps, ask: Ask, case_id: UUID, index: int, content: bytes) -> Answer:
    """Keeps a photo of a child of an open case, sealed with the child's key; the event names it and holds nothing.

    Raises a Problem for a file that is no whole JPEG or PNG within the limits, and for a child that is not there.
    """
    picture, width, height = await clean(content)
    media_id = new_id()

    async def work(connection: Connection) -> Answer:
        file = await load(connection, case_id)
        check_match(file, file.case.stream, ask.if_match)
        if not 0 <= index < len(file.case.children):
            raise NotFoundError("no-such-child", "the case has no child of this index: they count from 0")
        if not file.case.open:
            raise StateRuleError(
                "case-closed", "the case is closed or merged: reopen it, or use the other one"
            )
        child_id = file.case.children[index].child_id
        name = key_name("child", child_id)
        box = seal_bytes((await deps.vault.ensure([name]))[name], picture, _bound_to(media_id))
        digest = hashlib.sha256(box)
        fields = {
            "media_id": media_id,
            "child": index,
            "child_id": child_id,
            "type": TYPE,
            "width": width,
            "height": height,
            "size": len(box),
            "sha256": digest.hexdigest(),
        }
        # Before its event: whoever asks for the case as of that event sees the photo too.
        row = (media_id, child_id, TYPE, width, height, digest.digest(), box)
        await connection.execute(SQL["photo_insert"], *row)
        committed = await store.commit(
            connection,
            vault=deps.vault,
            secret=deps.secret,
            policy=deps.policy,
            files=[file],
            drafts=[Draft(file.case.stream, PhotoAdded, fields)],
            cause=ask.cause(file.case.mode),
        )
        version = committed.versions[file.case.stream]
        return Answer(201, {"media_id": str(media_id), "width": width, "height": height, "version": version})

    return await execute(deps, ask, [case_stream(case_id)], work)


async def for_staff(deps: IntakeDeps, case_id: UUID, index: int, media_id: UUID) -> Shown:
    """A photo of a child of a case, whatever is shown in public. The caller has noted who looks."""
    async with deps.pool.acquire() as connection:
        file = await load(connection, case_id)
    children = file.case.children
    row = await deps.pool.fetchrow(SQL["photo_boxes"], [media_id])
    if row is None or not 0 <= index < len(children) or row["child_id"] != children[index].child_id:
        raise NotFoundError("no-such-photo", "this child has no such photo: take the id from the case")
    opened = await _opened(deps, [row])
    if not opened:
        raise GoneError("erased", "this photo is erased")
    return Shown(opened[0], row["type"], entity_tag(row["digest"].hex()))


async def for_everybody(deps: IntakeDeps, link: str) -> Shown:
    """A picture of a campaign that is active now and shows it now.

    Raises NotFoundError for an address that leads nowhere, also before the release; GoneError from the moment on at
    which the campaign ends or expires, or shows the picture no more.
    """
    row = await deps.pool.fetchrow(SQL["link"], store.link_digest(link))
    campaign = None if row is None else await _campaign(deps, row["campaign_id"])
    if row is None or campaign is None or campaign.state in ("none", "requested"):
        raise NotFoundError("no-such-picture", "nothing is shown at this address; take it from the alert")
    now = await store.database_now(deps.pool)
    name = row["name"]
    if _shows(campaign, name, now):
        shown = await _photo(deps, name) if name.startswith(PHOTO) else await _sheet(deps, campaign, name)
        if shown is not None:
            return shown
    deps.sheets.pop(campaign.campaign_id, None)
    raise GoneError(
        "picture-gone", "this picture is shown no more: show it nowhere, delete what you keep of it"
    )


async def _campaign(deps: IntakeDeps, campaign_id: UUID) -> Campaign | None:
    events = await read_stream(deps.pool, campaign_stream(campaign_id))
    if not events:
        return None
    initial = campaigns.initial_state(campaign_id, UUID(events[0].subject))
    return reduce(campaigns.evolve, events, initial)


def _shows(campaign: Campaign, name: str, now: datetime) -> bool:
    """Whether a picture may be seen: the timer that ends an expired campaign may be a moment late."""
    expires_at = campaign.shown.expires_at
    lasting = expires_at is None or expires_at > now
    return is_active(campaign) and lasting and name in pictures_of(campaign.shown)


async def _photo(deps: IntakeDeps, name: str) -> Shown | None:
    row = await deps.pool.fetchrow(SQL["photo_boxes"], [UUID(name.removeprefix(f"{PHOTO}."))])
    opened = await _opened(deps, [row])
    return Shown(opened[0], row["type"], entity_tag(row["digest"].hex())) if opened else None


async def _sheet(deps: IntakeDeps, campaign: Campaign, name: str) -> Shown | None:
    """A drawn picture; made once for a version of the campaign, by whoever asks first."""
    version, made = deps.sheets.get(campaign.campaign_id, (0, {}))
    if version != campaign.version:
        made = {}
        deps.sheets.pop(campaign.campaign_id, None)
        deps.sheets[campaign.campaign_id] = campaign.version, made
        if len(deps.sheets) > SHEETS_KEPT:
            deps.sheets.pop(next(iter(deps.sheets)))
    rows = await deps.pool.fetch(SQL["photo_boxes"], [one.media_id for one in campaign.shown.media])
    photos = await _opened(deps, rows)
    case_key = key_name("case", campaign.case_id)
    keys = await deps.vault.find([case_key])
    words = campaign.texts.opened(keys) if campaign.texts else None
    if words is None or len(photos) < len(campaign.shown.media):
        return None
    if name not in made:
        rel, _, language = name.partition(".")
        text = words[language]
        made[name] = asyncio.get_running_loop().run_in_executor(
            WORKERS, sheets.drawn, SHEETS[rel], text["headline"], text["body"], Language(language), photos
        )
    content = await asyncio.shield(made[name])
    return Shown(content, DRAWN_TYPE, entity_tag(hashlib.sha256(content).hexdigest()))


async def _opened(deps: IntakeDeps, rows: Sequence[Any]) -> list[bytes]:
    """The photos, without those that are erased."""
    names = [key_name("child", row["child_id"]) for row in rows]
    keys = await deps.vault.find(names)
    return [
        unseal_bytes(row["box"], keys[name], _bound_to(row["media_id"]))
        for row, name in zip(rows, names, strict=True)
        if name in keys
    ]
