"""What `zoeklicht partner …` does: the use cases of dispatch, on the store of the installation."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from schemas.commands import ChangePartner, NewPartner
from services.cli.insight import keys_of, pool_of
from services.cli.local import system
from services.cli.place import Place, read_json
from services.cli.terminal import err
from services.dispatch import deliveries, partners
from services.dispatch import health as watching
from services.dispatch import replay as again
from services.dispatch.desk import DispatchDeps
from services.dispatch.publish import Publisher
from services.dispatch.reconcile import reconcile_now
from services.kernel.errors import ZoeklichtError
from services.kernel.postgres import in_transaction
from services.kernel.vault import Vault, ring_of

_LOOK_S = 0.2
_PAGE = 200

console = Console(highlight=False, soft_wrap=True, markup=False)


class PartnerCommandError(ZoeklichtError):
    """A command about partners cannot be done; the message says what to write instead."""


@asynccontextmanager
async def desk(data: Path, *, loopback: bool = False) -> AsyncIterator[DispatchDeps]:
    """What the use cases stand on, for one command."""
    place = Place(data)
    async with (
        system(place, with_kafka=False) as found,
        pool_of(found) as pool,
        keys_of(found, 1) as keys,
    ):
        settings = found.settings
        # Bodies that are made here name the address of the listener that runs, as those made there do.
        public = settings.public_url or (read_json(place.access_file) or {}).get("base_url")
        changes: dict[str, object] = {"public_url": public}
        if loopback:
            changes["allow_loopback_partners"] = True
        settings = settings.model_copy(update=changes)
        yield DispatchDeps(pool, Vault(keys, ring_of(settings)), settings)


async def list_(data: Path, form: str) -> None:
    """Every partner."""
    async with desk(data) as deps:
        items = await _everybody(deps)
    if form == "json":
        return _json(items)
    table = Table("name", "state", "gets", "where")
    table.add_column("partner", no_wrap=True)
    for one in items:
        gets = [one["audience"], one["format"], one["content"], *one["languages"]]
        table.add_row(
            one["name"],
            one["state"],
            ", ".join([*gets, "exercises alone"] if one["exercise"] else gets),
            ", ".join(one["areas"]),
            one["partner_id"],
        )
    console.print(table)
    return None


async def show(data: Path, who: str) -> None:
    """One partner, as JSON."""
    async with desk(data) as deps:
        _json(await partners.view(deps.settings, deps.pool, await _id(deps, who)))


async def create(data: Path, fields: Mapping[str, Any], *, loopback: bool) -> None:
    """Registers a partner. Raises PartnerCommandError with one line for each field that is wrong."""
    try:
        command = NewPartner.model_validate(fields)
    except ValidationError as error:
        wrong = "; ".join(f"--{_option(item['loc'])}: {item['msg']}" for item in error.errors())
        raise PartnerCommandError(f"{wrong}; see zoeklicht partner create --help") from None
    async with desk(data, loopback=loopback) as deps:
        _, answer = await in_transaction(deps.pool, lambda c: partners.create(deps, c, command))
    _json(answer)
    err.print("give secret and token to the partner now: they cannot be read again")
    err.print("a ping is due at once; its first 2xx makes the partner active")


async def pause(data: Path, who: str, *, paused: bool) -> None:
    """Pauses a partner, or ends its pause."""
    async with desk(data) as deps:
        partner_id = await _id(deps, who)
        if (await partners.view(deps.settings, deps.pool, partner_id))["state"] != "paused" and not paused:
            raise PartnerCommandError(f"{who} is not paused; zoeklicht partner list shows the states")
        wish = ChangePartner(paused=paused)
        await in_transaction(deps.pool, lambda c: partners.change(deps, c, partner_id, wish))
        done = await reconcile_now(Publisher(deps.pool, deps.vault, deps.settings), partner_id)
    if not paused:
        console.print(
            f"{who} is unverified until it answers a ping, which is due now; then what is lit is sent"
        )
    elif done:
        console.print(f"{who} is paused; what it shows is being withdrawn")
    else:
        console.print(f"{who} is paused; the service dispatch withdraws what it shows as soon as it can")


async def ping(data: Path, who: str, wait_s: float) -> int:
    """Pings, and waits for the answer; 1 when there is none in time, or a bad one."""
    async with desk(data) as deps:
        partner_id = await _id(deps, who)
        await in_transaction(deps.pool, partial(partners.ping, partner_id=partner_id))
        status = err.status("waiting for its answer …") if err.is_terminal else nullcontext()
        with status:
            found = await _answer(deps, partner_id, wait_s)
    if found["ping"] is None:
        console.print(f"{who} answered; it is {found['state']}")
        return 0
    if not found["ping"]["attempts"]:
        console.print(
            f"the ping of {who} is due, but no sender has sent it within {wait_s:g} s: is the system up?"
        )
    else:
        why = found["ping"]["status"] or found["ping"]["error_class"] or "no answer yet"
        console.print(f"{who} did not answer with 2xx ({why}); it is tried again for a day")
    return 1


async def _answer(deps: DispatchDeps, partner_id: UUID, wait_s: float) -> Mapping[str, Any]:
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        found = await partners.view(deps.settings, deps.pool, partner_id)
        pinged = found["ping"]
        told = pinged is None or pinged["status"] is not None or pinged["error_class"] is not None
        if told or asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(_LOOK_S)


async def rotate(data: Path, who: str) -> None:
    """A new secret."""
    async with desk(data) as deps:
        partner_id = await _id(deps, who)
        _, answer = await in_transaction(deps.pool, lambda c: partners.rotate(deps, c, partner_id))
    _json(answer)
    err.print("give the new secret to the partner before previous_until: it cannot be read again")


async def health(data: Path, who: str, hours: int, form: str) -> int:
    """How a partner is doing; 1 unless it is well."""
    async with desk(data) as deps:
        found = await watching.health(deps, await _id(deps, who), hours)
    if form == "json":
        _json(found)
    else:
        _print_health(found)
    return 0 if found["condition"] == "ok" else 1


def _print_health(found: Mapping[str, Any]) -> None:
    answers, waiting = found["answers"], found["waiting"]
    renewal, receipt = found["last_renewal"], found["last_receipt"]
    table = Table(show_header=False, title=f"{found['name']}: {found['condition']}", title_justify="left")
    failures = ", ".join(f"{name} x{count}" for name, count in found["failures"].items())
    for name, text in {
        "state": found["state"],
        "breaker": f"{found['breaker']['state']}, {found['breaker']['failures']} failures in a row",
        "last success": _moment(found["last_success_at"]),
        f"answers, {answers['hours']} h": f"{answers['accepted']} of {answers['attempts']} accepted",
        "answer time": f"p50 {_ms(answers['p50_ms'])}, p99 {_ms(answers['p99_ms'])}",
        "failures": failures or "none",
        "waiting": f"{waiting['appeals']} appeals, {waiting['withdrawals']} withdrawals",
        "may still show": f"{len(found['open_withdrawals'])} withdrawn alerts",
        "last receipt": f"{receipt['state']}, {_moment(receipt['recorded_at'])}" if receipt else "none",
        "last renewal": f"{renewal['status'] or renewal['error_class']}, {_moment(renewal['sent_at'])}"
        if renewal
        else "none",
        "last poll": _moment(found["last_poll_at"]),
    }.items():
        table.add_row(name, text)
    console.print(table)


async def log(data: Path, who: str, alert: UUID | None, limit: int, form: str) -> None:
    """What was sent to a partner, newest first."""
    async with desk(data) as deps:
        wanted = {"alert": alert, "recipient": await _id(deps, who), "state": None}
        items = (await deliveries.listed(deps, wanted, None, limit))["items"]
    if form == "json":
        return _json(items)
    table = Table("planned", "alert", "revision", "content", "state", "attempts")
    for one in items:
        attempts = "\n".join(
            f"{a['at'][:19]} {a['status'] or a['error_class'] or 'under way'} {_ms(a['took_ms'])}"
            for a in one["attempts"]
        )
        table.add_row(
            _moment(one["created_at"]),
            str(one["alert_id"]),
            str(one["revision"]),
            one["content"],
            one["state"],
            attempts or "none",
        )
    console.print(table)
    return None


async def replay(data: Path, partner: str | None, alert: UUID | None, delivery: UUID | None) -> None:
    """Sends newest revisions again; exactly one of the three is given."""
    async with desk(data) as deps:
        if partner is not None:
            one = await _id(deps, partner)
            _, answer = await in_transaction(deps.pool, lambda c: again.of_recipient(c, one))
        elif alert is not None:
            _, answer = await in_transaction(deps.pool, lambda c: again.of_alert(c, alert))
        elif delivery is not None:
            _, answer = await in_transaction(deps.pool, lambda c: again.of_delivery(c, delivery))
    if delivery is not None:
        console.print(f"{delivery} is sent again")
        return
    console.print(f"{len(answer['replayed'])} deliveries are sent again")
    for skipped in answer["skipped"]:
        console.print(f"  not {skipped['delivery_id']}: {skipped['detail']}")


async def may_still_show(data: Path, alert: UUID | None, form: str) -> int:
    """Who may still show a child that was found; 1 when somebody may."""
    async with desk(data) as deps:
        items = (await watching.may_still_show(deps, alert))["items"]
    if form == "json":
        _json(items)
    elif not items:
        console.print("nobody: every display has confirmed the removal")
    else:
        for one in items:
            dark = (
                "should be dark by itself"
                if one["lease_over"]
                else f"dark by itself at {_moment(one['dark_by'])}"
            )
            console.print(f"{one['name']}: call {one['contact']}")
            console.print(f"  {one['reason']} since {_moment(one['since'])}, {dark}; alert {one['alert_id']}")
    return 1 if items else 0


async def _everybody(deps: DispatchDeps) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    after: UUID | None = None
    while True:
        page = await partners.listed(deps, after, _PAGE)
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        after = UUID(page["next_cursor"])


async def _id(deps: DispatchDeps, who: str) -> UUID:
    """The id of a partner that is named by its id or its name. Raises PartnerCommandError."""
    try:
        return UUID(who)
    except ValueError:
        named = [one for one in await _everybody(deps) if one["name"].casefold() == who.casefold()]
    if len(named) != 1:
        what = "several partners have this name: give the id" if named else "no partner has this name"
        raise PartnerCommandError(f"{what}; zoeklicht partner list shows them")
    return UUID(named[0]["partner_id"])


def _option(place: Sequence[Any]) -> str:
    return {"areas": "area", "languages": "language", "format": "message-format"}.get(
        str(place[0]), str(place[0])
    )


def _json(value: Any) -> None:
    console.print(orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode())


def _moment(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if value is not None else "never"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} ms"
