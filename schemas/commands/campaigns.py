"""The steps of a campaign."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, model_validator

from schemas.areas import Areas
from schemas.base import Instant, LongText, ShortText, Strict
from schemas.vocabulary import CampaignKind, Decision, EndReason, Language, Party


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
MOST_MEDIA = 20
"""How many photos an appeal shows at most."""
MediaIds = Annotated[
    list[UUID],
    Field(
        max_length=MOST_MEDIA,
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
