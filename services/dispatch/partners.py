"""Partners: who receives alerts, with which secrets, and what becomes of them when they answer."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from schemas.areas import Drawn
from schemas.commands import ChangePartner, NewPartner
from schemas.vocabulary import Mode
from services.dispatch.addresses import AddressRefusedError, check_url
from services.dispatch.bodies import SOURCE, Bodies, find_keys, open_box
from services.dispatch.desk import Answer, DispatchDeps
from services.dispatch.domain import (
    Alert,
    Material,
    Recipient,
    Revision,
    addressed,
    appeal_content,
    is_stopped,
    variant_of,
    variants_for,
)
from services.dispatch.publish import (
    LANE_CHANNEL,
    alert_of,
    delivery_id,
    earlier,
    recipient_of,
)
from services.dispatch.secret_boxes import PURPOSE, private_key
from services.dispatch.selection import codes_of, wrong_area
from services.eventlog.store import stopped
from services.geography import AreaError
from services.kernel import signing
from services.kernel.ids import new_id
from services.kernel.paging import page
from services.kernel.postgres import Connection, queries
from services.kernel.principals import Role, issue_token
from services.kernel.problems import InvalidError, NotFoundError
from services.kernel.settings import Settings
from services.kernel.vault import derive, key_name, seal

PING_CHANNEL = "dispatch_ping"

_SQL = queries("services.dispatch")


# ── use cases ───────────────────────────────────────────────────────────────────────────────────────────────


async def create(deps: DispatchDeps, connection: Connection, command: NewPartner) -> Answer:
    """A new partner. Secret and token can be read only in this answer; the first 2xx to a ping makes it active."""
    _check(deps.settings, str(command.url))
    areas = await _codes(command.areas)
    partner_id, secret = new_id(), signing.new_secret()
    await connection.execute(_SQL["recipients_change"])
    await connection.execute(
        _SQL["partner_insert"],
        partner_id,
        command.name,
        str(command.url),
        command.format,
        command.content,
        areas,
        [language.value for language in command.languages],
        command.contact,
        command.audience.value,
        command.exercise,
        _boxed(deps.settings, partner_id, secret),
    )
    token = await issue_token(connection, str(partner_id), Role.PARTNER)
    await _prepare(deps, connection, await _found(connection, partner_id))
    await _ping(connection, partner_id)
    return 201, {
        "partner_id": str(partner_id),
        "secret": secret,
        "public_key": public_key(deps.settings, partner_id),
        "token": token,
        "state": "unverified",
    }


async def change(
    deps: DispatchDeps, connection: Connection, partner_id: UUID, command: ChangePartner
) -> Mapping[str, Any]:
    """Changes a partner. A new address, like the end of a pause, is proved by a new ping before anything is sent.

    What it shows follows once this is committed, by `reconcile`: a pause takes everything back.
    """
    areas = await _codes(command.areas) if command.areas else None
    await connection.execute(_SQL["recipients_change"])
    row = await _found(connection, partner_id)
    new = {**row, **command.model_dump(mode="json", exclude_none=True, exclude={"paused"})}
    if command.url:
        _check(deps.settings, new["url"])
    new["areas"] = areas or row["areas"]
    moved = new["url"] != row["url"]
    if command.paused:
        new["state"] = "paused"
    elif (row["state"] == "paused" and command.paused is False) or (moved and row["state"] != "paused"):
        new["state"] = "unverified"
    fields = ("name", "url", "content", "areas", "languages", "contact", "state")
    await connection.execute(_SQL["partner_update"], partner_id, *(new[field] for field in fields))
    await _prepare(deps, connection, new)
    if new["state"] == "unverified":
        await _ping(connection, partner_id)
    elif new["state"] == "active" and command.areas:
        await _plan_lit(connection, recipient_of(new))
    return await view(deps.settings, connection, partner_id)


async def rotate(deps: DispatchDeps, connection: Connection, partner_id: UUID) -> Answer:
    """A new secret; the old one goes on signing beside it for 24 hours."""
    await _found(connection, partner_id)
    secret = signing.new_secret()
    until = await connection.fetchval(
        _SQL["partner_rotate"], partner_id, _boxed(deps.settings, partner_id, secret)
    )
    return 200, {"partner_id": str(partner_id), "secret": secret, "previous_until": until.isoformat()}


async def ping(connection: Connection, partner_id: UUID) -> Answer:
    """A handshake at once."""
    row = await _found(connection, partner_id)
    await _ping(connection, partner_id)
    return 202, {"partner_id": str(partner_id), "state": row["state"]}


async def activate(connection: Connection, recipient_id: UUID) -> None:
    """The recipient answered: active from now on, and it gets the newest revision of every alert that is lit.

    Called in the transaction that records the answer, before any other write. A paused recipient stays paused.
    """
    await connection.execute(_SQL["recipients_change"])
    row = await connection.fetchrow(_SQL["partner_activate"], recipient_id)
    if row is not None:
        await _plan_lit(connection, recipient_of(row))


async def view(settings: Settings, source: Any, partner_id: UUID) -> Mapping[str, Any]:
    """A partner as an administrator sees it: no secret."""
    row = await source.fetchrow(_SQL["partner"], partner_id)
    if row is None:
        raise _unknown()
    return {**_shown(row), "public_key": public_key(settings, partner_id)}


async def public_keys(deps: DispatchDeps, partner_id: UUID) -> Mapping[str, Any]:
    """What anybody may know: with which public keys messages to this partner are checked."""
    if await deps.pool.fetchrow(_SQL["partner"], partner_id) is None:
        raise NotFoundError(
            "partner", "there is no such partner; take the id from the answer that registered it"
        )
    return {"partner_id": str(partner_id), "public_keys": [public_key(deps.settings, partner_id)]}


def public_key(settings: Settings, partner_id: UUID) -> str:
    """The `whpk_…` that checks the `v1a` signatures of messages to this partner."""
    return signing.public_text(private_key(partner_id, settings.master_key_bytes))


async def listed(deps: DispatchDeps, after: UUID | None, limit: int) -> Mapping[str, Any]:
    """Partners in order of creation."""
    rows = await deps.pool.fetch(_SQL["partners"], after, limit + 1)
    more = len(rows) > limit
    items = [_shown(row) for row in rows[:limit]]
    return {"items": items, "next_cursor": items[-1]["partner_id"] if more else None}


# ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────


def _unknown() -> NotFoundError:
    return NotFoundError("partner", "there is no such partner; GET /v1/partners lists them")


async def _found(connection: Connection, partner_id: UUID) -> dict[str, Any]:
    row = await connection.fetchrow(_SQL["partner_locked"], partner_id)
    if row is None:
        raise _unknown()
    return dict(row)


def _check(settings: Settings, url: str) -> None:
    try:
        check_url(url, settings)
    except AddressRefusedError as error:
        raise InvalidError("partner-url", f"url: {error}") from None


async def _codes(areas: Sequence[str | Drawn]) -> list[str]:
    try:
        return await codes_of(areas)
    except AreaError as error:
        raise InvalidError("partner-areas", f"areas: {error}", errors=[wrong_area(error)]) from None


def _boxed(settings: Settings, partner_id: UUID, secret: str) -> str:
    key = derive(settings.master_key_bytes, PURPOSE)
    return seal(PURPOSE, key, secret, str(partner_id).encode()).model_dump_json()


async def _ping(connection: Connection, partner_id: UUID) -> None:
    await connection.execute(_SQL["ping_due"], partner_id)
    await connection.execute(f"notify {PING_CHANNEL}")


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    plain = (
        "name",
        "url",
        "format",
        "content",
        "areas",
        "languages",
        "contact",
        "audience",
        "exercise",
        "state",
    )
    pinged = {
        "due_at": row["ping_due_at"],
        "attempts": row["ping_attempts"],
        "status": row["ping_status"],
        "error_class": row["ping_error_class"],
    }
    return {
        "partner_id": str(row["recipient_id"]),
        **{name: row[name] for name in plain},
        "created_at": row["created_at"],
        "previous_secret_until": row["previous_until"],
        "ping": pinged if row["ping_attempts"] is not None else None,
    }


async def _lit(connection: Connection, recipient: Recipient) -> list[tuple[Alert, int]]:
    """Alerts for this recipient that may be shown now, with their newest revision."""
    mode = Mode.EXERCISE if recipient.exercise else Mode.ACTUAL
    rows = await connection.fetch(_SQL["alerts_lit"], mode.value)
    found = [(alert_of(row), row["head_revision"]) for row in rows]
    stops = await stopped(connection, [i for a, _ in found for i in (a.campaign_id, a.case_id) if i])
    return [(a, head) for a, head in found if not is_stopped(a, stops) and addressed(a, [recipient])]


async def _variants(connection: Connection, alerts: Sequence[UUID]) -> set[tuple[UUID, str]]:
    return {(row["alert_id"], row["variant"]) for row in await connection.fetch(_SQL["variants"], alerts)}


async def _prepare(deps: DispatchDeps, connection: Connection, row: Mapping[str, Any]) -> None:
    """Makes the forms that this recipient will want of what is lit now, so that activating it needs no key."""
    recipient = recipient_of(row)
    lit = [alert for alert, _ in await _lit(connection, recipient)]
    have = await _variants(connection, [alert.alert_id for alert in lit])
    wanted = {
        alert.alert_id: [
            variant
            for variant in variants_for(alert, [recipient])
            if (alert.alert_id, variant.name) not in have
        ]
        for alert in lit
        if (alert.alert_id, SOURCE) in have
    }
    lacking = [alert_id for alert_id, variants in wanted.items() if variants]
    if not lacking:
        return
    keys = await find_keys(deps.vault, [key_name("alert", one) for one in lacking])
    bodies = Bodies.of(deps.settings)
    for source in await connection.fetch(_SQL["sources"], lacking):
        alert, number = alert_of(source), source["head_revision"]
        key = keys.get(key_name("alert", alert.alert_id))
        if key is None:
            continue
        messages = await earlier(connection, alert.alert_id, number)
        frame = bodies.frame(alert, source["issued_at"], source["revised_at"], messages)
        revision = Revision(alert, number, appeal_content(number), dark=False, frame=frame)
        material = Material.model_validate(open_box(alert.alert_id, number, SOURCE, source["box"], key))
        for variant in wanted[alert.alert_id]:
            made = bodies.form(revision, material, variant, key)
            await connection.execute(
                _SQL["body_insert"], alert.alert_id, number, made.variant, made.box, made.clear
            )


async def _plan_lit(connection: Connection, recipient: Recipient) -> None:
    """Plans the newest revision of every lit alert that the recipient lacks, in the order of the lanes."""
    lit = await _lit(connection, recipient)
    ids = [alert.alert_id for alert, _ in lit]
    await connection.fetch(_SQL["lanes_lock_of"], recipient.recipient_id, ids)
    have = await _variants(connection, ids)
    rows = await connection.fetch(_SQL["last_deliveries"], recipient.recipient_id, ids)
    last = {row["alert_id"]: row["revision"] for row in rows}
    variant = variant_of(recipient).name
    for alert, head in lit:
        if last.get(alert.alert_id) == head or (alert.alert_id, SOURCE) not in have:
            continue
        if (alert.alert_id, variant) in have:
            await _deliver(connection, recipient, alert.alert_id, head, variant)
        else:
            await page(
                connection,
                f"dispatch-no-body:{alert.alert_id}:{recipient.recipient_id}",
                "a partner became active but lacks a running alert in its form: change any of its fields,"
                " or update the campaign, so that it is made",
            )
    await connection.execute(f"notify {LANE_CHANNEL}")


async def _deliver(
    connection: Connection, recipient: Recipient, alert_id: UUID, head: int, variant: str
) -> None:
    to = [recipient.recipient_id]
    await connection.execute(_SQL["lanes_new"], alert_id, to)
    await connection.execute(_SQL["supersede"], alert_id, to, head, True)
    await connection.execute(
        _SQL["deliveries_insert"],
        alert_id,
        head,
        "pending",
        [delivery_id(alert_id, recipient.recipient_id, head)],
        to,
        [appeal_content(head)],
        [variant],
    )
    await connection.execute(_SQL["lanes_due"], alert_id, to, [False])
