"""The work of `zoeklicht erase`: the use cases of erasures, on the store of the installation."""

import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import UUID

import orjson
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from schemas.commands import RequestErasure
from schemas.vocabulary import ErasureReason
from services.cli.insight import keys_of, pool_of
from services.cli.local import system
from services.cli.place import Place
from services.dispatch import erasing as dispatch
from services.intake import erasing as intake
from services.intake import retention
from services.intake.certificate import certificate as certified
from services.intake.handlers import erasures
from services.intake.handlers.steps import Ask, IntakeDeps
from services.intake.policy import load_policy
from services.kernel.auth import identify
from services.kernel.erasure import do_parts
from services.kernel.erasure.jobs import PARTS, erased_by_all
from services.kernel.erasure.jobs import SQL as JOBS
from services.kernel.errors import ZoeklichtError
from services.kernel.ids import new_id
from services.kernel.principals import LEADS, Principal, Role
from services.kernel.vault import Vault, ring_of
from services.volunteers import erasing as volunteers
from services.volunteers.desk import VolunteerDeps

console = Console(highlight=False, soft_wrap=True, markup=False)


class EraseError(ZoeklichtError):
    """What was given cannot be done; the message says what can."""


@asynccontextmanager
async def _desk(data: Path) -> AsyncIterator[IntakeDeps]:
    async with (
        system(Place(data), with_kafka=False) as found,
        pool_of(found) as pool,
        keys_of(found, 1) as keys,
    ):
        vault = Vault(keys, ring_of(found.settings))
        yield IntakeDeps(pool, vault, found.settings, load_policy(found.settings.policy))


async def _ask(deps: IntakeDeps, token: str | None) -> Ask:
    """Whose token it is, else the account at this machine. Raises EraseError for one who may not."""
    if token is None:
        return Ask(Principal(f"cli:{getpass.getuser()}", Role.ADMIN), str(new_id()))
    who = await identify(deps.pool, token)
    if who is None or who.role not in LEADS:
        raise EraseError(
            "this token may not erase: take one of a coordinator or an admin, see `token create`"
        )
    return Ask(who, str(new_id()))


async def request(  # noqa: PLR0917 - each is an option of its own
    data: Path,
    token: str | None,
    case: UUID | None,
    child: UUID | None,
    reason: ErasureReason,
    reference: str,
) -> None:
    """Asks for an erasure and says how a colleague approves it. Raises EraseError, or a Problem."""
    try:
        command = RequestErasure(case_id=case, child_id=child, reason=reason, reference=reference)
    except ValidationError as error:
        raise EraseError(
            "a reference is the number of a file, such as AVG-2026/14: no name fits in"
        ) from error
    async with _desk(data) as deps:
        answer = await erasures.request(deps, await _ask(deps, token), command)
    body = answer.body
    console.print(f"asked for erasure {body['erasure_id']}:")
    console.print(f"  children {', '.join(body['children'])}")
    console.print(f"  cases    {', '.join(body['cases'])}")
    for other in body["same_identity"]:
        console.print(
            f"  child {other} has, or had, the same names and birth date: ask for it too if it is the same"
        )
    console.print(f"a colleague approves it: zoeklicht erase --approve {body['erasure_id']} --token THEIRS")


async def approve(data: Path, token: str | None, erasure_id: UUID) -> None:
    """Approves it, erases, and prints how far it came. Raises EraseError, or a Problem for whoever asked for it."""
    async with _desk(data) as deps:
        await erasures.approve(deps, await _ask(deps, token), erasure_id)
        console.print(f"approved: erasure {erasure_id} cannot be stopped any more; its campaigns are ended")
        await _carry_out(deps)
        await _tell(deps, erasure_id)


async def _carry_out(deps: IntakeDeps) -> None:
    """Every part that can be done now; services that run do the same, and what must wait is theirs."""
    helpers = VolunteerDeps(deps.pool, deps.vault, deps.settings)
    await do_parts(deps.pool, intake.PART, partial(intake.erase, deps))
    await do_parts(deps.pool, dispatch.PART, partial(dispatch.erase, deps.pool, deps.vault))
    await do_parts(deps.pool, volunteers.PART, partial(volunteers.erase, helpers))
    await dispatch.confirm(deps.pool)
    await intake.run_erasures(deps)


async def _tell(deps: IntakeDeps, erasure_id: UUID) -> None:
    done = {row["part"] for row in await deps.pool.fetch(JOBS["erased"], erasure_id)}
    for part in PARTS:
        waits = (
            "done"
            if part in done
            else "waits: what is lit or called out ends first; the running services go on"
        )
        console.print(f"  {part:<10} {waits}")
    for name, count in (await erased_by_all(deps.pool, erasure_id)).items():
        console.print(f"  {name:<20} {count}")
    if (await erasures.load_erasure(deps.pool, erasure_id)).executed_at is None:
        console.print(f"not all is erased yet: see zoeklicht erase --certificate {erasure_id} later")
        return
    await _print_certificate(deps, erasure_id)


async def withdraw(data: Path, token: str | None, erasure_id: UUID) -> None:
    """Takes a request back, or declines it. Raises EraseError, or a Problem once it was approved."""
    async with _desk(data) as deps:
        await erasures.withdraw(deps, await _ask(deps, token), erasure_id)
    console.print(f"withdrawn: erasure {erasure_id} was not approved, and nothing was erased")


async def certificate(data: Path, erasure_id: UUID) -> int:
    """Prints the certificate; 1 while it is not complete. Raises EraseError before the keys are destroyed."""
    async with _desk(data) as deps:
        if (await erasures.load_erasure(deps.pool, erasure_id)).executed_at is None:
            raise EraseError("nothing is certified before it is done: approve it, and let the services run")
        return 0 if await _print_certificate(deps, erasure_id) else 1


async def _print_certificate(deps: IntakeDeps, erasure_id: UUID) -> bool:
    erasure = await erasures.load_erasure(deps.pool, erasure_id)
    found = certified(erasure, await deps.pool.fetch(JOBS["partners"], erasure_id))
    console.print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    return bool(found["complete"])


async def due(data: Path, *, dry_run: bool) -> None:
    """Shows whose time is over, and erases them unless it is a dry run."""
    async with _desk(data) as deps:
        found = await retention.due(deps)
        months = deps.policy.retention.months
        if not found:
            console.print("nobody is due" if months else "the policy keeps identities until somebody asks")
            return
        table = Table("child", "last case closed", "cases", title=f"kept for {months} months")
        for one in found:
            closed = one.closed_at.astimezone(deps.settings.zone)
            table.add_row(str(one.child_id), f"{closed:%Y-%m-%d}", str(one.cases))
        console.print(table)
        if dry_run:
            console.print(f"{len(found)} are due, the longest first; nothing was touched")
            return
        done = await retention.erase_due(deps)
        await _carry_out(deps)
        console.print(f"{done} of {len(found)} erased; the next ones follow with the next call")
