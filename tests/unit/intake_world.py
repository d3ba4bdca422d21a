"""A case in memory, for given/when/then tests of intake's deciders."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter

from schemas.commands import (
    EndCampaign,
    ExtendCampaign,
    Fact,
    GiveConsent,
    OpenCase,
    RequestCampaign,
    UpdateCampaign,
)
from schemas.vocabulary import Mode
from services.eventlog.store import Cause, Recorded
from services.intake import store
from services.intake.domain import campaign as campaign_states
from services.intake.domain import campaigns, facts
from services.intake.domain.appeal import Known
from services.intake.domain.campaign import is_active
from services.intake.domain.drafts import Draft
from services.intake.domain.media import Gallery, Photo
from services.intake.domain.merging import decide_merge
from services.intake.domain.policy import Policy
from services.intake.policy import load_policy
from services.intake.sealing import sealed_event

START = datetime(2021, 3, 4, 18, 0, tzinfo=UTC)
FACT: TypeAdapter[Any] = TypeAdapter(Fact)
KEYS: dict[str, bytes] = defaultdict(lambda: bytes(32))
ALL = {
    "public": ["police", "public_prosecutor", "child_focus", "parents"],
    "vignette": ["police", "child_focus"],
    "child_alert": ["magistrate"],
}


@dataclass
class World:
    """A case in memory: what is decided is sealed, recorded and folded, as in life but for the database."""

    file: store.File = field(default_factory=lambda: store.fold(uuid4(), ()))
    now: datetime = START
    policy: Policy = field(default_factory=load_policy)
    latest: list[str] = field(default_factory=list)
    erased: set[UUID] = field(default_factory=set)
    gallery: Gallery = field(default_factory=lambda: Gallery(seed=bytes(32)))

    def known(self, actor: str = "lead", role: str = "coordinator", *others: "World") -> Known:
        files = [self.file, *(other.file for other in others)]
        return Known(
            now=self.now,
            zone=ZoneInfo("Europe/Brussels"),
            policy=self.policy,
            actor=actor,
            role=role,
            identities={
                c.child_id: None if c.child_id in self.erased else c.identity.opened(KEYS)
                for f in files
                for c in f.case.children
            },
            texts={k: c.texts.opened(KEYS) for f in files for k, c in f.campaigns.items() if c.texts},
            signed={
                (k, party): {"given_by": one.given_by.opened(KEYS)}
                for k, c in self.file.campaigns.items()
                for party, one in c.consents.items()
            },
            gallery=self.gallery,
        )

    def photo(self, child: int = 0) -> UUID:
        """A photo of a child of the case."""
        media_id, child_id = uuid4(), self.file.case.children[child].child_id
        photo = Photo(media_id, child_id, "image/jpeg", 30, 40)
        self.gallery = replace(self.gallery, photos={**self.gallery.photos, media_id: photo})
        return media_id

    def record(self, drafts: list[Draft], actor: str = "lead") -> None:
        for draft in drafts:
            version = self.file.versions.get(draft.stream, 0) + 1
            new = sealed_event(draft, KEYS)
            cause = Cause(actor, "c", mode=Mode.ACTUAL)
            subject = str(self.file.case.case_id)
            event = Recorded(
                draft.stream,
                version,
                new.event_id,
                new.data.TYPE,
                subject,
                self.now,
                self.now,
                None,
                cause,
                new.data,
            )
            self.file = store.with_event(self.file, event)
        self.latest = [draft.model.TYPE for draft in drafts]

    def open(self, *children: dict[str, Any], ids: Sequence[UUID] = (), **more: Any) -> "World":
        people = [
            {"given_name": f"Kind{n}", "family_name": "Voorbeeld", **c}
            for n, c in enumerate(children or ({},))
        ]
        command = OpenCase.model_validate(
            {"kind": "runaway", "reported_by": "parent", "disappeared_at": START, "children": people, **more}
        )
        ids = ids or [uuid4() for _ in people]
        self.record(facts.decide_open(self.file.case, "2021-000001", command, ids, self.known()))
        return self

    def merge(self, other: "World") -> "World":
        """Merges this case into another world's."""
        ours, theirs = list(self.file.campaigns.values()), list(other.file.campaigns.values())
        known = self.known("lead", "coordinator", other)
        drafts = decide_merge(self.file.case, ours, other.file.case, theirs, known)
        mine = {self.file.case.stream, *(campaign.stream for campaign in ours)}
        self.record([draft for draft in drafts if draft.stream in mine])
        other.record([draft for draft in drafts if draft.stream not in mine])
        return self

    def extend(self, campaign_id: UUID, hours: float) -> None:
        """Lets a campaign end so many hours after the start."""
        command = ExtendCampaign(expires_at=START + timedelta(hours=hours))
        self.record(
            campaigns.decide_extend(self.campaign(campaign_id), self.file.case, command, self.known())
        )

    def decide(self, campaign_id: UUID, party: str, decision: str = "given", **more: Any) -> None:
        """Records what a party decided."""
        command = GiveConsent.model_validate(consent(party, decision, **more))
        self.record(campaigns.decide_consent(self.campaign(campaign_id), command, self.known()))

    def update(self, campaign_id: UUID, **change: Any) -> None:
        """Shows something else."""
        command = UpdateCampaign.model_validate({"reason": "x", **change})
        self.record(
            campaigns.decide_update(self.campaign(campaign_id), self.file.case, command, self.known())
        )

    def end(self, campaign_id: UUID) -> None:
        """Ends a campaign by hand."""
        self.record(campaigns.decide_end(self.campaign(campaign_id), EndCampaign(reason="other")))

    def active(self) -> list[UUID]:
        return [campaign_id for campaign_id, one in self.file.campaigns.items() if is_active(one)]

    def fact(self, kind: str, /, **fields: Any) -> "World":
        fact = FACT.validate_python({"type": kind, **fields})
        facts.takes(self.file.case, fact)
        of_case = list(self.file.campaigns.values())
        self.record(facts.decide_fact(self.file.case, of_case, fact, self.known()))
        return self

    def request(self, kind: str = "vignette", consents: list[str] | None = None, **more: Any) -> UUID:
        campaign_id = uuid4()
        given = [consent(party) for party in (ALL[kind] if consents is None else consents)]
        command = RequestCampaign.model_validate(
            {"kind": kind, "areas": ["24062"], "consents": given, **more}
        )
        empty = campaign_states.initial_state(campaign_id, self.file.case.case_id)
        self.record(campaigns.decide_request(empty, self.file.case, command, self.known()), "operator")
        return campaign_id

    def release(
        self,
        campaign_id: UUID,
        actor: str = "lead",
        role: str = "coordinator",
        *,
        beside_others: bool = False,
    ) -> UUID:
        """Releases it; `beside_others`: as in logs from before only one of a kind was shown."""
        drafts = campaigns.decide_release(
            self.campaign(campaign_id),
            self.file.case,
            () if beside_others else self.file.campaigns.values(),
            self.known(actor, role),
        )
        self.record(drafts, actor)
        return campaign_id

    def campaign(self, campaign_id: UUID) -> campaign_states.Campaign:
        return self.file.campaigns[campaign_id]

    def shown(self, campaign_id: UUID) -> list[int]:
        return [person.child for person in self.campaign(campaign_id).shown.persons]


def consent(party: str, decision: str = "given", **more: Any) -> dict[str, Any]:
    return {"party": party, "given_by": "iemand", "decision": decision, "at": START, **more}
