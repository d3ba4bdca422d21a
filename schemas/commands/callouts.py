"""Bodies of the calls about call-outs. Clear text lives only here, until it is sealed."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import AliasChoices, Field, model_validator

from schemas.base import Instant, LongText, PostalCode, ShortText, Skill, Strict
from schemas.commands.volunteers import Latitude, Longitude
from schemas.events.callouts import Material, People
from schemas.vocabulary import Language, Reply


class CallOut(Strict):
    """Who is needed and where: the middle of the municipality, unless a spot is given."""

    people: Annotated[People, Field(ge=1)]
    cars: People = 0
    languages: Annotated[list[Language], Field(max_length=4)] = []
    skills: Annotated[list[Skill], Field(max_length=20)] = []
    """Of each, at least one of those who come has it."""
    postal_code: PostalCode
    lat: Latitude | None = None
    lon: Longitude | None = None
    meeting_place: ShortText | None = None
    by: Instant | None = None
    """Who can come only after this is of no use."""

    @model_validator(mode="after")
    def _whole_spot(self) -> Self:
        if (self.lat is None) != (self.lon is None):
            raise ValueError("give lat and lon, or neither: the postcode's municipality does")
        return self


class RecordAnswer(Strict):
    """An answer that somebody gave by telephone."""

    volunteer_id: UUID
    reply: Reply
    since: Annotated[Instant | None, Field(validation_alias=AliasChoices("from", "since"))] = None

    @model_validator(mode="after")
    def _since_when(self) -> Self:
        if (self.reply is Reply.LATER) != (self.since is not None):
            raise ValueError("from: say from when with the reply later, and only with it")
        return self


class GiveTask(Strict):
    """Something to do for some of those who come."""

    volunteers: Annotated[list[UUID], Field(min_length=1, max_length=500)]
    places: Annotated[list[ShortText], Field(min_length=1, max_length=200)]
    material: Material


class PlacePoster(Strict):
    """Something was put up: where, when, by whom."""

    place: LongText
    at: Instant
    lat: Latitude | None = None
    lon: Longitude | None = None
    task_id: UUID | None = None
    volunteer_id: UUID | None = None


class RemovePoster(Strict):
    """It was taken down."""

    at: Instant
    volunteer_id: UUID | None = None


class StandDownNow(Strict):
    """It is over."""
