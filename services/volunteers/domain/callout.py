"""A call-out from standby to take-down: what may happen, and what follows. Pure: state and command in, events out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from schemas.base import Sealed
from schemas.events import (
    CalledOut,
    Chosen,
    EventData,
    Material,
    Need,
    NeedMet,
    PosterPlaced,
    PosterRemoved,
    StandbyCalled,
    StoodDown,
    TaskGiven,
    VolunteerAnswered,
    VolunteersAsked,
)
from schemas.vocabulary import Reply, StandDown
from services.volunteers.domain.choice import Candidate, Lacking, choose, lacking
from services.volunteers.domain.errors import CalloutStateError, NotAskedError, WorldsMetError

Events = list[EventData]


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody who was asked. `revision`: of the need they were asked for last, `answered`: they answered last."""

    chosen: Chosen
    revision: int
    reply: Reply | None = None
    since: datetime | None = None
    answered: int = 0
    not_needed: bool = False
    late: tuple[Reply, datetime | None] | None = None
    """What they said after the end."""


@dataclass(frozen=True, slots=True)
class Callout:
    """A call-out as its events say. `confirm_from`: answers to older revisions of the need are no promise any more."""

    callout_id: UUID
    exercise: bool = False
    version: int = 0
    standby: frozenset[UUID] = frozenset()
    municipality: str | None = None
    """Where the standby is about."""
    need: Need | None = None
    revision: int = 0
    confirm_from: int = 0
    asked: Mapping[UUID, Asked] = field(default_factory=dict)
    waves: int = 0
    last_wave: datetime | None = None
    tasks: Mapping[UUID, tuple[UUID, ...]] = field(default_factory=dict)
    up: Mapping[UUID, UUID | None] = field(default_factory=dict)
    """What hangs: poster, and who put it up."""
    removed: frozenset[UUID] = frozenset()
    over: bool = False

    @property
    def coming(self) -> list[UUID]:
        """Who comes, and in time; who promised for another place or time does only once they confirm."""
        return [who for who, one in self.asked.items() if self._comes(one)]

    def _comes(self, one: Asked) -> bool:
        if one.answered < self.confirm_from or one.reply not in (Reply.YES, Reply.LATER):
            return False
        by = self.need.by if self.need else None
        return one.since is None or by is None or one.since <= by

    @property
    def waiting_for(self) -> list[UUID]:
        """Who was asked and has not answered, or only for another place or time. Who said no is left alone."""
        return [
            who
            for who, one in self.asked.items()
            if not one.not_needed
            and (one.reply is None or (one.reply is not Reply.NO and one.answered < self.confirm_from))
        ]

    @property
    def lack(self) -> Lacking:
        """What is lacking now."""
        if self.need is None:
            return Lacking(0, 0, ())
        return lacking(self.need, [self.asked[who].chosen.brings for who in self.coming])


def initial_state(callout_id: UUID, *, exercise: bool) -> Callout:
    """Before anything happened."""
    return Callout(callout_id, exercise)


def evolve(state: Callout, data: EventData, at: datetime | None = None) -> Callout:
    """The state after one more event, which happened at `at` (of waves, the others are timeless)."""
    new = replace(state, version=state.version + 1)
    match data:
        case StandbyCalled():
            new = replace(new, standby=state.standby | set(data.told), municipality=data.municipality)
        case CalledOut():
            confirm = data.revision if data.confirm_again else state.confirm_from
            new = replace(new, need=data.need, revision=data.revision, confirm_from=confirm)
        case VolunteersAsked():
            asked = {one.volunteer_id: Asked(one, data.revision) for one in data.chosen}
            new = replace(new, asked={**state.asked, **asked}, waves=data.wave, last_wave=at)
        case VolunteerAnswered():
            new = _answered(new, data)
        case NeedMet():
            gone = {who: replace(state.asked[who], not_needed=True) for who in data.not_needed}
            new = replace(new, asked={**state.asked, **gone})
        case TaskGiven():
            new = replace(new, tasks={**state.tasks, data.task_id: data.volunteers})
        case PosterPlaced():
            new = replace(new, up={**state.up, data.poster_id: data.volunteer_id})
        case PosterRemoved():
            left = {poster: who for poster, who in state.up.items() if poster != data.poster_id}
            new = replace(new, up=left, removed=state.removed | {data.poster_id})
        case StoodDown():
            new = replace(new, over=True)
        case _:
            pass
    return new


def _answered(state: Callout, data: VolunteerAnswered) -> Callout:
    before = state.asked.get(data.volunteer_id)
    if before is None:
        return state
    if data.late:
        after = replace(before, late=(data.reply, data.since))
    else:
        after = replace(before, reply=data.reply, since=data.since, answered=data.revision)
    return replace(state, asked={**state.asked, data.volunteer_id: after})


# ── commands ────────────────────────────────────────────────────────────────────────────────────────────────


def stand_by(state: Callout, municipality: str | None, people: Iterable[UUID]) -> Events:
    """Tells people to be ready, once each."""
    new = tuple(who for who in dict.fromkeys(people) if who not in state.standby and who not in state.asked)
    if state.over or state.need or (not new and state.version):
        return []
    return [StandbyCalled(callout_id=state.callout_id, municipality=municipality, told=new)]


def call_out(state: Callout, need: Need) -> Events:
    """Calls people out, or says anew who is needed: another place or time must be confirmed by who said yes.

    Raises CalloutStateError when it is over.
    """
    _check_open(state)
    before = state.need
    if before == need:
        return []
    elsewhere = before is not None and (
        (before.lat, before.lon, before.by, before.spot) != (need.lat, need.lon, need.by, need.spot)
    )
    revision = state.revision + 1
    called = CalledOut(callout_id=state.callout_id, revision=revision, need=need, confirm_again=elsewhere)
    # Less may be needed than before.
    return [called, *_met(evolve(state, called))]


def wave_due(state: Callout, now: datetime, patience: timedelta) -> bool:
    """Whether more people are to be asked: something is lacking, and who was asked answered or had time to.

    Nobody is once it is too late to come: a coordinator says anew by when people are needed.
    """
    if state.over or state.need is None or not state.lack:
        return False
    if state.need.by is not None and state.need.by <= now:
        return False
    return not state.waiting_for or state.last_wave is None or now - state.last_wave >= patience


def ask(state: Callout, candidates: Sequence[Candidate], left_out: Mapping[str, int]) -> Events:
    """The next wave; nothing when nobody is left or nothing is lacking. Nobody is asked twice.

    Raises WorldsMetError when somebody of the other world is among the candidates.
    """
    if any(one.exercise is not state.exercise for one in candidates):
        raise WorldsMetError("worlds-met", "an exercise and the real thing were to meet; nobody is called")
    if state.over or state.need is None or not state.lack:
        return []
    chosen = choose(state.lack, [one for one in candidates if one.volunteer_id not in state.asked])
    if not chosen:
        return []
    wave = VolunteersAsked(
        callout_id=state.callout_id,
        wave=state.waves + 1,
        revision=state.revision,
        chosen=tuple(chosen),
        left_out=dict(left_out),
    )
    return [wave]


@dataclass(frozen=True, slots=True)
class Said:
    """An answer as it came: to which revision of the need, from which device, or written down by whom."""

    reply: Reply
    since: datetime | None = None
    revision: int | None = None
    other_device: bool = False
    by: str | None = None


def answer(state: Callout, who: UUID, said: Said) -> Events:
    """An answer, at any time and as often as somebody likes; the same again says nothing new.

    After the end it is kept, and changes nothing. Raises NotAskedError.
    """
    before = state.asked.get(who)
    if before is None:
        raise NotAskedError("not-asked", "this person was not asked in this call-out: see who was")
    revision = min(said.revision or state.revision, state.revision)
    last = before.late or (before.reply, before.since)
    same = last == (said.reply, said.since) and (before.answered >= revision or before.late is not None)
    if same:
        return []
    answered = VolunteerAnswered(
        callout_id=state.callout_id,
        volunteer_id=who,
        reply=said.reply,
        since=said.since,
        revision=revision,
        late=state.over,
        other_device=said.other_device,
        by=said.by,
    )
    after = evolve(state, answered)
    return [answered] if state.over or not state.lack else [answered, *_met(after)]


def _met(state: Callout) -> Events:
    """That enough people come, when they do; who has not answered is not needed then."""
    if state.need is None or state.lack:
        return []
    coming, idle = tuple(state.coming), tuple(state.waiting_for)
    return [NeedMet(callout_id=state.callout_id, revision=state.revision, coming=coming, not_needed=idle)]


def give_task(
    state: Callout, task_id: UUID, volunteers: Sequence[UUID], places: Sealed, material: Material
) -> Events:
    """Gives some of those who come something to do. Raises CalloutStateError, NotAskedError."""
    _check_open(state)
    if not set(volunteers) <= set(state.coming):
        raise NotAskedError("not-coming", "a task is for people who said yes: leave out the others")
    people = tuple(dict.fromkeys(volunteers))
    return [
        TaskGiven(
            callout_id=state.callout_id, task_id=task_id, volunteers=people, places=places, material=material
        )
    ]


def place(state: Callout, placed: PosterPlaced) -> Events:
    """Something was put up; also after the end, since it hangs there. Raises NotAskedError."""
    if placed.poster_id in state.up or placed.poster_id in state.removed:
        return []
    if placed.volunteer_id is not None and placed.volunteer_id not in state.asked:
        raise NotAskedError("not-asked", "this person was not asked in this call-out: see who was")
    if placed.task_id is not None and placed.task_id not in state.tasks:
        raise NotAskedError("no-such-task", "there is no such task in this call-out: see its tasks")
    return [placed]


def take_down(state: Callout, poster_id: UUID, by: UUID | None, at: datetime) -> Events:
    """It hangs there no longer. Raises NotAskedError for what never hung."""
    if poster_id in state.removed:
        return []
    if poster_id not in state.up:
        raise NotAskedError("no-such-poster", "there is no such poster in this call-out: see what hangs")
    return [PosterRemoved(callout_id=state.callout_id, poster_id=poster_id, volunteer_id=by, at=at)]


def stand_down(state: Callout, reason: StandDown) -> Events:
    """The end: everybody who may still act on it is told; who said no, or is not needed, was done before.

    The end of a standby alone (`not_worrying`) does not end a call-out. Nothing when it is over already.
    """
    if state.over or not state.version or (reason is StandDown.NOT_WORRYING and state.need is not None):
        return []
    told = [who for who, one in state.asked.items() if one.reply is not Reply.NO and not one.not_needed]
    told += [who for who in state.up.values() if who is not None]
    told += [who for who in sorted(state.standby) if who not in state.asked]
    return [
        StoodDown(
            callout_id=state.callout_id,
            reason=reason,
            told=tuple(dict.fromkeys(told)),
            still_up=tuple(state.up),
        )
    ]


def _check_open(state: Callout) -> None:
    if state.over:
        raise CalloutStateError("stood-down", "this call-out is over: begin another one for the case")


def fold(state: Callout, events: Iterable[Any]) -> Callout:
    """The state after recorded events."""
    for event in events:
        state = evolve(state, event.data, event.time)
    return state
