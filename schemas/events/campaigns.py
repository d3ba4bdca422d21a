"""The events of a campaign, and the appeal that it shows."""

from typing import Literal
from uuid import UUID

from schemas.base import Instant, Sealed, ShortText, Strict
from schemas.events.event import EventData
from schemas.vocabulary import Audience, CampaignKind, Decision, EndReason, Language, Party


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
