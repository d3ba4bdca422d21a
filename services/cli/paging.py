"""The work of `zoeklicht page …` and `zoeklicht duty …`."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from schemas.duty import ChangePerson, NewPerson
from services.cli.insight import pool_of
from services.cli.local import system
from services.cli.place import Place
from services.kernel.errors import ZoeklichtError
from services.kernel.paging import acknowledge, duty, open_pages, page
from services.kernel.paging.channels import check
from services.kernel.postgres import Pool, in_transaction
from services.kernel.settings import Settings

console = Console(highlight=False, soft_wrap=True)


class InputError(ZoeklichtError):
    """What was given makes no sense; the message says what would."""


@asynccontextmanager
async def _system(data: Path) -> AsyncIterator[tuple[Pool, Settings]]:
    async with system(Place(data), with_kafka=False) as found, pool_of(found) as pool:
        yield pool, found.settings


async def page_list(data: Path) -> None:
    """Shows what is not over."""
    async with _system(data) as (pool, settings):
        pages = await open_pages(pool)
    if not pages:
        console.print("nothing waits for a person")
        return
    table = Table("page", "since", "matter", "told", "looked after by", "what to do")
    for one in pages:
        since = f"{one.opened_at.astimezone(settings.zone):%d.%m. %H:%M}"
        told = ", ".join(person["name"] for person in one.told)
        table.add_row(str(one.page_id), since, one.matter, told, one.acknowledged_by or "", one.text)
    console.print(table)


async def page_ack(data: Path, page_id: int, name: str) -> int:
    """Looks after a page; 1 when it is over or looked after already."""
    async with _system(data) as (pool, _):
        done = await acknowledge(pool, page_id, name)
    console.print(f"{name} looks after it" if done else "no such page is open: see `zoeklicht page list`")
    return 0 if done else 1


async def page_test(data: Path) -> None:
    """Opens a page that means nothing."""
    moment = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    async with _system(data) as (pool, _):
        text = "this is a test: acknowledge it, and tell your colleagues that it arrived"
        await in_transaction(pool, lambda c: page(c, f"test:{moment}", text))
    console.print("paged; `zoeklicht page list` shows who was told")


async def duty_list(data: Path) -> None:
    """Shows everybody who can be paged."""
    async with _system(data) as (pool, settings):
        people = await duty.people(pool, settings.master_key_bytes)
    if not people:
        console.print("nobody can be paged: add people with `zoeklicht duty add`")
        return
    now = datetime.now(settings.zone)
    table = Table("person", "name", "desk", "place", "language", "channels", "hours", "on duty now")
    for one in people:
        view = one.view
        hours = "any" if one.slots is None else ", ".join(_hours(slot) for slot in view["slots"]) or "never"
        on_duty = "yes" if one.on_call.on_duty(now) else ""
        channels = ", ".join(view["channels"])
        table.add_row(
            str(one.person_id),
            one.name,
            one.desk.value,
            str(one.place),
            one.language.value,
            channels,
            hours,
            on_duty,
        )
    console.print(table)


def _hours(slot: Mapping[str, str]) -> str:
    return f"{slot['day']}@{slot['from']}-{slot['until']}"


async def duty_add(data: Path, given: Mapping[str, Any], slots: Sequence[str] | None) -> None:
    """Adds somebody. Raises InputError, ChannelError."""
    try:
        new = NewPerson.model_validate({**given, "slots": _slots(slots or ["always"])})
    except ValidationError as error:
        raise _explained(error) from None
    for channel in new.channels:
        check(channel)
    async with _system(data) as (pool, settings):
        person = await in_transaction(pool, lambda c: duty.add(c, settings.master_key_bytes, new))
    console.print(f"{person.person_id}  {person.name} is paged as number {person.place}")


async def duty_change(
    data: Path, person_id: UUID, given: Mapping[str, Any], slots: Sequence[str] | None
) -> None:
    """Changes somebody. Raises InputError, ChannelError, NotFoundError."""
    wish = {name: value for name, value in given.items() if value}
    if slots:
        wish["slots"] = _slots(slots)
    try:
        command = ChangePerson.model_validate(wish)
    except ValidationError as error:
        raise _explained(error) from None
    for channel in command.channels or []:
        check(channel)
    async with _system(data) as (pool, settings):
        await in_transaction(pool, lambda c: duty.change(c, settings.master_key_bytes, person_id, command))
    console.print("changed")


async def duty_remove(data: Path, person_id: UUID) -> None:
    """Removes somebody. Raises NotFoundError."""
    async with _system(data) as (pool, _):
        await in_transaction(pool, lambda c: duty.remove(c, person_id))
    console.print("removed")


def _slots(texts: Sequence[str]) -> list[dict[str, str]] | None:
    if list(texts) == ["always"]:
        return None
    if list(texts) == ["never"]:
        return []
    found = []
    for text in texts:
        day, _, hours = text.partition("@")
        begins, _, until = hours.partition("-")
        found.append({"day": day, "from": begins, "until": until})
    return found


def _explained(error: ValidationError) -> InputError:
    fields = sorted({str(item["loc"][0]) for item in error.errors()})
    return InputError(
        f"correct {', '.join(fields)}: a channel is an e-mail address or an Apprise URL, a slot mon@18:00-08:00"
    )
