"""Every event, once: the pydantic models here are the only definition.

An event's data holds clear facts that statistics need and sealed values for whatever says who it was.
Every free text is sealed: nobody can know beforehand what an operator will write.
"""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from schemas.base import Age, Country, Instant, PostalCode, Sealed, ShortText, Strict
from schemas.vocabulary import (
    AbductingParent,
    AbductionStatus,
    AlertKind,
    Answer,
    Audience,
    CampaignKind,
    CaseKind,
    Criterion,
    Decision,
    Direction,
    EndReason,
    Finding,
    Gender,
    Language,
    Outcome,
    Party,
    ReceiptState,
    UndefinedSubject,
)

CASE_EVENTS = "case-events"
DELIVERY_EVENTS = "delivery-events"
OPS_EVENTS = "ops-events"


ChildIndex = Annotated[int, Field(ge=0, le=99)]
"""Which child of the case, from 0."""


class EventData(Strict):
    """Base of every event's data. `TYPE` is the CloudEvents type, `TOPIC` the family it travels in."""

    TYPE: ClassVar[str]
    TOPIC: ClassVar[str] = CASE_EVENTS


# ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────


class ChildRecord(Strict):
    """One child of a case. `identity` seals names, birth date, description; ages are at the disappearance."""

    index: int
    child_id: UUID
    identity: Sealed
    age_min: Age | None = None
    age_max: Age | None = None
    gender: Gender = Gender.UNKNOWN
    nationality: Country | None = None


class ChildCorrection(Strict):
    """What changed about a child; `identity` seals the whole corrected identity. Absent fields stay."""

    child: int
    identity: Sealed | None = None
    age_min: Age | None = None
    age_max: Age | None = None
    gender: Gender | None = None
    nationality: Country | None = None


class Place(Strict):
    """Where: municipality (REFNIS) and postcode in clear, place text and coordinates sealed."""

    postal_code: PostalCode | None = None
    municipality: str | None = None
    spot: Sealed | None = None


class Circumstance(Strict):
    """What was reported about one criterion. `child` None: it holds for every child of the case."""

    criterion: Criterion
    value: Answer
    child: int | None = None
    note: Sealed | None = None
    next_due: Instant | None = None


class AbductionDetails(Strict):
    """International parental abduction."""

    status: AbductionStatus
    abducting_parent: AbductingParent | None = None
    country: Country | None = None
    direction: Direction | None = None
    helped_return: bool | None = None


class UndefinedDetails(Strict):
    """Undefined and other disappearances."""

    subject: UndefinedSubject


class NoDetails(Strict):
    """Kinds that need nothing more."""


Details = AbductionDetails | UndefinedDetails | NoDetails


class ChildOutcome(Strict):
    """What became of one child."""

    child: ChildIndex
    outcome: Outcome


class Person(Strict):
    """One child as an appeal shows it; `portrait` seals name, age, description. Never why, never relatives."""

    child: int
    child_id: UUID
    portrait: Sealed


class Media(Strict):
    """A photo of an appeal. `link` seals the unguessable part of its address, with the child's key."""

    media_id: UUID
    child_id: UUID
    type: str = "image/jpeg"
    width: int = 0
    height: int = 0
    link: Sealed | None = None


class Rendering(Strict):
    """A picture drawn from an appeal: photos, headline, 116 000. `link` as of a photo, with the case's key."""

    rel: Literal["poster", "screen"]
    language: Language
    type: str
    width: int
    height: int
    link: Sealed


class Appeal(Strict):
    """All that a recipient needs, as of one revision: dispatch plans from this and looks nothing up."""

    kind: CampaignKind
    areas: tuple[ShortText, ...]
    audiences: tuple[Audience, ...] | None = None
    """Whom it is meant for, as the policy said when it was requested; None: the default of its kind."""
    languages: tuple[Language, ...] = ()
    expires_at: Instant | None = None
    persons: tuple[Person, ...] = ()
    texts: Sealed | None = None
    own_texts: bool = False
    """The texts were written by a person, not made from the policy's templates."""
    media: tuple[Media, ...] = ()
    renderings: tuple[Rendering, ...] = ()


# ── case-<id> ───────────────────────────────────────────────────────────────────────────────────────────────


class CaseOpened(EventData):
    """A disappearance was reported to 116 000 and became a case."""

    TYPE = "case.opened.v1"
    case_number: str
    kind: CaseKind
    reported_by: Sealed
    disappeared_at: Instant | None = None
    last_seen: Place
    children: tuple[ChildRecord, ...]
    circumstances: tuple[Circumstance, ...] = ()
    details: Details


class DetailsCorrected(EventData):
    """Facts of the case were wrong or incomplete; absent fields stay as they were."""

    TYPE = "case.details_corrected.v1"
    children: tuple[ChildCorrection, ...] = ()
    last_seen: Place | None = None
    disappeared_at: Instant | None = None
    details: Details | None = None


class CircumstanceReported(EventData):
    """Replaces the earlier value of that criterion for that child (or for all)."""

    TYPE = "case.circumstance_reported.v1"
    criterion: Criterion
    value: Answer
    child: int | None = None
    note: Sealed | None = None
    next_due: Instant | None = None


class CircumstanceRetracted(EventData):
    """An earlier circumstance (by the id of the event that reported it) no longer counts."""

    TYPE = "case.circumstance_retracted.v1"
    event_id: UUID
    reason: Sealed


class SightingReported(EventData):
    """Somebody says to have seen the child."""

    TYPE = "case.sighting_reported.v1"
    at: Instant
    where: Place
    note: Sealed | None = None


class Reclassified(EventData):
    """The case turned out to be of another kind."""

    TYPE = "case.reclassified.v1"
    kind: CaseKind
    details: Details
    reason: Sealed


class WorryingOverridden(EventData):
    """A person decides, against the rules, in either direction; holds until withdrawn."""

    TYPE = "case.worrying_overridden.v1"
    worrying: bool
    reason: Sealed


class OverrideWithdrawn(EventData):
    """The rules decide again."""

    TYPE = "case.override_withdrawn.v1"


class PoliceInformed(EventData):
    """The police know of the disappearance."""

    TYPE = "case.police_informed.v1"
    at: Instant
    reference: Sealed | None = None


class ChildLocated(EventData):
    """One of the children was found; the case may go on for the others."""

    TYPE = "case.child_located.v1"
    child: int
    outcome: Outcome
    at: Instant


class CaseClosed(EventData):
    """Never without news: says what became of each child."""

    TYPE = "case.closed.v1"
    outcomes: tuple[ChildOutcome, ...]


class CaseReopened(EventData):
    """The search goes on."""

    TYPE = "case.reopened.v1"
    reason: Sealed


class CaseMerged(EventData):
    """The case was a duplicate; its children move to `case_id`."""

    TYPE = "case.merged_into.v1"
    case_id: UUID


class ChildrenJoined(EventData):
    """Children of a duplicate, which was merged into this case, that this case did not have yet."""

    TYPE = "case.children_joined.v1"
    from_case: UUID
    children: tuple[ChildRecord, ...]


class NoteAdded(EventData):
    """A note for the colleagues."""

    TYPE = "case.note_added.v1"
    text: Sealed


class PhotoAdded(EventData):
    """A photo of a child. It is kept sealed elsewhere; `size` and `sha256` are those of the sealed bytes."""

    TYPE = "case.photo_added.v1"
    media_id: UUID
    child: int
    child_id: UUID
    type: str
    width: int
    height: int
    size: int
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


# ── campaign-<id> ───────────────────────────────────────────────────────────────────────────────────────────


class CampaignRequested(EventData):
    """Somebody asks for a search campaign; nothing is sent before its release."""

    TYPE = "campaign.requested.v1"
    campaign_id: UUID
    appeal: Appeal


class ConsentRecorded(EventData):
    """A party decided. Who signed and the reference are sealed. `waives`: parties it does without, and why."""

    TYPE = "campaign.consent_recorded.v1"
    campaign_id: UUID
    party: Party
    decision: Decision
    given_by: Sealed
    reference: Sealed | None = None
    at: Instant
    waives: tuple[Party, ...] = ()
    reason: Sealed | None = None


class Continued(Strict):
    """The campaign of a duplicate that goes on in the case it was merged into, and what it used of its time."""

    campaign_id: UUID
    released_at: Instant
    extensions: int


class CampaignReleased(EventData):
    """The appeal may be shown from now on. `continues`: it was shown before, for a duplicate of this case."""

    TYPE = "campaign.released.v1"
    campaign_id: UUID
    appeal: Appeal
    continues: Continued | None = None


class CampaignUpdated(EventData):
    """What is shown from now on instead."""

    TYPE = "campaign.updated.v1"
    campaign_id: UUID
    appeal: Appeal
    reason: Sealed | None = None


class CampaignExtended(EventData):
    """It lasts longer."""

    TYPE = "campaign.extended.v1"
    campaign_id: UUID
    appeal: Appeal


class CampaignEnded(EventData):
    """Every display goes dark."""

    TYPE = "campaign.ended.v1"
    campaign_id: UUID
    reason: EndReason
    note: Sealed | None = None


# ── assessment-<case id> ────────────────────────────────────────────────────────────────────────────────────


class CriterionFinding(Strict):
    """The conclusion about one criterion for one child, with the events that are its evidence."""

    criterion: Criterion
    child: int
    value: Finding
    evidence: tuple[UUID, ...] = ()


class OpenQuestion(Strict):
    """What is not settled (unknown, or only possible), though the answer may decide."""

    criterion: Criterion
    child: int


class Override(Strict):
    """A standing human decision."""

    worrying: bool
    by: str
    event_id: UUID


class AssessmentChanged(EventData):
    """The assessment as it now stands; appended only when it changes.

    `case_version` is the version of the case stream it rests on; `episode` counts the worrying episodes of the
    case (0: not worrying so far); `medication_overdue` lists the children whose dose was due and who are not back;
    `changes` says what changed; `because` is the event (none: the clock).
    """

    TYPE = "assessment.changed.v1"
    case_number: str
    kind: CaseKind
    postal_code: PostalCode | None = None
    municipality: str | None = None
    case_version: int
    case_open: bool
    rules: str
    worrying: bool
    episode: int
    criteria: tuple[CriterionFinding, ...]
    reasons: tuple[str, ...]
    open_questions: tuple[OpenQuestion, ...] = ()
    override: Override | None = None
    medication_overdue: tuple[int, ...] = ()
    changes: tuple[str, ...]
    because: UUID | None = None


# ── alert-<id> ──────────────────────────────────────────────────────────────────────────────────────────────


class AlertFact(EventData):
    """What was planned in one publish: a revision of an alert, how many recipients get it, `to` which displays."""

    alert_id: UUID
    revision: int
    kind: AlertKind
    campaign_id: UUID | None = None
    recipients: int
    displays: int
    to: tuple[UUID, ...] = ()
    expires_at: Instant | None = None


class AlertIssued(AlertFact):
    """Revision 1."""

    TYPE = "alert.issued.v1"


class AlertUpdated(AlertFact):
    """A later revision."""

    TYPE = "alert.updated.v1"


class AlertWithdrawn(AlertFact):
    """The last revision; nothing is shown any more."""

    TYPE = "alert.withdrawn.v1"
    reason: str


# ── delivery-<alert id>.<recipient id> ──────────────────────────────────────────────────────────────────────


class DeliveryFact(EventData):
    """What happened to one revision at one recipient. `content` is what the revision did."""

    TOPIC = DELIVERY_EVENTS
    alert_id: UUID
    revision: int
    content: Literal["issued", "updated", "withdrawn"]
    kind: AlertKind
    recipient: UUID
    audience: Audience
    attempts: int


class DeliveryDelivered(DeliveryFact):
    """The recipient answered 2xx at `at`."""

    TYPE = "delivery.delivered.v1"
    at: Instant


class DeliveryHeld(DeliveryFact):
    """The recipient cannot be reached this way; a person was paged."""

    TYPE = "delivery.held.v1"
    error_class: str


class ReceiptRecorded(EventData):
    """A display partner says what its screens do."""

    TYPE = "receipt.recorded.v1"
    TOPIC = DELIVERY_EVENTS
    alert_id: UUID
    revision: int
    recipient: UUID
    state: ReceiptState
    screens: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    at: Instant


# ── ops-… ───────────────────────────────────────────────────────────────────────────────────────────────────

Count = Annotated[int, Field(ge=0, le=10_000_000_000)]


class CallsCounted(EventData):
    """Calls to 116 000 since the last count."""

    TYPE = "calls.counted.v1"
    TOPIC = OPS_EVENTS
    count: Count


class ReachReported(EventData):
    """People reached and interactions of posts about a case."""

    TYPE = "reach.reported.v1"
    TOPIC = OPS_EVENTS
    people: Count
    interactions: Count


class AppActivated(EventData):
    """The app showed a case."""

    TYPE = "app.activated.v1"
    TOPIC = OPS_EVENTS


class PartnersEngaged(EventData):
    """Display partners were engaged for a case (imported history; live engagements follow from deliveries)."""

    TYPE = "partners.engaged.v1"
    TOPIC = OPS_EVENTS
    count: Count


class PartnersCounted(EventData):
    """How many display partners there are (imported history)."""

    TYPE = "partners.counted.v1"
    TOPIC = OPS_EVENTS
    count: Count


class VolunteersCalledOut(EventData):
    """Volunteers went out for a case."""

    TYPE = "volunteers.called_out.v1"
    TOPIC = OPS_EVENTS


def _concrete(base: type[EventData]) -> list[type[EventData]]:
    found = [base] if "TYPE" in base.__dict__ else []
    for child in base.__subclasses__():
        found += _concrete(child)
    return found


EVENTS: dict[str, type[EventData]] = {model.TYPE: model for model in _concrete(EventData)}
"""Every event type there is."""

TOPICS = (CASE_EVENTS, DELIVERY_EVENTS, OPS_EVENTS)
