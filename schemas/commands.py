"""Bodies of the HTTP calls that change something. Clear text lives only here, until it is sealed."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AnyHttpUrl, Field, StrictBool, model_validator

from schemas.areas import Areas
from schemas.base import Age, Country, Day, Instant, LongText, PostalCode, ShortText, Strict
from schemas.events import AbductionDetails, ChildIndex, ChildOutcome, Details, NoDetails, UndefinedDetails
from schemas.vocabulary import (
    AlertKind,
    Answer,
    Audience,
    CampaignKind,
    CaseKind,
    Criterion,
    Decision,
    EndReason,
    Gender,
    Language,
    Mode,
    Outcome,
    Party,
    ReceiptState,
)


class AgeEstimate(Strict):
    """A range of whole years, both ends included."""

    min: Age
    max: Age

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError("age_estimate: min is above max; swap them")
        return self


class NewChild(Strict):
    """One missing child, as the operator hears it."""

    given_name: ShortText | None = None
    family_name: ShortText | None = None
    date_of_birth: Day | None = None
    age_estimate: AgeEstimate | None = None
    gender: Gender = Gender.UNKNOWN
    nationality: Country | None = None
    description: LongText | None = None

    @model_validator(mode="after")
    def _one_age(self) -> Self:
        if self.date_of_birth and self.age_estimate:
            raise ValueError("give date_of_birth or age_estimate, not both")
        return self


class Sighted(Strict):
    """Where, as reported."""

    postal_code: PostalCode | None = None
    place: ShortText | None = None
    lat: Annotated[float, Field(ge=-90, le=90)] | None = None
    lon: Annotated[float, Field(ge=-180, le=180)] | None = None


class NewCircumstance(Strict):
    """What is said about one criterion; without `child` it holds for every child."""

    criterion: Criterion
    value: Answer
    child: ChildIndex | None = None
    note: LongText | None = None
    next_due: Instant | None = None


def details_of(kind: CaseKind, details: Details) -> Details:
    """Returns `details` when they fit the kind; ValueError says what the kind needs."""
    wanted: type[Strict]
    match kind:
        case CaseKind.INTERNATIONAL_PARENTAL_ABDUCTION:
            wanted = AbductionDetails
        case CaseKind.UNDEFINED:
            if isinstance(details, NoDetails):
                return details
            wanted = UndefinedDetails
        case _:
            wanted = NoDetails
    if not isinstance(details, wanted):
        need = ", ".join(wanted.model_fields) or "none"
        raise ValueError(f"details: a case of kind {kind.value} takes these details: {need}")  # noqa: TRY004 - pydantic turns ValueError into a 422
    return details


class OpenCase(Strict):
    """Open a case."""

    kind: CaseKind
    reported_by: ShortText
    disappeared_at: Instant | None = None
    last_seen: Sighted = Sighted()
    children: Annotated[list[NewChild], Field(min_length=1, max_length=100)]
    circumstances: Annotated[list[NewCircumstance], Field(max_length=600)] = []
    details: Details = NoDetails()
    mode: Mode = Mode.ACTUAL

    @model_validator(mode="after")
    def _whole(self) -> Self:
        details_of(self.kind, self.details)
        preventive = isinstance(self.details, AbductionDetails) and self.details.status == "preventive"
        if self.disappeared_at is None and not preventive:
            raise ValueError("disappeared_at is required unless the abduction is preventive")
        for circumstance in self.circumstances:
            if circumstance.child is not None and circumstance.child >= len(self.children):
                raise ValueError("circumstances: child is the index of one of the children, from 0")
        return self


# ── facts of a case: the body of POST /v1/cases/{id}/events ────────────────────────────────────────────────


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


class FindChild(Strict):
    """Search a child by identity: exact, but for case and accents."""

    given_name: ShortText
    family_name: ShortText
    date_of_birth: Day


# ── campaigns ───────────────────────────────────────────────────────────────────────────────────────────────


class GiveConsent(Strict):
    """What a party decided about a campaign; `waives` names parties it does without, for the `reason` given."""

    party: Party
    given_by: ShortText
    reference: ShortText | None = None
    decision: Decision
    at: Instant
    waives: Annotated[list[Party], Field(max_length=4)] = []
    reason: LongText | None = None

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        if self.waives and (self.reason is None or self.decision is not Decision.GIVEN):
            raise ValueError("waives goes with decision given and a reason")
        return self


class Text(Strict):
    """An appeal's words in one language."""

    headline: ShortText
    body: LongText


Texts = dict[Language, Text]
MediaIds = Annotated[
    list[UUID],
    Field(
        max_length=20,
        description="Photos of children who are missing in the case, in the order in which they are shown; screens and"
        " posters are drawn from them. Left out of an update: they stay; []: no pictures",
    ),
]


class RequestCampaign(Strict):
    """Ask for a search campaign."""

    kind: CampaignKind
    areas: Areas
    languages: Annotated[list[Language], Field(max_length=4)] = []
    expires_at: Instant | None = None
    consents: Annotated[list[GiveConsent], Field(max_length=20)] = []
    texts: Texts | None = None
    media: MediaIds = []


class ReleaseCampaign(Strict):
    """Release it; the body is `{}`."""


class UpdateCampaign(Strict):
    """Change what is shown."""

    areas: Areas | None = None
    languages: Annotated[list[Language], Field(max_length=4)] | None = None
    texts: Texts | None = None
    media: MediaIds | None = None
    reason: LongText


class ExtendCampaign(Strict):
    """Let it last longer."""

    expires_at: Instant


class EndCampaign(Strict):
    """End it; every display goes dark."""

    reason: EndReason
    note: LongText | None = None


# ── partners, receipts, counters ────────────────────────────────────────────────────────────────────────────


class NewPartner(Strict):
    """A recipient of alerts. `areas` says where its screens are."""

    name: ShortText
    url: AnyHttpUrl
    format: Literal["json", "cap"] = "json"
    content: Literal["full", "link"] = "full"
    areas: Areas
    languages: Annotated[list[Language], Field(min_length=1, max_length=4)]
    contact: ShortText
    audience: Audience = Audience.DISPLAY
    exercise: StrictBool = False


class ChangePartner(Strict):
    """What changes about a partner; absent fields stay.

    `paused` takes back what the partner shows and sends no appeals until its end, which a ping proves; what is lit
    then is sent again. Withdrawals always go.
    """

    name: ShortText | None = None
    url: AnyHttpUrl | None = None
    content: Literal["full", "link"] | None = None
    areas: Areas | None = None
    languages: Annotated[list[Language], Field(min_length=1, max_length=4)] | None = None
    contact: ShortText | None = None
    paused: StrictBool | None = None


class ExplainAreas(Strict):
    """Ask whom areas select, as if an alert of this kind were issued for them now.

    `audiences`: as the policy names them for this kind; without them the default of the kind is asked about.
    """

    areas: Areas
    kind: AlertKind = AlertKind.PUBLIC
    audiences: tuple[Audience, ...] | None = None
    mode: Mode = Mode.ACTUAL


class Receipt(Strict):
    """A partner says what its screens do."""

    alert_id: UUID
    revision: Annotated[int, Field(ge=1, le=1_000_000)]
    state: ReceiptState
    screens: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    at: Instant


class CountCalls(Strict):
    """Calls to 116 000 since the last count."""

    count: Annotated[int, Field(ge=0, le=10_000_000)]
    at: Instant


class ReportReach(Strict):
    """Reach of posts about a case."""

    case_id: UUID
    people: Annotated[int, Field(ge=0, le=10_000_000_000)]
    interactions: Annotated[int, Field(ge=0, le=10_000_000_000)]
    at: Instant


# ── import: one line of an NDJSON file ──────────────────────────────────────────────────────────────────────


class ImportChild(NewChild):
    """A child of the file; equal `ref`s are the same child."""

    ref: ShortText | None = None


class ImportLine(Strict):
    """One line; `data` is validated by the model of its `type`."""

    type: ShortText
    at: Instant
    data: dict[str, Any]
    ref: ShortText | None = None
    id: ShortText | None = None
