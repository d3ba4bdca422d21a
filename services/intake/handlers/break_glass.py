"""Seeing an identity in an emergency without being of the staff: for a while, with a reason, and a person is paged."""

from datetime import timedelta
from uuid import UUID

from schemas.commands import BreakGlass
from services.eventlog.store import case_stream
from services.intake.handlers.steps import Answer, Ask, IntakeDeps, execute, load
from services.intake.store import SQL
from services.kernel.audit import note
from services.kernel.paging import page
from services.kernel.postgres import Connection, Pool
from services.kernel.principals import READERS, Principal

LASTS = timedelta(minutes=30)


async def break_glass(deps: IntakeDeps, ask: Ask, case_id: UUID, command: BreakGlass) -> Answer:
    """Lets the caller see the identities of the case for half an hour. Raises NotFoundError."""
    who = ask.principal

    async def work(connection: Connection) -> Answer:
        await load(connection, case_id)
        until = await connection.fetchval(
            SQL["break_glass"], who.name, case_id, LASTS, command.reason, command.reference
        )
        await page(
            connection,
            f"break-glass:{case_id}:{who.name}",
            f"{who.name} ({who.role}) may see the identities of case {case_id} until {until:%Y-%m-%d %H:%M} UTC:"
            f" {command.reason}, {command.reference}. Call them; GET /v1/audit?subject=case:{case_id} shows what was"
            " opened; revoke their token if nobody can say why",
        )
        await note(connection, who.name, who.role, f"glass.broken {command.reason}", [f"case:{case_id}"])
        return Answer(201, {"case_id": str(case_id), "until": until.isoformat()})

    return await execute(deps, ask, [case_stream(case_id)], work)


async def may_open(source: Pool | Connection, who: Principal, case_id: UUID) -> bool:
    """Whether somebody sees identities of this case: by role, or for a while by breaking the glass."""
    return who.role in READERS or bool(await source.fetchval(SQL["glass_is_broken"], who.name, case_id))
