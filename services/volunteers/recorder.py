"""Writes down what became of messages: gathered, each checked against its lane's fence, with an event of who was told."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from schemas.events import VolunteersTold
from schemas.vocabulary import Mode, Step
from services.eventlog.store import Append, Cause, NewEvent, append, lock_streams
from services.kernel.postgres import Connection, in_transaction, queries
from services.volunteers.desk import VolunteerDeps
from services.volunteers.gateways import Fate

BATCH = 64
GATHER_S = 0.005
NOT_WANTED = "not_wanted"
"""The last look kept a message back: nothing left."""
OFF_DUTY = "off_duty"
"""The same, because they may not be called now."""
TOO_LATE = "too_late"
"""The same, because whoever comes would come too late."""
_ACTOR = "volunteers"

_SQL = queries("services.volunteers", "messages.sql")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sent:
    """How a message ended on one channel. `wait_s`: before the next try or channel; None: nobody waits."""

    row: Mapping[str, Any]
    kind: str
    fate: Fate
    error_class: str | None
    wait_s: float | None

    @property
    def lane(self) -> tuple[UUID, UUID]:
        """(call-out, volunteer)."""
        return self.row["callout_id"], self.row["volunteer_id"]


class Recorder:
    """Gathers for 5 ms, or until there are 64, and writes them in one transaction."""

    def __init__(self, deps: VolunteerDeps) -> None:
        self._pool = deps.pool
        self._waiting: asyncio.Queue[tuple[Sent, asyncio.Future[None]]] = asyncio.Queue()
        self.recorded = 0

    async def record(self, sent: Sent) -> None:
        """Returns when it is written. Raises when it cannot be: the lane's lease then ends by itself."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._waiting.put((sent, future))
        await future

    async def run(self) -> None:
        """Writes until cancelled."""
        while True:
            batch = [await self._waiting.get()]
            await asyncio.sleep(GATHER_S)
            while len(batch) < BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            try:
                await self.write([sent for sent, _ in batch])
            except Exception as error:  # whatever it is: who waits is told, and the leases end by themselves
                log.exception("not recorded", exc_info=error)
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            else:
                self.recorded += len(batch)
                for _, future in batch:
                    if not future.done():
                        future.set_result(None)

    async def write(self, batch: Sequence[Sent]) -> None:
        """Writes results in a transaction of its own."""
        await in_transaction(self._pool, lambda connection: _write(connection, batch))


async def _write(connection: Connection, batch: Sequence[Sent]) -> None:
    told = [one for one in batch if one.fate is Fate.ACCEPTED]
    await lock_streams(connection, {_stream(one) for one in told})
    lanes = [one.lane for one in batch]
    fences = [one.row["fence"] for one in batch]
    rows = await connection.fetch(_SQL["lanes_held"], *_columns(lanes, 2), fences)
    held = {(row["callout_id"], row["volunteer_id"]) for row in rows}
    valid = [one for one in batch if one.lane in held]
    ended = await connection.fetch(
        _SQL["transmissions_end"],
        *_columns(
            [(one.row["message_id"], one.row["channel"], _state(one), one.error_class) for one in batch],
            4,
        ),
    )
    # Its report of a failure came before the answer that it was taken.
    failed = {(row["message_id"], row["channel"]) for row in ended if row["state"] == "failed"}
    release = [
        (
            *one.lane,
            one.row["revision"],
            (Fate.FAILED if _number(one) in failed else one.fate).value,
            one.wait_s,
        )
        for one in valid
    ]
    await connection.execute(_SQL["lanes_release"], *_columns(release, 5))
    await _tell(connection, [one for one in valid if one.fate is Fate.ACCEPTED])


async def _tell(connection: Connection, told: Sequence[Sent]) -> None:
    """Who was told of what, on the log: one event for each call-out, step and kind of channel."""
    groups: defaultdict[tuple[UUID, str, str], list[Sent]] = defaultdict(list)
    for one in told:
        groups[one.row["callout_id"], one.row["step"], one.kind].append(one)
    appends = []
    for (callout_id, step, kind), members in sorted(groups.items(), key=lambda group: str(group[0])):
        row = members[0].row
        people = tuple(sorted(one.row["volunteer_id"] for one in members))
        fact = VolunteersTold(callout_id=callout_id, step=Step(step), channel=kind, volunteers=people)
        mode = Mode.EXERCISE if row["exercise"] else Mode.ACTUAL
        cause = Cause(_ACTOR, row["correlation_id"], mode=mode)
        appends.append(Append(_stream(members[0]), str(row["case_id"]), [NewEvent(fact)], cause))
    # One after the other: several may be for one stream.
    for one_append in appends:
        await append(connection, [one_append])


def _stream(sent: Sent) -> str:
    """Beside the call-out's own stream, so that its decisions never wait for messages."""
    return f"told-{sent.row['callout_id']}"


def _number(sent: Sent) -> tuple[UUID, int]:
    return sent.row["message_id"], sent.row["channel"]


def _state(sent: Sent) -> str:
    if sent.error_class in (NOT_WANTED, OFF_DUTY, TOO_LATE):
        return "withheld"
    return "started" if sent.fate is Fate.AGAIN else sent.fate.value


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
