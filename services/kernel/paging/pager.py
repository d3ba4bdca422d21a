"""The pager: tells whoever is on duty, one after the other, until somebody looks after it. Any number may run."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog

from schemas.duty import Desk
from schemas.vocabulary import Language
from services.kernel.clock import Clock, SystemClock
from services.kernel.paging import links
from services.kernel.paging.channels import ChannelError, Message, send
from services.kernel.paging.domain import OnCall, Told, candidates, next_to_tell, retry_s
from services.kernel.paging.duty import channels_of, kind_of, people
from services.kernel.paging.pages import all_clear, page
from services.kernel.paging.wording import Item, message
from services.kernel.postgres import AWAY, Connection, Pool, in_transaction, queries
from services.kernel.settings import Settings
from services.kernel.vault import VaultError
from services.kernel.watchdog import Doing

LEASE = timedelta(minutes=3)
"""Longer than all channels of a person may take: each has 15 s, and there are at most 8."""
POLL_S = 1.0
_AT_ONCE = 16
_ABOUT_PAGING = "paging"

_SQL = queries("services.kernel.paging")
log = structlog.get_logger()


class Pager:
    """Plans who is told of what, and sends it."""

    def __init__(self, pool: Pool, settings: Settings, clock: Clock | None = None) -> None:
        self._pool = pool
        self._settings = settings
        self._clock = clock or SystemClock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unheard: set[int] = set()

    async def run(self, stop: asyncio.Event, doing: Doing = nullcontext) -> None:
        """Works until asked to stop; what is on its way then has its lease to be sent again by the next pager."""
        try:
            while not stop.is_set():
                with doing("paging"):
                    await self._try_step()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), POLL_S)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _try_step(self) -> None:
        try:
            await self.step()
        except AWAY as error:
            log.warning("database is away; trying again", error_class=type(error).__name__)
        except VaultError as error:
            log.error("nobody can be paged", exc_info=error)  # noqa: TRY400 - our own text is kept, not a trace

    async def step(self) -> int:
        """Plans, and sets out with what is due; returns with how many messages."""
        await in_transaction(self._pool, self._plan)
        begun = 0
        while len(self._tasks) < _AT_ONCE and (notices := await self._pool.fetch(_SQL["claim"], LEASE)):
            task = asyncio.create_task(self._tell(notices))
            self._tasks.add(task)
            task.add_done_callback(self._finished)
            begun += 1
        return begun

    async def settle(self) -> None:
        """Waits for what is on its way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a message was not recorded; it is sent again", error_class=type(error).__name__)

    # ── whom ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _plan(self, connection: Connection) -> None:
        await connection.execute(_SQL["cancel"])
        await connection.execute(_SQL["clear"])
        waiting = await connection.fetch(_SQL["waiting"])
        if not waiting:
            return
        desks: defaultdict[str, list[OnCall]] = defaultdict(list)
        for one in await people(connection, self._settings.master_key_bytes):
            desks[one.desk.value].append(one.on_call)
        told: defaultdict[int, list[Told]] = defaultdict(list)
        for row in await connection.fetch(_SQL["notices"], [row["page_id"] for row in waiting]):
            told[row["page_id"]].append(Told(row["person_id"], row["created_at"], row["failed"]))
        for row in waiting:
            # A desk where nobody sits is the operators' business.
            team = desks[row["desk"]] or desks[Desk.OPERATIONS.value]
            await self._tell_next(connection, row, team, told[row["page_id"]])

    async def _tell_next(
        self, connection: Connection, row: Mapping[str, Any], team: Sequence[OnCall], told: Sequence[Told]
    ) -> None:
        order, on_duty = candidates(team, row["now"].astimezone(self._settings.zone))
        escalate = timedelta(seconds=self._settings.paging_escalate_s)
        chosen = next_to_tell(order, told, row["now"], escalate)
        if not team and row["page_id"] not in self._unheard:
            self._unheard.add(row["page_id"])
            log.error("nobody can be paged: add people with `zoeklicht duty add`", page_id=row["page_id"])
        if chosen is None:
            return
        if not on_duty:
            log.error(
                "nobody is on duty: everybody is paged, in order; mend the roster", page_id=row["page_id"]
            )
        await connection.execute(_SQL["tell"], row["page_id"], chosen)
        log.warning("paging", page_id=row["page_id"], person_id=str(chosen), escalation=len(told))

    # ── how ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _tell(self, notices: Sequence[Mapping[str, Any]]) -> None:
        """One message to one person, over the first channel that takes it."""
        person: UUID = notices[0]["person_id"]
        written = self._written(notices)
        for channel in channels_of(notices[0], self._settings.master_key_bytes):
            try:
                await send(channel, written, self._settings)
            except ChannelError as error:
                log.warning("a channel failed", person_id=str(person), reason=str(error))
            except Exception as error:  # a library may raise anything, and the next channel must be tried
                log.exception("a channel crashed", person_id=str(person), exc_info=error)
            else:
                log.info("told", person_id=str(person), channel=kind_of(channel), pages=len(notices))
                await in_transaction(self._pool, lambda c: self._sent(c, person, notices))
                return
        await in_transaction(self._pool, lambda c: self._failed(c, person, notices))

    def _written(self, notices: Sequence[Mapping[str, Any]]) -> Message:
        base, master = self._settings.base_url, self._settings.master_key_bytes
        items = [
            Item(
                row["matter"],
                row["text"],
                row["opened_at"],
                row["times"],
                f"{base}/pages/{row['page_id']}?token="
                + links.token(master, row["page_id"], row["person_id"], self._clock.now()),
                row["closed_at"] if row["kind"] == "all_clear" else None,
            )
            for row in notices
        ]
        # The same after a crash: a mail reader shows it once.
        name = "-".join(str(row["notice_id"]) for row in notices)
        return message(
            items, Language(notices[0]["language"]), self._settings.zone, f"<{name}@zoeklicht.invalid>"
        )

    async def _sent(self, connection: Connection, person: UUID, notices: Sequence[Mapping[str, Any]]) -> None:
        await connection.execute(_SQL["sent"], *_fenced(notices))
        await all_clear(connection, [f"{_ABOUT_PAGING}:{person}"])

    async def _failed(
        self, connection: Connection, person: UUID, notices: Sequence[Mapping[str, Any]]
    ) -> None:
        waits = [retry_s(row["attempts"]) for row in notices]
        await connection.execute(_SQL["failed"], *_fenced(notices), waits)
        # A page about paging that cannot be sent makes no other.
        if any(row["matter"].partition(":")[0] != _ABOUT_PAGING for row in notices):
            text = (
                f"none of the channels of person {person} takes a message; the next one on duty is told. See"
                " ZOEKLICHT_SMTP_URL and the log of the auditor, and change the channels with `zoeklicht duty change`"
            )
            await page(connection, f"{_ABOUT_PAGING}:{person}", text, lasting=True)


def _fenced(notices: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[int]]:
    return [row["notice_id"] for row in notices], [row["fence"] for row in notices]
