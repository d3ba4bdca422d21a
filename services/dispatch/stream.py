"""What the dispatch processor does with case-events: only the durable hand-off, one transaction per fact.

Decided by (stream, version), never by offset. What is not ours to act on, imports above all, is told apart by its
headers alone and costs nothing.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import orjson
import structlog

from schemas.events import (
    AssessmentChanged,
    CampaignEnded,
    CampaignExtended,
    CampaignReleased,
    CampaignUpdated,
    CaseClosed,
    CaseMerged,
)
from schemas.vocabulary import Origin
from services.dispatch import campaigns, standby
from services.dispatch.bodies import KeysAwayError
from services.dispatch.publish import Publisher, Seen
from services.eventlog import wire
from services.eventlog.store import Recorded, recorded
from services.kernel.messages import Message, record_progress
from services.kernel.paging import all_clear, page
from services.kernel.postgres import queries
from services.kernel.settings import Settings

CONSUMER = "dispatch"
ACTING = frozenset(
    model.TYPE
    for model in (
        CampaignReleased,
        CampaignUpdated,
        CampaignExtended,
        CampaignEnded,
        CaseClosed,
        CaseMerged,
        AssessmentChanged,
    )
)
_LIVE = Origin.LIVE.value
_INFRASTRUCTURE = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.TransactionRollbackError,
    asyncpg.InvalidTransactionStateError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    KeysAwayError,
    OSError,
    TimeoutError,
)
"""What another attempt may mend: it ends the process, and the batch comes again. All else is the event's fault."""

_PARKED = "dispatch-parked"

_SQL = queries("services.dispatch")
log = structlog.get_logger()


class Planner:
    """Plans alerts from batches of messages."""

    def __init__(self, publisher: Publisher, settings: Settings) -> None:
        self._publisher = publisher
        self._pool = publisher.pool
        self._linger = timedelta(seconds=settings.standby_linger_s)

    async def apply(self, batch: Sequence[Message]) -> None:
        """Acts on a batch in order. Raises only for a part that is away; the batch then comes again."""
        acting = await self._new([(m, told) for m in batch if (told := _acting(m)) is not None])
        if acting:
            cases = list({_case(message, told) for message, told in acting})
            parked = {row["case_id"] for row in await self._pool.fetch(_SQL["parked_cases"], cases)}
            for message, told in acting:
                await self._one(message, told, parked)
        async with self._pool.acquire() as connection, connection.transaction():
            await record_progress(connection, CONSUMER, batch)

    async def _new(
        self, acting: list[tuple[Message, dict[str, str]]]
    ) -> list[tuple[Message, dict[str, str]]]:
        """Without what was acted on before: a log that is sent again costs one question a batch."""
        streams = list({told.get("stream", "") for _, told in acting})
        rows = await self._pool.fetch(_SQL["seen_of"], streams) if streams else ()
        seen = {row["stream"]: row["version"] for row in rows}
        return [(message, told) for message, told in acting if not _is_seen(told, seen)]

    async def _one(self, message: Message, told: dict[str, str], parked: set[str]) -> None:
        case = _case(message, told)
        if case in parked:
            await self._park(message, told, "EarlierEventParked")
            return
        try:
            await self._act(wire.event(told, message.value))
        except Exception as error:
            # A value that does not fit its column is an InterfaceError too, and no attempt will mend it.
            if isinstance(error, _INFRASTRUCTURE) and not isinstance(error, ValueError):
                raise
            parked.add(case)
            await self._park(message, told, type(error).__name__)

    async def _act(self, event: Recorded) -> None:
        """Acts on an event that is new, and first on what was missed of its stream."""
        seen = await self._pool.fetchval(_SQL["seen"], event.stream) or 0
        if event.version <= seen:
            return
        missed = await self._pool.fetch(
            _SQL["missed"], event.stream, seen, event.version, sorted(ACTING), _LIVE
        )
        # One by one: what was done before one that cannot be read stays done.
        for row in missed:
            await self._handle(recorded(row))
        await self._handle(event)

    async def _handle(self, event: Recorded) -> None:
        seen = Seen(event.stream, event.version)
        match event.data:
            case CampaignReleased() | CampaignUpdated() | CampaignExtended() as data:
                await campaigns.appealed(self._publisher, event, data, seen)
            case CampaignEnded() as data:
                await campaigns.ended(self._publisher, event, data, seen)
            case CaseClosed() | CaseMerged() as data:
                await campaigns.case_over(self._publisher, event, data, seen)
            case AssessmentChanged() as data:
                await standby.assessed(self._publisher, event, data, seen, self._linger)
            case _:
                pass

    async def _park(self, message: Message, told: dict[str, str], error_class: str) -> None:
        case = _case(message, told)
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                _SQL["park"],
                case,
                told.get("stream"),
                _version(told),
                message.topic,
                message.partition,
                message.offset,
                message.key,
                message.value,
                orjson.dumps([[name, value.hex()] for name, value in message.headers]).decode(),
                error_class,
            )
            await page(
                connection,
                f"{_PARKED}:{case}",
                "an event of this case could not be planned, and later ones of the case wait behind it"
                " (withdrawals still go): mend the cause, then resume the case",
                lasting=True,
            )

    async def resume(self, case: str) -> int:
        """Works off what is parked of a case, in order; returns how many events. Raises what still fails."""
        rows = await self._pool.fetch(_SQL["parked_of"], case)
        for row in rows:
            headers = _headers(row)
            await self._act(wire.event(wire.attributes(headers), row["value"]))
            await self._pool.execute(_SQL["unpark"], row["parked_id"])
        await all_clear(self._pool, [f"{_PARKED}:{case}"])
        return len(rows)


def _headers(row: Any) -> list[tuple[str, bytes]]:
    return [(name, bytes.fromhex(value)) for name, value in orjson.loads(row["headers"])]


def _is_seen(told: dict[str, str], seen: dict[str, int]) -> bool:
    version = _version(told)
    return version is not None and version <= seen.get(told.get("stream", ""), 0)


def _version(told: dict[str, str]) -> int | None:
    try:
        return wire.version_of(told)
    except wire.WireError:
        return None


def _acting(message: Message) -> dict[str, str] | None:
    """The attributes of a message to act on (what can be read of them, of a broken one); None: not for us."""
    try:
        told = wire.attributes(message.headers)
    except wire.WireError:
        return {}
    if "type" not in told:
        return told
    return told if told["type"] in ACTING and told.get("origin") == _LIVE else None


def _case(message: Message, told: dict[str, str]) -> str:
    return told.get("subject") or message.key.decode("ascii", "replace")
