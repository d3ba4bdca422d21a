"""The deciders of intake: given these events, when this is asked, then that follows."""

from datetime import UTC, date, datetime, timedelta
from importlib import resources

import pytest
from intake_world import ALL, KEYS, START, World, consent
from pydantic import ValidationError

from schemas.audiences import DEFAULT_AUDIENCES
from schemas.commands import (
    AgeEstimate,
    EndCampaign,
    ExtendCampaign,
    GiveConsent,
    UpdateCampaign,
)
from schemas.vocabulary import AlertKind, Audience, CampaignKind, Language
from services.intake.domain import campaign as campaign_states
from services.intake.domain import campaigns
from services.intake.domain.ages import age_on, age_range
from services.intake.domain.campaign import is_active
from services.intake.domain.drafts import Draft
from services.intake.domain.errors import ContentError, NotAllowedError, StateRuleError
from services.intake.domain.identity import same_person
from services.intake.domain.merging import decide_merge
from services.intake.policy import load_policy
from services.kernel.settings import SettingsError

# ── the case ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("born", "day", "age"),
    [
        (date(2008, 3, 4), date(2021, 3, 4), 13),
        (date(2008, 3, 5), date(2021, 3, 4), 12),
        (date(2008, 2, 29), date(2021, 2, 28), 12),
        (date(2008, 2, 29), date(2021, 3, 1), 13),
        (date(2021, 3, 4), date(2021, 3, 4), 0),
    ],
)
def test_age_on_a_day(born, day, age):
    """Whole years; the birthday counts."""
    assert age_on(day, born) == age


def test_age_is_taken_on_the_day_in_the_calendar_of_the_installation():
    """22:59 UTC on the eve of a birthday is still the eve in Brussels, 23:00 UTC is the birthday."""
    for at, age in (
        (datetime(2021, 1, 9, 22, 59, tzinfo=UTC), 12),
        (datetime(2021, 1, 9, 23, 0, tzinfo=UTC), 13),
    ):
        world = World().open({"date_of_birth": date(2008, 1, 10)}, disappeared_at=at)
        assert world.file.case.children[0].age_min == age


def test_age_range_needs_no_birth_date():
    """An estimate is kept as it is; nothing known stays nothing; a birth date out of range is refused."""
    assert age_range(date(2021, 3, 4), None, AgeEstimate(min=11, max=14), "x") == (11, 14)
    assert age_range(date(2021, 3, 4), None, None, "x") == (None, None)
    for born in (date(2021, 3, 5), date(1890, 1, 1)):
        with pytest.raises(ContentError):
            age_range(date(2021, 3, 4), born, None, "children.0")


def test_a_preventive_abduction_takes_the_age_at_the_opening():
    """Without a disappearance the day of the opening counts."""
    details = {"status": "preventive"}
    kind = "international_parental_abduction"
    world = World().open({"date_of_birth": date(2008, 3, 5)}, kind=kind, details=details, disappeared_at=None)
    assert world.file.case.children[0].age_min == 12


def test_what_was_feared_happens_at_a_moment():
    """An abduction that was feared cannot have happened, nor be another disappearance, without a moment."""
    kind, feared = "international_parental_abduction", {"status": "preventive"}
    world = World().open({}, kind=kind, details=feared, disappeared_at=None)
    for fact, fields in (
        ("details_corrected", {"details": {"status": "effective"}}),
        ("reclassified", {"kind": "runaway", "reason": "x"}),
    ):
        with pytest.raises(StateRuleError, match="disappeared_at") as refused:
            world.fact(fact, **fields)
        assert refused.value.rule == "disappearance-unknown"
    world.fact("details_corrected", details={"status": "preventive", "country": "MA"})
    world.fact("details_corrected", details={"status": "effective"}, disappeared_at="2021-03-04T10:00:00Z")
    assert world.file.case.details.status == "effective"
    world.fact("reclassified", kind="runaway", reason="x")


def test_a_circumstance_replaces_the_earlier_one_of_the_same_child():
    """Per criterion and child the last value counts; retracting it brings back the one before, then none."""
    world = World().open({}, {})

    def counts() -> list[tuple[int | None, str]]:
        return [(told.child, told.value.value) for told in world.file.case.circumstances]

    def retract(index: int) -> None:
        told = world.file.case.circumstances[index]
        world.fact("circumstance_retracted", event_id=told.event_id, reason="x")

    for value in ("yes", "unknown", "no"):
        world.fact("circumstance_reported", criterion="out_of_character", value=value, child=0)
    replaced = world.file.case.told[1]
    world.fact("circumstance_reported", criterion="out_of_character", value="yes", child=1)
    assert counts() == [(0, "no"), (1, "yes")]
    world.fact("circumstance_retracted", event_id=replaced.event_id, reason="x")
    assert counts() == [(0, "no"), (1, "yes")], "retracting what was replaced changes nothing"
    retract(0)
    assert counts() == [(0, "yes"), (1, "yes")]
    retract(0)
    assert counts() == [(1, "yes")]
    with pytest.raises(StateRuleError):
        world.fact("circumstance_retracted", event_id=replaced.event_id, reason="x")


def test_closing_needs_news_of_every_child():
    """409 names the children without an outcome; one located before needs none."""
    world = World().open({}, {})
    with pytest.raises(StateRuleError, match="child 0, 1"):
        world.fact("closed", outcomes=[])
    world.fact("child_located", child=0, outcome="found_safe", at=START)
    world.fact("closed", outcomes=[{"child": 1, "outcome": "returned"}])
    assert [child.outcome for child in world.file.case.children] == ["found_safe", "returned"]


def test_a_reopened_case_searches_who_was_not_located():
    """A located child stays located, unless that leaves nobody to search for."""
    world = World().open({}, {})
    world.fact("child_located", child=0, outcome="found_safe", at=START)
    world.fact("closed", outcomes=[{"child": 1, "outcome": "returned"}]).fact("reopened", reason="x")
    assert [child.index for child in world.file.case.missing] == [1]
    world.fact("child_located", child=1, outcome="found_safe", at=START)
    world.fact("closed", outcomes=[]).fact("reopened", reason="x")
    assert [child.index for child in world.file.case.missing] == [0, 1]


def test_a_merge_takes_only_children_that_are_not_there():
    """Equal names are the same child unless the birth dates differ."""
    source = World().open({}, {}, {"given_name": "Ander"})
    target = World().open({}, {"date_of_birth": date(2010, 1, 1), "given_name": "Kind1"})
    drafts = decide_merge(source.file.case, [], target.file.case, [], source.known("x", "y", target))
    assert [d.model.TYPE for d in drafts] == ["case.merged_into.v1", "case.children_joined.v1"]
    assert [(row["index"], row["child_id"]) for row in drafts[1].fields["children"]] == [
        (2, source.file.case.children[2].child_id)
    ]
    target.record(drafts[1:])
    assert len(target.file.case.children) == 3
    lou = {"given_name": "Lou", "family_name": "V"}
    assert same_person(lou, lou | {"date_of_birth": "2010-01-01"})
    assert not same_person(lou | {"date_of_birth": "2010-01-02"}, lou | {"date_of_birth": "2010-01-01"})
    assert not same_person({"given_name": "Lou"}, {"given_name": "Lou"})


def test_what_only_the_duplicate_shows_goes_on_in_the_other_case():
    """A new campaign there, with the same consents, texts, end, and what is left of its time; the old one ends."""
    source, target = World().open({}), World().open({})
    old = source.release(source.request("child_alert", texts={"nl": {"headline": "eigen", "body": "x"}}))
    for hours in (12, 18, 24):
        source.extend(old, hours)
    source.now = target.now = START + timedelta(hours=2)
    source.merge(target)
    assert (source.active(), source.campaign(old).end_reason) == ([], "other")
    (new,) = target.active()
    before, after = source.campaign(old), target.campaign(new)
    assert (after.shown.expires_at, after.released_at) == (START + timedelta(hours=24), START)
    assert after.texts.opened(KEYS)["nl"]["headline"] == "eigen"
    assert {p: c.decision for p, c in after.consents.items()} == {
        p: c.decision for p, c in before.consents.items()
    }
    assert target.shown(new) == [0]
    with pytest.raises(StateRuleError) as refused:
        target.extend(new, 25)
    assert refused.value.rule == "extensions-used"


def test_of_two_campaigns_of_a_kind_one_goes_on():
    """The other case's; it shows the children that moved too, once they had a campaign of their own."""
    source, target = World().open({}, {"given_name": "Ander"}), World().open({})
    source.release(source.request())
    kept = target.release(target.request())
    source.merge(target)
    assert (source.active(), target.active(), target.shown(kept)) == ([], [kept], [0, 1])
    assert "Ander" in str(target.campaign(kept).texts.opened(KEYS))
    source = World().open({})
    source.release(source.request())
    source.merge(target)
    assert target.latest == [], "who is shown already needs no new revision"


def test_a_child_that_the_other_case_knows_as_found_is_not_shown_again():
    """The duplicate's campaign ends and nothing goes on."""
    source, target = World().open({}), World().open({}, {})
    source.release(source.request())
    target.fact("child_located", child=0, outcome="found_safe", at=START)
    source.merge(target)
    assert (source.active(), target.active()) == ([], [])


def test_a_campaign_shows_only_the_children_it_was_released_for():
    """One who joins by a merge has nobody's consent: no update, extension or finding brings that child up."""
    source, target = World().open({"given_name": "Ander"}), World().open({}, {})
    campaign = target.release(target.request())
    source.merge(target)
    assert [child.index for child in target.file.case.missing] == [0, 1, 2]
    update = UpdateCampaign(areas=["BE"], reason="x")
    target.record(
        campaigns.decide_update(target.campaign(campaign), target.file.case, update, target.known())
    )
    target.extend(campaign, 800)
    target.fact("child_located", child=0, outcome="returned", at=START)
    assert target.shown(campaign) == [1]
    target.fact("child_located", child=1, outcome="returned", at=START)
    assert (target.active(), target.campaign(campaign).end_reason) == ([], "child_found")
    later = target.release(target.request())
    assert target.shown(later) == [2]


# ── campaigns ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", sorted(ALL))
def test_every_required_consent_is_needed(kind):
    """Without any single one the release names exactly that party."""
    for absent in ALL[kind]:
        world = World().open()
        campaign = world.request(kind, [party for party in ALL[kind] if party != absent])
        with pytest.raises(StateRuleError) as refused:
            world.release(campaign)
        assert (refused.value.rule, refused.value.extra["parties"]) == ("consents-missing", [absent])


def test_a_later_decision_of_a_party_replaces_the_earlier():
    """A refusal that is taken back no longer stands."""
    world = World().open()
    campaign = world.request()
    for decision, allowed in (("refused", False), ("given", True)):
        command = GiveConsent.model_validate(consent("police", decision))
        world.record(campaigns.decide_consent(world.campaign(campaign), command, world.known()))
        if not allowed:
            with pytest.raises(StateRuleError, match="police"):
                world.release(campaign)
    world.release(campaign)
    assert is_active(world.campaign(campaign))


def test_a_refusal_of_anybody_stands():
    """Also of a party whose consent is not required."""
    world = World().open()
    campaign = world.request()
    command = GiveConsent.model_validate(consent("parents", "refused"))
    world.record(campaigns.decide_consent(world.campaign(campaign), command, world.known()))
    with pytest.raises(StateRuleError, match="parents"):
        world.release(campaign)


def test_a_waiver_needs_a_reason_and_ends_with_its_consent():
    """The prosecutor does without the parents until the prosecutor takes it back."""
    with pytest.raises(ValidationError):
        GiveConsent.model_validate(consent("public_prosecutor", waives=["parents"]))
    world = World().open()
    campaign = world.request("public", ["police", "child_focus"])
    for decision in (
        consent("public_prosecutor", waives=["parents"], reason="x"),
        consent("public_prosecutor"),
    ):
        command = GiveConsent.model_validate(decision)
        world.record(campaigns.decide_consent(world.campaign(campaign), command, world.known()))
        lacking = campaign_states.missing_consents(world.campaign(campaign), world.policy.kinds["public"])
        assert lacking == ([] if decision.get("waives") else ["parents"])


def test_four_eyes_and_roles():
    """Not the requester, not a role that the policy does not name; without four eyes the requester may."""
    world = World().open()
    campaign = world.request()
    for actor, role, word in (
        ("operator", "coordinator", "four-eyes"),
        ("operator", "operator", "four-eyes"),
        ("other", "operator", "role"),
    ):
        with pytest.raises(NotAllowedError) as refused:
            world.release(campaign, actor, role)
        assert refused.value.rule == word
    kinds = {k: p.model_copy(update={"four_eyes": False}) for k, p in world.policy.kinds.items()}
    world.policy = world.policy.model_copy(update={"kinds": kinds})
    world.release(campaign, "operator", "admin")


def test_a_child_alert_lasts_24_hours_at_most():
    """Six hours at a time, three extensions however short, a day in all."""
    for extended, too_long in (((12, 18, 24), 25), ((7, 8, 9), 10)):
        world = World().open()
        campaign = world.release(world.request("child_alert"))
        assert world.campaign(campaign).shown.expires_at == START + timedelta(hours=6)
        for hours in extended:
            world.extend(campaign, hours)
        with pytest.raises(StateRuleError) as refused:
            world.extend(campaign, too_long)
        assert refused.value.rule == "extensions-used"


def test_of_each_kind_one_campaign_is_shown():
    """A second one of the kind waits until the first has ended; one of another kind goes beside it."""
    world = World().open()
    first, second = world.release(world.request()), world.request()
    world.release(world.request("public"))
    with pytest.raises(StateRuleError) as refused:
        world.release(second)
    assert (refused.value.rule, refused.value.extra) == ("kind-is-shown", {"campaign_id": str(first)})
    world.end(first)
    world.release(second)
    assert len(world.active()) == 2


def test_an_appeal_with_nobody_is_refused():
    """When the identities of all whom it could show are erased, nothing is requested, released, updated or extended."""
    world = World().open({}, {"given_name": "Ander"})
    waiting, shown = world.request("public"), world.release(world.request())
    one, other = (child.child_id for child in world.file.case.children)
    world.erased = {one}
    world.update(shown, areas=["BE"])
    assert world.shown(shown) == [1]
    lasting = (world.campaign(shown).shown.expires_at - START) / timedelta(hours=1)
    world.erased = {one, other}
    for act in (
        world.request,
        lambda: world.release(waiting),
        lambda: world.update(shown, areas=["24062"]),
        lambda: world.extend(shown, lasting + 1),
    ):
        with pytest.raises(StateRuleError) as refused:
            act()
        assert refused.value.rule == "erased"


def test_a_campaign_that_could_only_show_somebody_erased_ends():
    """When the last child that could be recognised is found, no display is left with an appeal about nobody."""
    world = World().open({}, {"given_name": "Ander"})
    shown = world.release(world.request())
    world.erased = {world.file.case.children[1].child_id}
    world.fact("child_located", child=0, outcome="returned", at=START)
    assert (world.active(), world.campaign(shown).state) == ([], "ended")


def test_the_whole_duration_is_bounded_too():
    """Extensions that are left do not help beyond the longest duration."""
    world = World().open()
    kinds = dict(world.policy.kinds)
    kinds["vignette"] = kinds["vignette"].model_copy(update={"hours": 10, "max_hours": 15})
    world.policy = world.policy.model_copy(update={"kinds": kinds})
    campaign = world.release(world.request())
    command = ExtendCampaign(expires_at=START + timedelta(hours=16))
    with pytest.raises(StateRuleError, match="15 h"):
        campaigns.decide_extend(world.campaign(campaign), world.file.case, command, world.known())


def test_the_policys_texts_name_age_and_place_in_each_language():
    """Age ranges, unknown names and unknown places have words too."""
    world = World().open(
        {"age_estimate": {"min": 8, "max": 10}},
        {"given_name": None, "family_name": None},
        last_seen={"postal_code": "5000"},
    )
    texts = world.campaign(world.release(world.request())).texts.opened(KEYS)
    assert list(texts) == ["nl", "fr", "de", "en"]
    assert texts["en"] == {
        "headline": "Missing: Kind0 Voorbeeld and a young person",
        "body": "Kind0 Voorbeeld, aged 8\u201310; a young person. Last seen in Namur."
        " Do you know anything? Call 116 000, free, day and night.",
    }
    assert "Namen" in texts["nl"]["body"]
    bare = World().open()
    assert "116 000" in bare.campaign(bare.release(bare.request())).texts.opened(KEYS)["de"]["body"]


def test_own_texts_are_kept_until_a_child_they_may_name_is_found():
    """An update of areas keeps them; a located child replaces them by the policy's."""
    world = World().open({}, {})
    own = {"nl": {"headline": "eigen", "body": "eigen"}}
    campaign = world.release(world.request(texts=own, languages=["nl"]))
    update = UpdateCampaign(areas=["BE"], languages=[Language.NL, Language.FR], reason="x")
    world.record(campaigns.decide_update(world.campaign(campaign), world.file.case, update, world.known()))
    texts = world.campaign(campaign).texts.opened(KEYS)
    assert (texts["nl"]["headline"], texts["fr"]["headline"][:11]) == ("eigen", "Disparition")
    world.fact("child_located", child=0, outcome="returned", at=START)
    texts = world.campaign(campaign).texts.opened(KEYS)
    assert (texts["nl"]["headline"], world.shown(campaign)) == ("Vermist: Kind1 Voorbeeld", [1])


def test_own_texts_may_not_name_a_child_that_was_found():
    """Refused at the request and at an update, as a whole word, whatever case and accents; a part of a word is none."""
    world = World().open({"given_name": "Zoé"}, {})
    campaign = world.release(world.request())
    world.fact("child_located", child=0, outcome="returned", at=START)

    def update(word: str) -> list[Draft]:
        texts = {"nl": {"headline": f"x {word}", "body": "x"}}
        command = UpdateCampaign.model_validate({"texts": texts, "reason": "x"})
        return campaigns.decide_update(world.campaign(campaign), world.file.case, command, world.known())

    assert update("zoenen")
    with pytest.raises(ContentError) as refused:
        update("ZOE!")
    assert refused.value.rule == "names-found-child"


def test_ended_is_for_ever():
    """Nothing but history is left of an ended campaign."""
    world = World().open()
    campaign = world.release(world.request())
    end = EndCampaign(reason="other")
    world.record(campaigns.decide_end(world.campaign(campaign), end))
    assert not is_active(world.campaign(campaign))
    with pytest.raises(StateRuleError):
        campaigns.decide_end(world.campaign(campaign), end)
    with pytest.raises(StateRuleError):
        world.release(campaign)


# ── policy ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_child_alert_without_a_magistrate_is_no_policy(tmp_path):
    """The setting is refused with the place that is wrong, whatever else it says."""
    file = tmp_path / "policy.toml"
    text = resources.files("services.intake").joinpath("policy.toml").read_text()
    file.write_text(text.replace('consents = ["magistrate"]', 'consents = ["police"]'))
    with pytest.raises(SettingsError, match="magistrate"):
        load_policy(file)
    file.write_text(text.replace("{names}", "{secret}"))
    with pytest.raises(SettingsError, match=r"texts\.nl\.headline"):
        load_policy(file)
    file.write_text("[kinds")
    with pytest.raises(SettingsError, match="TOML"):
        load_policy(file)
    with pytest.raises(SettingsError, match="readable"):
        load_policy(tmp_path / "none.toml")
    file.write_text(text)
    assert load_policy(file) == load_policy()


def test_a_vignette_for_displays_is_no_policy(tmp_path):
    """Refused with the kind and what to do; other audiences are taken, also none; a word that is none is not."""
    file = tmp_path / "policy.toml"
    text = resources.files("services.intake").joinpath("policy.toml").read_text()
    for wrong in ('["display"]', '["mobile_team", "display"]'):
        file.write_text(text.replace("audiences = []", f"audiences = {wrong}"))
        with pytest.raises(
            SettingsError, match=r"kinds\.vignette\.audiences: .* never reach display; take it out"
        ):
            load_policy(file)
    file.write_text(text.replace("audiences = []", 'audiences = ["posters"]'))
    with pytest.raises(SettingsError, match=r"kinds\.vignette\.audiences"):
        load_policy(file)
    file.write_text(text.replace("audiences = []", 'audiences = ["missing_persons_unit", "mobile_team"]'))
    assert load_policy(file).kinds["vignette"].audiences == {
        Audience.MOBILE_TEAM,
        Audience.MISSING_PERSONS_UNIT,
    }
    file.write_text("\n".join(line for line in text.splitlines() if not line.startswith("audiences")))
    assert {one.audiences for one in load_policy(file).kinds.values()} == {None}


def test_the_shipped_policy_names_the_default_audiences():
    """What it says is what holds for a policy of before that says nothing."""
    kinds = load_policy().kinds
    assert {kind.value: one.audiences for kind, one in kinds.items()} == {
        kind.value: DEFAULT_AUDIENCES[AlertKind(kind.value)] for kind in CampaignKind
    }


@pytest.mark.parametrize("named", [None, frozenset(), frozenset({Audience.MOBILE_TEAM, Audience.DISPLAY})])
def test_a_campaign_keeps_the_audiences_it_was_requested_with(named):
    """Through release, update, extension, a child that is found and a merge, though the policy changes meanwhile."""
    wanted = None if named is None else tuple(sorted(named))
    source, target = World().open({}, {}), World().open({"given_name": "Ander"})
    of_before = source.policy
    kinds = {k: p.model_copy(update={"audiences": named}) for k, p in of_before.kinds.items()}
    source.policy = of_before.model_copy(update={"kinds": kinds})
    campaign = source.request("public")
    source.policy = of_before
    for step in (
        lambda: source.release(campaign),
        lambda: source.update(campaign, areas=["BE"]),
        lambda: source.extend(campaign, 800),
        lambda: source.fact("child_located", child=0, outcome="returned", at=START),
    ):
        assert source.campaign(campaign).shown.audiences == wanted
        step()
        assert source.campaign(campaign).shown.audiences == wanted
    source.merge(target)
    [moved] = target.active()
    assert target.campaign(moved).shown.audiences == wanted
