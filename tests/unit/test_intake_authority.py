"""Nothing is shown without its consents: what must not be cannot be constructed."""

import ast
import itertools
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from intake_world import World
from pydantic import ValidationError

from schemas.base import Sealed
from schemas.events import Appeal
from schemas.vocabulary import CampaignKind, Decision, Party
from services.intake.domain.campaign import Authority, Campaign, Consent
from services.intake.domain.drafts import SealedAt
from services.intake.domain.errors import StateRuleError
from services.intake.domain.policy import KindPolicy, Policy
from services.intake.policy import load_policy

AT = datetime(2021, 3, 4, tzinfo=UTC)
SEALED = SealedAt("campaign-x", uuid4(), "given_by", Sealed(key="case:x", box=""))
PARTIES = st.frozensets(st.sampled_from(Party))


def campaign(kind: CampaignKind, consents: dict[Party, tuple[Decision, frozenset[Party]]]) -> Campaign:
    appeal = Appeal(kind=kind, areas=("BE",))
    decided = {
        party: Consent(party, decision, AT, SEALED, None, tuple(waives))
        for party, (decision, waives) in consents.items()
    }
    return Campaign(uuid4(), uuid4(), 1, "requested", appeal, consents=decided)


@settings(max_examples=300, deadline=None)
@given(
    required=PARTIES,
    waivers=st.dictionaries(st.sampled_from(Party), PARTIES),
    consents=st.dictionaries(st.sampled_from(Party), st.tuples(st.sampled_from(Decision), PARTIES)),
)
def test_no_child_alert_without_a_magistrate(required, waivers, consents):
    """Whatever a policy demands, waives or leaves out: without a magistrate's given consent there is no authority."""
    lax = (
        load_policy()
        .kinds[CampaignKind.CHILD_ALERT]
        .model_copy(update={"consents": required, "waivers": waivers})
    )
    asked = campaign(CampaignKind.CHILD_ALERT, consents)
    decided = consents.get(Party.MAGISTRATE)
    if decided is None or decided[0] is not Decision.GIVEN:
        with pytest.raises(StateRuleError):
            Authority(asked, lax)


@pytest.mark.parametrize("kind", list(CampaignKind))
def test_an_authority_needs_exactly_the_default_policys_consents(kind):
    """Every set of parties: those that include all that the policy names suffice, no others."""
    policy = load_policy().kinds[kind]
    for count in range(len(Party) + 1):
        for parties in itertools.combinations(Party, count):
            asked = campaign(kind, dict.fromkeys(parties, (Decision.GIVEN, frozenset())))
            if policy.consents <= set(parties):
                assert Authority(asked, policy)
            else:
                with pytest.raises(StateRuleError):
                    Authority(asked, policy)


def test_any_standing_refusal_forbids():
    """Of a party that must consent or not; an authority cannot be changed into one about another campaign."""
    policy = load_policy().kinds[CampaignKind.VIGNETTE]
    given_by_all = dict.fromkeys(Party, (Decision.GIVEN, frozenset()))
    for party in Party:
        refused = given_by_all | {party: (Decision.REFUSED, frozenset())}
        with pytest.raises(StateRuleError, match=party.value):
            Authority(campaign(CampaignKind.VIGNETTE, refused), policy)
    authority = Authority(campaign(CampaignKind.VIGNETTE, given_by_all), policy)
    with pytest.raises(StateRuleError):
        replace(authority, campaign=campaign(CampaignKind.VIGNETTE, {}))
    with pytest.raises(AttributeError):
        authority.campaign = campaign(CampaignKind.VIGNETTE, {})


def test_only_an_authority_makes_a_release():
    """In intake's code one function makes the event, and it takes an authority; the import alone states history."""
    makers = {}
    folder = Path(str(resources.files("services.intake")))
    for file in folder.rglob("*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            calls = [call for call in ast.walk(function) if isinstance(call, ast.Call)]
            named = [a.id for c in calls for a in (c.func, *c.args) if isinstance(a, ast.Name)]
            drafted = any(
                isinstance(c.func, ast.Name) and c.func.id in ("Draft", "CampaignReleased") for c in calls
            )
            if drafted and "CampaignReleased" in named:
                first = function.args.args[0].annotation
                makers[f"{file.stem}.{function.name}"] = first and ast.unparse(first)
    assert makers == {"campaigns.released": "Authority", "import_batch._released": None}


def test_a_policy_cannot_do_without_the_magistrate():
    """Neither by leaving the magistrate out nor by a waiver: the policy itself is refused."""
    whole = load_policy().model_dump()
    for change in ({"consents": ["police"]}, {"waivers": {"police": ["magistrate"]}}):
        kinds = whole["kinds"] | {"child_alert": whole["kinds"]["child_alert"] | change}
        with pytest.raises(ValidationError, match="magistrate"):
            Policy.model_validate(whole | {"kinds": kinds})
    child_alert: KindPolicy = load_policy().kinds[CampaignKind.CHILD_ALERT]
    assert (child_alert.hours, child_alert.extensions, child_alert.max_hours) == (6, 3, 24)


def test_a_refusal_that_counts_for_nothing_darkens_nothing():
    """A waived parent, who may be the abductor, takes nothing down; the waiver taken back does, as any refusal."""
    for answers in (["refused"], []):
        world = World().open()
        lit = world.request("public", ["police", "child_focus"])
        world.decide(lit, "public_prosecutor", waives=["parents"], reason="x")
        world.release(lit)
        for decision in answers:
            world.decide(lit, "parents", decision)
        world.decide(lit, "magistrate")
        assert world.active() == [lit]
        world.decide(lit, "public_prosecutor")
        assert (world.active(), world.campaign(lit).end_reason) == ([], "consent_withdrawn")
