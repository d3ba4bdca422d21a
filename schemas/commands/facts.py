"""The facts of a case: the body of POST /v1/cases/{id}/events."""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, StrictBool, model_validator

from schemas.base import Country, Day, Instant, LongText, ShortText, Strict
from schemas.commands.cases import AgeEstimate, NewCircumstance, Sighted, details_of
from schemas.events import ChildIndex, ChildOutcome, Details, NoDetails
from schemas.vocabulary import CaseKind, Gender, Outcome


class ChildChange(Strict):
    """What changed about one child."""

    child: ChildIndex
    given_name: ShortText | None = None
    family_name: ShortText | None = None
    date_of_birth: Day | None = None
    age_estimate: AgeEstimate | None = None
    gender: Gender | None = None
    nationality: Country | None = None
    description: LongText | None = None


class CorrectDetails(Strict):
    """Facts were wrong or incomplete; absent fields stay."""

    type: Literal["details_corrected"]
    children: Annotated[list[ChildChange], Field(max_length=100)] = []
    last_seen: Sighted | None = None
    disappeared_at: Instant | None = None
    details: Details | None = None


class ReportCircumstance(NewCircumstance):
    """A circumstance; replaces the earlier value of that criterion for that child."""

    type: Literal["circumstance_reported"]


class RetractCircumstance(Strict):
    """An earlier circumstance no longer counts."""

    type: Literal["circumstance_retracted"]
    event_id: UUID
    reason: LongText


class ReportSighting(Sighted):
    """Somebody says to have seen the child."""

    type: Literal["sighting_reported"]
    at: Instant
    note: LongText | None = None


class Reclassify(Strict):
    """The case is of another kind."""

    type: Literal["reclassified"]
    kind: CaseKind
    details: Details = NoDetails()
    reason: LongText

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        details_of(self.kind, self.details)
        return self


class OverrideWorrying(Strict):
    """A reasoned human decision, in either direction."""

    type: Literal["worrying_overridden"]
    worrying: StrictBool
    reason: LongText


class WithdrawOverride(Strict):
    """The rules decide again."""

    type: Literal["override_withdrawn"]


class InformPolice(Strict):
    """The police were told."""

    type: Literal["police_informed"]
    at: Instant
    reference: ShortText | None = None


class LocateChild(Strict):
    """One of the children was found."""

    type: Literal["child_located"]
    child: ChildIndex
    outcome: Outcome
    at: Instant


class CloseCase(Strict):
    """Close with an outcome for each child."""

    type: Literal["closed"]
    outcomes: Annotated[list[ChildOutcome], Field(max_length=100)]


class ReopenCase(Strict):
    """The search goes on."""

    type: Literal["reopened"]
    reason: LongText


class MergeCase(Strict):
    """The case is a duplicate of `case_id`."""

    type: Literal["merged_into"]
    case_id: UUID


class AddNote(Strict):
    """A note."""

    type: Literal["note_added"]
    text: LongText


Fact = Annotated[
    CorrectDetails
    | ReportCircumstance
    | RetractCircumstance
    | ReportSighting
    | Reclassify
    | OverrideWorrying
    | WithdrawOverride
    | InformPolice
    | LocateChild
    | CloseCase
    | ReopenCase
    | MergeCase
    | AddNote,
    Field(discriminator="type"),
]
