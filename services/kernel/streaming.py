"""faust-streaming in the only shape that loses nothing (0.15.3), and in batches.

Other shapes do lose: an agent that raises acknowledges the message, the default supervisor restarts and commits past
it, concurrency above 1 commits past what is in flight, tables and `exactly_once` break. So: manual acknowledgement
after our own transaction, a supervisor that ends the process, no tables, no producer, nothing declared at start.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import faust
import structlog
from aiokafka.errors import KafkaError
from mode.supervisors import CrashingSupervisor

from services.kernel.errors import ZoeklichtError
from services.kernel.kafka import MAX_MESSAGE_BYTES
from services.kernel.kafka_access import client_settings, knock
from services.kernel.logging import told
from services.kernel.messages import Message
from services.kernel.service import Runtime
from services.kernel.settings import Settings
from services.kernel.watchdog import Deadline, Doing

MAX_BATCH = 500
READ_AT_ONCE = 20
"""Messages that are read, in some milliseconds, before the work on the batch before them gets its turn again."""
IDLE_TURNS = 20
"""Turns of the event loop without another message after which a batch is whole: far below a millisecond."""
_START_WITHIN_S = 60.0
_STOP_WITHIN_S = 10.0
_AGAIN_S = 1.0
_LOOK_S = 0.2
JOIN_WITHIN_S = 60.0
"""The time of a rebalance is 15 s, that of a session 10 s: a consumer that has no place in its group by then gets none."""
ARRIVES_LOOK_S = 5.0
ARRIVES_WITHIN_S = 60.0
"""How long a consumer that is behind may be brought nothing, before its app is made anew."""
_BATCH = "a batch"

log = structlog.get_logger()


class StreamingError(ZoeklichtError):
    """The stream processor ended; its process ends with it and is started again."""


T = TypeVar("T")
Apply = Callable[[Sequence[T]], Awaitable[None]]
"""Works on a batch in order and commits. An exception ends the process; the batch comes again."""
Overdue = Callable[[], Awaitable[bool]]
"""Whether something was sent that is newer than all that came."""
Read = Callable[[Message], T]
"""Reads a message, by itself and without raising. It is called while the batch before waits for the database."""


def _broker(settings: Settings) -> list[str]:
    return [f"kafka://{server}" for server in settings.kafka_bootstrap_servers.split(",")]


def _credentials(settings: Settings) -> Any:
    access = client_settings(settings)
    if access["security_protocol"].startswith("SASL"):
        return faust.SASLCredentials(
            username=access["sasl_plain_username"],
            password=access["sasl_plain_password"],
            ssl_context=access["ssl_context"],
            mechanism=access["sasl_mechanism"],
        )
    return faust.SSLCredentials(access["ssl_context"]) if access["ssl_context"] else None


def safe_app(settings: Settings, group: str) -> faust.App:
    """A Faust app in the only shape that loses nothing; its one agent acknowledges by itself, one event at a time."""
    return faust.App(
        settings.topic(group),
        broker=_broker(settings),
        broker_credentials=_credentials(settings),
        processing_guarantee="at_least_once",
        agent_supervisor=CrashingSupervisor,
        store="memory://",
        # Faust makes this folder though it keeps nothing there; in the current folder it would litter.
        datadir=Path(tempfile.gettempdir()) / f"zoeklicht-faust-{os.getpid()}",
        value_serializer="raw",
        key_serializer="raw",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=MAX_MESSAGE_BYTES,
        broker_commit_interval=1.0,
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.0,
        broker_rebalance_timeout=15.0,
        producer_threaded=False,
        loghandlers=[],
        logging_config={"version": 1, "disable_existing_loggers": False},
    )


def raw_topic(app: faust.App, name: str) -> Any:
    """A topic whose messages come as they are."""
    return app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


def as_it_came(message: Message) -> Message:
    """For a batch that is read where it is worked on."""
    return message


def stream_app(
    settings: Settings, group: str, topic: str, read: Read[T], apply: Apply[T], *, doing: Doing = nullcontext
) -> faust.App:
    """A Faust app whose only agent hands batches of `topic`, read, to `apply` and acknowledges what that committed."""
    app = safe_app(settings, group)
    source = raw_topic(app, settings.topic(topic))

    @app.agent(source, concurrency=1, supervisor_strategy=CrashingSupervisor)
    async def work(stream: Any) -> None:
        async for batch in _batches(stream.noack().events(), read):
            with doing(_BATCH):
                await apply([letter for _, letter in batch])
            for event, _ in batch:
                await stream.ack(event)

    return app


def _message(raw: Any) -> Message:
    headers = raw.headers.items() if isinstance(raw.headers, dict) else raw.headers or ()
    return Message(raw.topic, raw.partition, raw.offset, raw.key or b"", raw.value or b"", tuple(headers))


async def _batches(events: AsyncIterator[Any], read: Read[T]) -> AsyncIterator[list[tuple[Any, T]]]:
    """What has come and still comes, up to MAX_BATCH; while it is worked on, the next is taken in and read."""
    waiting = _Waiting[tuple[Any, T]]()
    taking_in = asyncio.create_task(_take_in(events, read, waiting))
    try:
        while await waiting.filled(taking_in):
            yield waiting.take()
    finally:
        taking_in.cancel()


class _Waiting(Generic[T]):
    """What was read and is not worked on yet: at most a batch."""

    def __init__(self) -> None:
        self._letters: list[T] = []
        self._changed = asyncio.Event()

    async def put(self, letter: T) -> None:
        """Adds a letter, when there is room for it."""
        while len(self._letters) >= MAX_BATCH:
            self._changed.clear()
            await self._changed.wait()
        self._letters.append(letter)
        self._changed.set()

    async def filled(self, source: "asyncio.Task[None]") -> bool:
        """Waits for something, and then for as long as more comes at once. False: the source has ended.

        Faust brings messages one by one, each after some turns of the loop. A batch of what is there at a moment would
        be a fifth of what it could be, and a transaction costs as much for a few as for many.
        Raises what ended the source.
        """
        while not self._letters:
            # Cleared here and not in the task: what comes before that begins would be slept over.
            self._changed.clear()
            coming = asyncio.ensure_future(self._changed.wait())
            await asyncio.wait({coming, source}, return_when=asyncio.FIRST_COMPLETED)
            coming.cancel()
            if source.done() and not self._letters:
                source.result()
                return False
        count, idle = len(self._letters), 0
        while len(self._letters) < MAX_BATCH and idle < IDLE_TURNS:
            await asyncio.sleep(0)
            idle = idle + 1 if len(self._letters) == count else 0
            count = len(self._letters)
        return True

    def take(self) -> list[T]:
        """What is there."""
        letters, self._letters = self._letters, []
        self._changed.set()
        return letters


async def _take_in(events: AsyncIterator[Any], read: Read[T], waiting: "_Waiting[tuple[Any, T]]") -> None:
    count = 0
    async for event in events:
        await waiting.put((event, read(_message(event.message))))
        count += 1
        if count % READ_AT_ONCE == 0:
            await asyncio.sleep(0)


async def run_stream(app: faust.App, runtime: Runtime, overdue: Overdue) -> None:
    """Runs the app until the service is to stop. Raises StreamingError when the agent fails, or nothing arrives.

    An app that does not stop takes the whole process with it: what was not acknowledged comes again.
    """
    with Deadline(_START_WITHIN_S, "the start of the stream processor"):
        await app.start()
    watch = asyncio.create_task(_watch_assignment(app, runtime))
    arrivals = asyncio.create_task(_watch_arrivals(overdue, runtime))
    stop = asyncio.create_task(runtime.stop.wait())
    crash = asyncio.create_task(app._crashed.wait())  # noqa: SLF001 - mode has no public way to wait for it
    end = asyncio.create_task(app._stopped.wait())  # noqa: SLF001
    try:
        await asyncio.wait({watch, arrivals, stop, crash, end}, return_when=asyncio.FIRST_COMPLETED)
        for one in (watch, arrivals):
            if one.done():
                one.result()
        if not runtime.stop.is_set():
            raise StreamingError(
                "the stream processor ended; it is started again and goes on"
            ) from app.crash_reason
    finally:
        runtime.ready = False
        for task in (watch, arrivals, stop, crash, end):
            task.cancel()
        with Deadline(_STOP_WITHIN_S, "the end of the stream processor"), suppress(Exception):
            await app.stop()
        shutil.rmtree(app.conf.datadir, ignore_errors=True)


async def follow(runtime: Runtime, group: str, topic: str, apply: Apply[Message], overdue: Overdue) -> None:
    """Follows a topic until the service is to stop. Kafka's absence must not stop the loops beside it."""
    while not runtime.stop.is_set():
        try:
            # A stream processor that cannot start leaves threads behind.
            await knock(runtime.settings)
            app = stream_app(runtime.settings, group, topic, as_it_came, apply, doing=runtime.works.doing)
            await run_stream(app, runtime, overdue)
        except (StreamingError, KafkaError, OSError) as error:
            runtime.ready = False
            log.warning("kafka is away; trying again", **told(error))
            await runtime.pause(_AGAIN_S)


async def _watch_arrivals(overdue: Overdue, runtime: Runtime) -> None:
    """Raises StreamingError when for a minute, at each look, something was overdue.

    What comes late is no reason, nor is a batch that takes long: it would be begun anew each time.
    """
    looks = 0
    while True:
        await asyncio.sleep(ARRIVES_LOOK_S)
        waits = not runtime.works.working_on(_BATCH) and await overdue()
        looks = looks + 1 if waits else 0
        if looks * ARRIVES_LOOK_S >= ARRIVES_WITHIN_S:
            raise StreamingError(
                f"Kafka has brought nothing for {ARRIVES_WITHIN_S:g} s, though events were sent"
            )


async def _watch_assignment(app: faust.App, runtime: Runtime) -> None:
    """Raises StreamingError for a consumer that does not get into its group, be it the first time or again.

    It counts its looks and compares no times: a process that was suspended has not waited.
    """
    looks = 0
    while True:
        joining = app.rebalancing or not app.rebalancing_count
        looks = looks + 1 if joining else 0
        if looks * _LOOK_S >= JOIN_WITHIN_S:
            raise StreamingError(f"the group did not take this consumer in within {JOIN_WITHIN_S:g} s")
        partitions = 0 if joining else len(app.consumer.assignment())
        runtime.ready = partitions > 0
        runtime.progress = {**runtime.progress, "partitions": partitions}
        await asyncio.sleep(_LOOK_S)
