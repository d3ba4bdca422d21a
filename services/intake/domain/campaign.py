"""A campaign: requested, consented to, released, ended; folded from its events."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from schemas.events import (
    Appeal,
    CampaignEnded,
    CampaignExtended,
    CampaignReleased,
    CampaignRequested,
    CampaignUpdated,
    ConsentRecorded,
)
from schemas.vocabulary import Decision, EndReason, Mode, Origin, Party
from services.eventlog.store import Recorded, campaign_stream
from services.intake.domain.drafts import SealedAt, at
from services.intake.domain.errors import StateRuleError
from services.intake.domain.media import photo_name, sheet_name
from services.intake.domain.policy import BY_LAW, KindPolicy

State = Literal["none", "requested", "released", "ended"]


@dataclass(frozen=True, slots=True)
class Consent:
    """What a party decided last."""

    party: Party
    decision: Decision
    at: datetime
    given_by: SealedAt | None
    reference: SealedAt | None
    waives: tuple[Party, ...]
    reason: SealedAt | None = None


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign at a version; version 0: there is none.

    `texts` are those of the newest appeal, `links` those of every picture it ever showed, by name.
    `continues`: the campaign of a merged duplicate that goes on as this one; four eyes released it there.
    """

    campaign_id: UUID
    case_id: UUID
    version: int = 0
    state: State = "none"
    appeal: Appeal | None = None
    texts: SealedAt | None = None
    links: dict[str, SealedAt] = field(default_factory=dict)
    consents: dict[Party, Consent] = field(default_factory=dict)
    requested_by: str = ""
    requested_at: datetime | None = None
    released_by: str | None = None
    released_at: datetime | None = None
    extensions: int = 0
    continues: UUID | None = None
    ended_at: datetime | None = None
    end_reason: EndReason | None = None
    mode: Mode = Mode.ACTUAL
    origin: Origin = Origin.LIVE

    @property
    def stream(self) -> str:
        """Where its events are."""
        return campaign_stream(self.campaign_id)

    @property
    def shown(self) -> Appeal:
        """The newest appeal."""
        assert self.appeal is not None  # noqa: S101 - there is one from the first event on
        return self.appeal


def is_active(campaign: Campaign) -> bool:
    """Whether recipients may show it now: the one definition of "active"."""
    return campaign.state == "released"


def is_over(campaign: Campaign) -> bool:
    """Whether nothing can happen to it any more."""
    return campaign.state in ("none", "ended")


def initial_state(campaign_id: UUID, case_id: UUID) -> Campaign:
    """No campaign yet."""
    return Campaign(campaign_id, case_id)


def evolve(campaign: Campaign, event: Recorded) -> Campaign:  # noqa: PLR0911 - one branch per event
    """The campaign after one more event of its stream."""
    campaign = replace(campaign, version=event.version)
    match event.data:
        case CampaignRequested() as data:
            started = replace(
                campaign,
                state="requested",
                requested_by=event.cause.actor,
                requested_at=event.time,
                mode=event.cause.mode,
                origin=event.cause.origin,
            )
            return _showing(started, event, data.appeal)
        case ConsentRecorded() as data:
            return replace(campaign, consents={**campaign.consents, data.party: _consent(event, data)})
        case CampaignReleased() as data:
            released = replace(
                campaign,
                state="released",
                released_by=event.cause.actor,
                released_at=data.continues.released_at if data.continues else event.time,
                extensions=data.continues.extensions if data.continues else 0,
                continues=data.continues.campaign_id if data.continues else None,
                mode=event.cause.mode,
                origin=event.cause.origin,
            )
            return _showing(released, event, data.appeal)
        case CampaignUpdated() as data:
            return _showing(campaign, event, data.appeal)
        case CampaignExtended() as data:
            extended = replace(campaign, extensions=campaign.extensions + 1)
            return _showing(extended, event, data.appeal)
        case CampaignEnded() as data:
            return replace(campaign, state="ended", ended_at=event.time, end_reason=data.reason)
        case _:
            return campaign


def _showing(campaign: Campaign, event: Recorded, appeal: Appeal) -> Campaign:
    texts = None if appeal.texts is None else at(event, "appeal.texts", appeal.texts)
    links = {
        photo_name(one.media_id): at(event, f"appeal.media.{place}.link", one.link)
        for place, one in enumerate(appeal.media)
        if one.link is not None
    }
    links |= {
        sheet_name(one.rel, one.language): at(event, f"appeal.renderings.{place}.link", one.link)
        for place, one in enumerate(appeal.renderings)
    }
    return replace(campaign, appeal=appeal, texts=texts, links={**campaign.links, **links})


def _consent(event: Recorded, data: ConsentRecorded) -> Consent:
    reference = None if data.reference is None else at(event, "reference", data.reference)
    given_by = at(event, "given_by", data.given_by)
    reason = None if data.reason is None else at(event, "reason", data.reason)
    return Consent(data.party, data.decision, data.at, given_by, reference, data.waives, reason)


def is_showing(campaign: Campaign) -> bool:
    """Whether what happens now changes what recipients show: an active campaign that is not imported history."""
    return is_active(campaign) and campaign.origin is Origin.LIVE


def _by_law(campaign: Campaign) -> frozenset[Party]:
    return BY_LAW.get(campaign.shown.kind, frozenset())


def waived(campaign: Campaign, policy: KindPolicy) -> frozenset[Party]:
    """Parties that another party, which may, does without."""
    without = frozenset(
        party
        for consent in campaign.consents.values()
        if consent.decision is Decision.GIVEN
        for party in policy.waivers.get(consent.party, frozenset()) & set(consent.waives)
    )
    return without - _by_law(campaign)


def refusing(campaign: Campaign, policy: KindPolicy) -> list[Party]:
    """Parties whose refusal stands."""
    free = waived(campaign, policy)
    return [
        party
        for party, consent in campaign.consents.items()
        if consent.decision is Decision.REFUSED and party not in free
    ]


def missing_consents(campaign: Campaign, policy: KindPolicy) -> list[Party]:
    """Parties that still must consent, in a fixed order."""
    given = {p for p, consent in campaign.consents.items() if consent.decision is Decision.GIVEN}
    return sorted((policy.consents | _by_law(campaign)) - given - waived(campaign, policy))


@dataclass(frozen=True, slots=True)
class Authority:
    """That a campaign may be shown: without every consent that it needs it cannot be constructed.

    Raises StateRuleError, which names the parties that refuse or are missing.
    """

    campaign: Campaign
    policy: KindPolicy

    def __post_init__(self) -> None:
        against = refusing(self.campaign, self.policy)
        if against:
            names = ", ".join(against)
            raise StateRuleError(
                "refused", f"a refusal stands: {names}; it must be taken back first", parties=against
            )
        missing = missing_consents(self.campaign, self.policy)
        if missing:
            names = ", ".join(missing)
            raise StateRuleError("consents-missing", f"record the consent of: {names}", parties=missing)
