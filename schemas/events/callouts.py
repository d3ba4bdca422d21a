"""Events of a call-out: who was asked, what they answered, what hangs where. People are numbers, places are sealed."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from schemas.base import Instant, Sealed, Skill, Strict
from schemas.events.event import DELIVERY_EVENTS, EventData
from schemas.vocabulary import Language, Reply, StandDown, Step

People = Annotated[int, Field(ge=0, le=1000)]


class Need(Strict):
    """Who is needed, and where. `spot` seals the meeting place; `by`: who can come only later is of no use."""

    people: People
    cars: People = 0
    languages: tuple[Language, ...] = ()
    skills: tuple[Skill, ...] = ()
    municipality: str | None = None
    lat: Annotated[float, Field(ge=-90, le=90)]
    lon: Annotated[float, Field(ge=-180, le=180)]
    by: Instant | None = None
    spot: Sealed | None = None


class Chosen(Strict):
    """Somebody who is asked, and why: how far away, how often asked and out lately, what they were chosen for.

    `brings`: a car, languages, skills as `skill:first_aid`; `chosen_for`: what of that the need lacked (nothing: they are the next nearest).
    """

    volunteer_id: UUID
    distance_km: float
    asked_lately: int = 0
    out_lately: int = 0
    brings: tuple[str, ...] = ()
    chosen_for: tuple[str, ...] = ()


class Material(Strict):
    """What is put up."""

    posters: People = 0
    vignettes: People = 0


class CalloutFact(EventData):
    """What every event of a call-out says."""

    TOPIC = DELIVERY_EVENTS
    callout_id: UUID


class StandbyCalled(CalloutFact):
    """A case became worrying: these people are told to be ready, and where; never who is missing."""

    TYPE = "callout.standby.v1"
    municipality: str | None = None
    told: tuple[UUID, ...]


class CalledOut(CalloutFact):
    """A coordinator needs people. `revision` counts the versions of the need, from 1."""

    TYPE = "callout.called.v1"
    revision: int
    need: Need
    confirm_again: bool = False
    """The place or the time is another one: who said yes is asked again."""


class VolunteersAsked(CalloutFact):
    """A wave: these people are asked to come. `left_out` counts the others by the reason why they are not."""

    TYPE = "callout.asked.v1"
    wave: int
    revision: int
    chosen: tuple[Chosen, ...]
    left_out: dict[str, int] = {}


class VolunteersTold(CalloutFact):
    """A message was taken for these people on this kind of channel; `step` is what it was about."""

    TYPE = "callout.told.v1"
    step: Step
    channel: str
    volunteers: tuple[UUID, ...]


class VolunteerAnswered(CalloutFact):
    """An answer, or another one of the same person, which replaces it.

    `revision` is that of the need which was answered; `late`: the call-out was over; `other_device`: a link that was
    answered before was used from elsewhere; `by` names a coordinator who wrote it down for them.
    """

    TYPE = "callout.answered.v1"
    volunteer_id: UUID
    reply: Reply
    since: Instant | None = None
    revision: int
    late: bool = False
    other_device: bool = False
    by: str | None = None


class NeedMet(CalloutFact):
    """Enough people come; who was asked and has not answered is told that it is done."""

    TYPE = "callout.met.v1"
    revision: int
    coming: tuple[UUID, ...]
    not_needed: tuple[UUID, ...]


class TaskGiven(CalloutFact):
    """Some of those who come get something to do. `places` seals where."""

    TYPE = "callout.tasked.v1"
    task_id: UUID
    volunteers: tuple[UUID, ...]
    places: Sealed
    material: Material


class PosterPlaced(CalloutFact):
    """Something was put up; it is on the list until it is taken down. `spot` seals where.

    `photo`: SHA-256 of the sealed picture that proves it, where there is one.
    """

    TYPE = "callout.placed.v1"
    poster_id: UUID
    task_id: UUID | None = None
    volunteer_id: UUID | None = None
    spot: Sealed
    at: Instant
    photo: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


class PosterRemoved(CalloutFact):
    """It hangs there no longer."""

    TYPE = "callout.removed.v1"
    poster_id: UUID
    volunteer_id: UUID | None = None
    at: Instant


class StoodDown(CalloutFact):
    """It is over. `told`: everybody who was told of anything; what still hangs is to be taken down."""

    TYPE = "callout.stood_down.v1"
    reason: StandDown
    told: tuple[UUID, ...]
    still_up: tuple[UUID, ...] = ()
