"""Whatever happens, in whatever order: the state machines of case and campaign hold."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from intake_world import ALL, KEYS, START, World

from schemas.vocabulary import Criterion, EndReason, Party
from services.intake import store
from services.intake.domain import campaign as states
from services.intake.domain import campaigns
from services.intake.domain.campaign import is_active, is_over, missing_consents, refusing
from services.intake.domain.errors import IntakeError

CHILDREN = st.integers(0, 4)
NAMES = ("Kind0", "Kind1", "Kind2", "Ander")
HOURS = st.sampled_from([-1, 0, 0.5, 1, 6, 7])


class Machine(RuleBasedStateMachine):
    """Steps that are allowed or refused; a refused one leaves nothing behind."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World().open({}, {}, {"date_of_birth": date(2009, 1, 1)})

    def attempt(self, work: Any) -> None:
        before = self.world.file
        try:
            work()
        except IntakeError:
            assert self.world.file is before, "a refused command leaves nothing behind"

    def some(self, data: st.DataObject, state: str = "released") -> UUID:
        """A campaign, mostly one in this state: else nearly every step would be refused."""
        campaigns = self.world.file.campaigns
        fitting = [one for one, campaign in campaigns.items() if campaign.state == state]
        anyway = not fitting or data.draw(st.integers(0, 7)) == 0
        return data.draw(st.sampled_from(list(campaigns) if anyway else fitting))

    @initialize(kind=st.sampled_from(sorted(ALL)))
    def one_is_released_and_one_waits(self, kind):
        self.world.release(self.world.request(kind))
        self.world.request(kind)

    @rule(kind=st.sampled_from(sorted(ALL)), own=st.booleans(), consents=st.sampled_from([None, []]))
    def request(self, kind, own, consents):
        texts = {"nl": {"headline": "Kind0 Kind1 Kind2", "body": "x"}} if own else None
        self.attempt(lambda: self.world.request(kind, consents, texts=texts))

    @precondition(lambda self: self.world.file.campaigns)
    @rule(data=st.data(), actor=st.sampled_from(["lead", "operator"]))
    def release(self, data, actor):
        campaign = self.some(data, "requested")
        self.attempt(lambda: self.world.release(campaign, actor))

    @precondition(lambda self: self.world.file.campaigns)
    @rule(
        data=st.data(),
        party=st.sampled_from([party.value for party in Party]),
        decision=st.sampled_from(["given", "given", "refused"]),
    )
    def decide(self, data, party, decision):
        campaign = self.some(data)
        self.attempt(lambda: self.world.decide(campaign, party, decision))

    @precondition(lambda self: self.world.file.campaigns)
    @rule(data=st.data())
    def update(self, data):
        campaign = self.some(data)
        self.attempt(lambda: self.world.update(campaign, areas=["BE"]))

    @rule(child=CHILDREN)
    def locate(self, child):
        self.attempt(lambda: self.world.fact("child_located", child=child, outcome="returned", at=START))

    @invariant()
    def nothing_is_shown_without_authority(self):
        for campaign in self.world.file.campaigns.values():
            if is_active(campaign):
                policy = self.world.policy.kinds[campaign.shown.kind]
                assert not missing_consents(campaign, policy)
                assert not refusing(campaign, policy)
                assert campaign.continues or campaign.released_by != campaign.requested_by

    @invariant()
    def of_each_kind_one_is_shown(self):
        kinds = [self.world.campaign(campaign_id).shown.kind for campaign_id in self.world.active()]
        assert len(kinds) == len(set(kinds))

    @invariant()
    def only_missing_children_are_shown(self):
        missing = {child.index for child in self.world.file.case.missing}
        for campaign_id in self.world.active():
            assert self.world.file.case.open
            shown = set(self.world.shown(campaign_id))
            assert shown
            assert shown <= missing
            texts = str(self.world.campaign(campaign_id).texts.opened(KEYS))
            assert not [name for n, name in enumerate(NAMES) if n not in shown and name in texts]

    @invariant()
    def the_log_alone_gives_the_same_case(self):
        file = self.world.file
        assert store.fold(file.case.case_id, file.events) == replace(file, events=list(file.events))


class CaseMachine(Machine):
    """Facts of a case, with campaigns beside them."""

    @rule(children=st.just(range(3)) | st.sets(CHILDREN))
    def close(self, children):
        outcomes = [{"child": child, "outcome": "returned"} for child in sorted(children)]
        self.attempt(lambda: self.world.fact("closed", outcomes=outcomes))

    @rule()
    def reopen(self):
        self.attempt(lambda: self.world.fact("reopened", reason="x"))

    @rule(child=CHILDREN, born=st.dates(date(2005, 1, 1), date(2022, 1, 1)))
    def correct(self, child, born):
        changes = [{"child": child, "date_of_birth": born, "description": "rode jas"}]
        self.attempt(lambda: self.world.fact("details_corrected", children=changes))

    @rule(
        child=st.none() | CHILDREN,
        criterion=st.sampled_from(sorted(Criterion)[:2]),
        value=st.sampled_from(["yes", "no", "unknown"]),
    )
    def report(self, child, criterion, value):
        said = {"criterion": criterion, "value": value, "child": child}
        self.attempt(lambda: self.world.fact("circumstance_reported", **said))

    @precondition(lambda self: self.world.file.case.told)
    @rule(data=st.data())
    def retract(self, data):
        told = data.draw(st.sampled_from(self.world.file.case.told))
        self.attempt(lambda: self.world.fact("circumstance_retracted", event_id=told.event_id, reason="x"))

    @rule(worrying=st.none() | st.booleans())
    def override(self, worrying):
        if worrying is None:
            self.attempt(lambda: self.world.fact("override_withdrawn"))
        else:
            self.attempt(lambda: self.world.fact("worrying_overridden", worrying=worrying, reason="x"))

    @rule(kind=st.sampled_from(["undefined", "unaccompanied_minor"]))
    def reclassify(self, kind):
        self.attempt(lambda: self.world.fact("reclassified", kind=kind, reason="x"))

    @rule(name=st.sampled_from(["Kind0", "Ander"]), kind=st.sampled_from(sorted(ALL)), showing=st.booleans())
    def merge_a_duplicate(self, name, kind, showing):
        duplicate = World().open({"given_name": name})
        if showing:
            duplicate.release(duplicate.request(kind))
        lit = {self.world.campaign(one).shown.kind for one in self.world.active()}
        try:
            duplicate.merge(self.world)
        except IntakeError:
            return
        assert not duplicate.active()
        kinds = [self.world.campaign(one).shown.kind for one in self.world.active()]
        assert lit <= set(kinds), "a merge takes nothing of the other case down"

    @invariant()
    def a_closed_case_has_news_of_everybody(self):
        case = self.world.file.case
        assert case.open or case.merged_into or not case.missing

    @invariant()
    def what_counts_is_the_last_that_was_not_retracted(self):
        case = self.world.file.case
        for told in case.circumstances:
            about = [t for t in case.told if (t.criterion, t.child) == (told.criterion, told.child)]
            assert told == about[-1]
        assert {(t.criterion, t.child) for t in case.told} == {
            (t.criterion, t.child) for t in case.circumstances
        }


class CampaignMachine(Machine):
    """Campaigns in time: extended, expired by the timer, ended; nothing comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.over: dict[UUID, states.Campaign] = {}

    @precondition(lambda self: self.world.file.campaigns)
    @rule(data=st.data(), hours=HOURS)
    def extend(self, data, hours):
        campaign = self.some(data)
        ends = self.world.campaign(campaign).shown.expires_at or self.world.now
        since = (ends - START) / timedelta(hours=1)
        self.attempt(lambda: self.world.extend(campaign, since + hours))

    @precondition(lambda self: self.world.file.campaigns)
    @rule(data=st.data())
    def end(self, data):
        campaign = self.some(data)
        self.attempt(lambda: self.world.end(campaign))

    @rule(hours=st.sampled_from([0.5, 1, 6, 24, 24 * 30]))
    def time_passes(self, hours):
        self.world.now += timedelta(hours=hours)
        for campaign_id in self.world.active():
            campaign = self.world.campaign(campaign_id)
            if self.ends(campaign) <= self.world.now:
                self.world.record([campaigns.ended(campaign, EndReason.EXPIRED)])

    def ends(self, campaign: states.Campaign) -> datetime:
        assert campaign.shown.expires_at is not None, "what is shown has an end"
        return campaign.shown.expires_at

    @invariant()
    def what_is_active_has_time_left_within_its_policy(self):
        for campaign_id in self.world.active():
            campaign = self.world.campaign(campaign_id)
            policy = self.world.policy.kinds[campaign.shown.kind]
            assert self.world.now < self.ends(campaign) <= campaign.released_at + policy.longest
            assert campaign.extensions <= policy.extensions

    @invariant()
    def what_is_over_stays_over(self):
        for campaign_id, campaign in self.world.file.campaigns.items():
            if campaign_id in self.over:
                assert campaign == self.over[campaign_id]
            elif is_over(campaign):
                assert campaign.ended_at is not None
                assert campaign.end_reason is not None
                self.over[campaign_id] = campaign


TestCaseMachine = CaseMachine.TestCase
TestCampaignMachine = CampaignMachine.TestCase
TestCaseMachine.settings = TestCampaignMachine.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None
)
