"""Sends what is due to volunteers: leases and fences, a last look, the next channel. Any number may run beside others.

The same promises as to partners (`docs/adr/0018-volunteers.md`): only the newest message of a lane goes out, what calls
back overtakes, a killed sender repeats at most one message, under its own number.
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from schemas.base import Sealed
from schemas.commands import NewVolunteer
from schemas.vocabulary import Step
from services.eventlog.store import stopped
from services.kernel.ids import new_id
from services.kernel.postgres import AWAY, Pool, in_transaction, queries
from services.kernel.vault import VaultError, context, key_name, unseal
from services.kernel.watchdog import Doing
from services.volunteers import callouts, links
from services.volunteers.desk import VolunteerDeps
from services.volunteers.domain.availability import Availability
from services.volunteers.domain.people import kind_of
from services.volunteers.gateways import Fate, Gateways, Handed, Letter
from services.volunteers.recorder import NOT_WANTED, OFF_DUTY, TOO_LATE, Recorder, Sent
from services.volunteers.roster import volunteer_stream
from services.volunteers.wording import Words, text, title

IN_FLIGHT = 64
TRIES = 3
"""So often a channel is tried that says neither yes nor no; then the next one."""
_AGAIN_S = (1.0, 5.0, 15.0)
_ANSWERED = (Step.ASK, Step.CHANGED)
_DISTURBS = (Step.STANDBY, Step.ASK)
"""What nobody gets who may not be called now; whoever promised to come hears of changes and of the end at any hour."""
_SQL = queries("services.volunteers", "messages.sql")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class About:
    """What all messages of a call-out about one version of its need have in common."""

    municipality: str | None
    spot: str | None
    by: datetime | None


class Sender:
    """Claims lanes, looks once more, hands over, has the end recorded."""

    def __init__(self, deps: VolunteerDeps, gateways: Gateways) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{new_id().hex[-8:]}"
        self.recorder = Recorder(deps)
        self._deps = deps
        self._gateways = gateways
        self._tasks: set[asyncio.Task[None]] = set()
        self._done = asyncio.Event()
        self._lease = timedelta(seconds=deps.settings.lease_s)
        # What a message may take, and a second for the last look.
        self._margin = timedelta(seconds=deps.settings.delivery_timeout_s + 1)

    @property
    def pool(self) -> Pool:
        """The pool of the service."""
        return self._deps.pool

    async def run(
        self, stop: asyncio.Event, hint: asyncio.Event, poll_s: float = 0.5, doing: Doing = nullcontext
    ) -> None:
        """Sends until asked to stop, then finishes what is on its way and has it recorded."""
        recording = asyncio.create_task(self.recorder.run())
        try:
            while not stop.is_set():
                if recording.done():
                    recording.result()  # raises what ended it: nothing would be written down any more
                hint.clear()
                self._done.clear()
                with doing("a claim"):
                    claimed = await self._try_step()
                if claimed == 0:
                    await _first_of(poll_s, hint, self._done, stop)
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self._deps.settings.delivery_timeout_s)
        finally:
            for task in self._tasks:
                task.cancel()
            recording.cancel()
            await asyncio.gather(recording, *self._tasks, return_exceptions=True)

    async def _try_step(self) -> int:
        try:
            return await self.step()
        except (VaultError, *AWAY) as error:
            log.warning("a database is away; trying again", error_class=type(error).__name__)
            await asyncio.sleep(1.0)
            return 0

    async def step(self) -> int:
        """Claims what there is room for and sets out with it; returns how many."""
        room = IN_FLIGHT - len(self._tasks)
        if room <= 0:
            return 0
        rows = await in_transaction(
            self.pool, lambda c: c.fetch(_SQL["claim"], self.owner, self._lease, room)
        )
        if not rows:
            return 0
        keys = await self._deps.vault.find([key_name("volunteer", row["volunteer_id"]) for row in rows])
        about = {row["callout_id"]: row for row in rows}
        known = {callout_id: await self._about(row) for callout_id, row in about.items()}
        for row in rows:
            key = keys.get(key_name("volunteer", row["volunteer_id"]))
            task = asyncio.create_task(self._deliver(row, key, known[row["callout_id"]]))
            self._tasks.add(task)
            task.add_done_callback(self._finished)
        return len(rows)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._done.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("not recorded; its lease ends by itself", error_class=type(error).__name__)

    async def _deliver(self, row: Mapping[str, Any], key: bytes | None, about: About) -> None:
        if key is None:  # forgotten, but for a row that a restored backup brought back
            await self.recorder.record(Sent(row, "none", Fate.FAILED, "erased", None))
            return
        letter = self._letter(row, key, about)
        kept_back = await self._kept_back(row, about)
        if kept_back is None:
            sent = _sent(
                row, letter, await self._gateways.hand_over(letter), self._deps.settings.volunteer_answer_s
            )
        else:
            # Nobody wants it: its lane says what is next. Somebody may not be called: no other channel is tried later.
            fate = Fate.AGAIN if kept_back == NOT_WANTED else Fate.FAILED
            sent = Sent(row, kind_of(letter.address), fate, kept_back, self._lease.total_seconds())
        await self.recorder.record(sent)

    async def _kept_back(self, row: Mapping[str, Any], about: About) -> str | None:
        """The last look: why a message does not leave, None when it does.

        The lane is still ours, this is still its newest message, the case goes on; and for what asks: they may still be
        called, since what was planned in the evening may come up in their quiet hours, and it is not too late to come.
        """
        seen = await self.pool.fetchrow(
            _SQL["look"],
            row["callout_id"],
            row["volunteer_id"],
            row["fence"],
            row["revision"],
            self._margin,
        )
        if seen is None or not seen["held"] or not seen["wanted"]:
            return NOT_WANTED
        step = Step(row["step"])
        if step is Step.STAND_DOWN:
            return None
        stops = await stopped(self.pool, [row["case_id"]])
        if stops.get(("case", row["case_id"]), 0) > row["case_version"]:
            return NOT_WANTED
        now: datetime = seen["moment"]
        if step in _DISTURBS and not self._callable(seen, now):
            return OFF_DUTY
        return TOO_LATE if step is Step.ASK and about.by is not None and now >= about.by else None

    def _callable(self, person: Mapping[str, Any], now: datetime) -> bool:
        """Whether they may be called now, by what they say now."""
        week, away = (tuple((one.lower, one.upper) for one in person[name]) for name in ("week", "away"))
        holds = Availability(week, away).holds(now, now.astimezone(self._deps.settings.zone))
        return bool(person["consent"] and holds)

    def _letter(self, row: Mapping[str, Any], key: bytes, about: About) -> Letter:
        volunteer_id, settings = row["volunteer_id"], self._deps.settings
        place = context(volunteer_stream(volunteer_id), row["profile_event"], "profile")
        profile = NewVolunteer.model_validate(unseal(Sealed.model_validate_json(row["profile"]), key, place))
        language = profile.languages[0]
        token = links.token(settings.master_key_bytes, row["number"], row["created_at"])
        words = Words(
            step=Step(row["step"]),
            link=f"{settings.base_url}/v/{token}",
            municipality=about.municipality,
            spot=about.spot,
            by=about.by,
            exercise=row["exercise"],
        )
        return Letter(
            number=f"{row['message_id'].hex}-{row['channel']}",
            address=profile.channels[min(row["channel"], len(profile.channels) - 1)],
            language=language,
            title=title(language, exercise=row["exercise"]),
            text=text(words, language, settings.zone),
        )

    async def _about(self, row: Mapping[str, Any]) -> About:
        state = await callouts.load(self.pool, row)
        if state.need is None:
            return About(state.municipality, None, None)
        spot = None
        if state.need.spot:
            spot = await callouts.opened(
                self._deps, row["callout_id"], state.need.spot, callouts.MEETING_PLACE
            )
        return About(state.need.municipality, spot, state.need.by)


def _sent(row: Mapping[str, Any], letter: Letter, handed: Handed, answer_s: float) -> Sent:
    fate, wait = handed.fate, handed.wait_s
    if fate is Fate.AGAIN:
        if row["tries"] >= TRIES:
            fate = Fate.FAILED
        wait = max(wait, _AGAIN_S[min(row["tries"], TRIES) - 1])
    waits = fate is not Fate.ACCEPTED or Step(row["step"]) in _ANSWERED
    answer = answer_s if fate is Fate.ACCEPTED else wait
    return Sent(row, kind_of(letter.address), fate, handed.error_class, answer if waits else None)


async def _first_of(seconds: float, *events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
