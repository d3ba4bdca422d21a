"""The sender: claims lanes, looks once more, posts, has the end recorded. Any number may run beside each other."""

import asyncio
import os
import random
import socket
from collections.abc import Callable, Coroutine, Iterable
from contextlib import nullcontext
from uuid import UUID

import structlog

from services.dispatch import backoff
from services.dispatch.bodies import open_box
from services.dispatch.lanes import Claim, Looks, claim
from services.dispatch.outcomes import OURS_S, Fate, Outcome, of_failure, of_status
from services.dispatch.recorder import Recorder, Result
from services.dispatch.secret_boxes import open_secrets
from services.dispatch.transport import Answer, Transport, TransportError
from services.eventlog.store import delivery_stream
from services.kernel import signing
from services.kernel.clock import boottime
from services.kernel.errors import ZoeklichtError
from services.kernel.ids import new_id
from services.kernel.postgres import AWAY, Pool
from services.kernel.settings import Settings
from services.kernel.vault import Vault, VaultError, context, derive, key_name, seal
from services.kernel.watchdog import Doing

IN_FLIGHT = 128
FOR_WITHDRAWALS = 32
"""Of those in flight; 31 partners that hang hold 93 at a cap of 4."""
MARGIN_S = 1.0
"""Between the latest end of a request and the end of its lease."""
_VAULT_AWAY = Outcome(Fate.RELEASED, "vault_away")

log = structlog.get_logger()


class NotSentError(ZoeklichtError):
    """The last look forbids to send."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"not sent: {outcome.error_class}")
        self.outcome = outcome


class Sender:
    """Sends what is due. `now_s` gives seconds since boot, `chance` a random number from 0 to 1."""

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        settings: Settings,
        *,
        now_s: Callable[[], float] = boottime,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{new_id().hex[-8:]}"
        self.recorder = Recorder(pool, settings.lease_s)
        self.transport = Transport(settings)
        self._pool = pool
        self._looks = Looks(pool)
        self._vault = vault
        self._settings = settings
        self._attempts_key = derive(settings.master_key_bytes, "attempts")
        self._now_s = now_s
        self._chance = chance
        self._tasks: set[asyncio.Task[None]] = set()
        self._done = asyncio.Event()
        self._doing: Doing = nullcontext

    @property
    def in_flight(self) -> int:
        """How many deliveries are on their way."""
        return len(self._tasks)

    async def claim(self, most: int = IN_FLIGHT, most_withdrawals: int = IN_FLIGHT) -> list[Claim]:
        """Claims due lanes. The lease is counted from before it was asked for, on a clock that never stops."""
        return await claim(
            self._pool,
            self.owner,
            self._settings.lease_s,
            self._now_s,
            most=most,
            most_withdrawals=most_withdrawals,
        )

    async def step(self) -> int:
        """Claims what fits in beside what is in flight and sets out with it; returns how many."""
        room = IN_FLIGHT - self.in_flight
        if room <= 0:
            return 0
        claims = await self.claim(max(room - FOR_WITHDRAWALS, 0), room)
        if not claims:
            return 0
        keys = await self._keys(claims)
        for one in claims:
            if keys is None and one.box is not None:
                work = self.recorder.record(Result(one, _VAULT_AWAY, OURS_S))
            else:
                work = self.deliver(one, (keys or {}).get(one.alert_id))
            task = asyncio.create_task(self._watched(work))
            self._tasks.add(task)
            task.add_done_callback(self._finished)
        return len(claims)

    async def _watched(self, work: Coroutine[None, None, None]) -> None:
        with self._doing("a delivery"):
            await work

    async def _try_step(self) -> int:
        try:
            return await self.step()
        except AWAY as error:
            # What was claimed, if anything, comes back when its lease ends.
            log.warning("database is away; trying again", error_class=type(error).__name__)
            return 0

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._done.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("delivery not recorded", error_class=type(error).__name__)

    async def _keys(self, claims: Iterable[Claim]) -> dict[UUID, bytes] | None:
        """The keys of what is sealed, by alert. None when the vault is away: withdrawals need no key, and must not wait."""
        names = {
            key_name("alert", alert): alert for alert in {c.alert_id for c in claims if c.box is not None}
        }
        try:
            found = await self._vault.find(sorted(names)) if names else {}
            return {names[name]: key for name, key in found.items()}
        except (VaultError, *AWAY) as error:
            log.warning(
                "the vault does not answer; only withdrawals are sent", error_class=type(error).__name__
            )
            return None

    async def run(
        self, stop: asyncio.Event, hint: asyncio.Event, poll_s: float = 0.5, doing: Doing = nullcontext
    ) -> None:
        """Sends until asked to stop, then finishes what is in flight and has it recorded."""
        self._doing = doing
        recording = asyncio.create_task(self.recorder.run())
        try:
            while not stop.is_set():
                if recording.done():
                    recording.result()  # raises what ended it: nothing would be written down any more
                hint.clear()
                self._done.clear()
                asked = max(IN_FLIGHT - self.in_flight - FOR_WITHDRAWALS, 1)
                with doing("a claim"):
                    claimed = await self._try_step()
                # Fewer than were asked for: nothing more is due now, within the caps.
                if claimed < asked:
                    await _first_of(poll_s, hint, self._done, stop)
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self._settings.delivery_timeout_s + MARGIN_S)
        finally:
            for task in self._tasks:
                task.cancel()
            recording.cancel()
            await asyncio.gather(recording, *self._tasks, return_exceptions=True)
            await self.transport.close()

    async def deliver(self, one: Claim, key: bytes | None) -> None:
        """One attempt from beginning to end, recorded."""
        await self.recorder.record(await self.attempt(one, key))

    async def attempt(self, one: Claim, key: bytes | None) -> Result:
        """One attempt; never raises for what a partner or the last look does."""
        answer: Answer | None = None
        try:
            body = _body(one, key)
            answer = await self._post(one, body)
            after = backoff.retry_after(answer.retry_after, one.now(self._now_s()))
            outcome = of_status(answer.status, after, withdrawal=one.withdrawal)
        except NotSentError as error:
            outcome = error.outcome
        except TransportError as error:
            outcome = of_failure(error.error_class, sent=error.sent)
        except (VaultError, signing.SignatureError):
            outcome = Outcome(Fate.RETRY, "secret", backoff.SLOW_WITHDRAWAL_S, page=True)
        except Exception as error:  # whatever it is, it must not leave the lane to its lease, again and again
            log.exception("attempt failed", exc_info=error)
            outcome = Outcome(Fate.RETRY, "internal", backoff.SLOW_WITHDRAWAL_S, ambiguous=True, page=True)
        return self._result(one, outcome, answer)

    async def _post(self, one: Claim, body: bytes) -> Answer:
        secrets = open_secrets(one.recipient_row, self._settings.master_key_bytes)
        headers = signing.headers(secrets, one.message_id, int(one.now(self._now_s()).timestamp()), body)
        return await self.transport.post(one.url, body, headers, lambda: self.guard(one), one.format)

    async def guard(self, one: Claim) -> None:
        """The last look, on the open connection. Raises NotSentError."""
        try:
            seen = await self._looks.look(one)
        except AWAY as error:
            raise NotSentError(Outcome(Fate.RELEASED, "database", OURS_S)) from error
        if not seen.held:
            raise NotSentError(Outcome(Fate.RELEASED, "lease_lost"))
        if seen.head != one.revision:
            raise NotSentError(Outcome(Fate.SUPERSEDED, "superseded"))
        if not one.withdrawal:
            _check_still_wanted(stopped=seen.stopped, expired=seen.expired, active=seen.state == "active")
        left = self._settings.lease_s - (self._now_s() - one.begun)
        if left < self._settings.delivery_timeout_s + MARGIN_S:
            raise NotSentError(Outcome(Fate.RELEASED, "lease_short"))

    def _result(self, one: Claim, outcome: Outcome, answer: Answer | None) -> Result:
        wait = outcome.wait_s
        if outcome.fate is Fate.RETRY:
            age = one.now(self._now_s()) - one.created_at
            wait = max(wait, backoff.delay(one.failures + 1, age, self._chance()))
        if answer is None:
            return Result(one, outcome, wait)
        return Result(one, outcome, wait, answer.status, answer.size, self._seal(one, answer.head))

    def _seal(self, one: Claim, head: bytes) -> str | None:
        if not head:
            return None
        place = context(
            delivery_stream(one.alert_id, one.recipient_id), one.delivery_id, f"attempt.{one.attempt_id}"
        )
        text = head.decode("utf-8", "replace")
        return seal("attempts", self._attempts_key, text, place).model_dump_json()


def _check_still_wanted(*, stopped: bool, expired: bool, active: bool) -> None:
    if stopped:
        # The withdrawal is on its way and makes the lane due at once.
        raise NotSentError(Outcome(Fate.RETRY, "stopped", backoff.STOPPED_LEAST_S))
    if expired:
        raise NotSentError(Outcome(Fate.EXPIRED, "expired"))
    if not active:
        raise NotSentError(Outcome(Fate.RELEASED, "paused"))


def _body(one: Claim, key: bytes | None) -> bytes:
    """The frozen bytes. Raises NotSentError when they are erased, missing or unreadable."""
    if one.clear is not None:
        return one.clear.encode()
    if one.box is None:
        raise NotSentError(Outcome(Fate.HELD, "no_body", page=True))
    if key is None:
        raise NotSentError(Outcome(Fate.HELD, "erased", page=True))
    try:
        text: str = open_box(one.alert_id, one.revision, one.variant, one.box, key)
    except VaultError as error:
        raise NotSentError(Outcome(Fate.HELD, "unreadable", page=True)) from error
    return text.encode()


async def _first_of(seconds: float, *events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
