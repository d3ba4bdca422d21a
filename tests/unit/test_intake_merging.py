"""A merge loses nothing that was known of the children, and shows nobody who was found."""

from datetime import date, timedelta

import pytest
from intake_world import KEYS, START, World

from schemas.vocabulary import Criterion
from services.intake.domain.errors import StateRuleError

MEDICATION = {"criterion": "medication_dependent", "value": "yes", "next_due": START}


def said(world: World) -> set[tuple]:
    """What counts in a case: criterion, child, value."""
    return {(told.criterion, told.child, told.value) for told in world.file.case.circumstances}


def test_what_was_said_about_a_child_goes_with_it():
    """Also what was said of all children of the duplicate; what was said of a child that was found stays behind."""
    source, target = World().open({"given_name": "Ander"}, {}), World().open({}, {"given_name": "Ander"})
    source.fact("circumstance_reported", **MEDICATION, child=0)
    source.fact("circumstance_reported", criterion="out_of_character", value="no")
    source.fact("circumstance_reported", criterion="under_13", value="yes", child=1)
    target.fact("child_located", child=0, outcome="returned", at=START)
    source.fact("child_located", child=1, outcome="returned", at=START)
    source.merge(target)
    assert said(target) == {("medication_dependent", 1, "yes"), ("out_of_character", 1, "no")}
    assert {told.next_due for told in target.file.case.told} == {START, None}
    newcomer, empty = World().open({"given_name": "Derde"}), World().open({})
    newcomer.fact("circumstance_reported", **MEDICATION)
    newcomer.merge(empty)
    assert said(empty) == {("medication_dependent", 1, "yes")}


@pytest.mark.parametrize(
    ("ours", "theirs", "left"),
    [("yes", "no", "yes"), ("no", "yes", "yes"), ("yes", "yes", "yes"), ("unknown", "no", "no")],
)
def test_where_two_reports_differ_a_yes_counts(ours, theirs, left):
    """Else what the other case knows stays, and is not said twice."""
    source, target = World().open({}), World().open({})
    source.fact("circumstance_reported", criterion="under_13", value=ours, child=0)
    target.fact("circumstance_reported", criterion="under_13", value=theirs)
    source.merge(target)
    assert target.file.case.said(Criterion.UNDER_13, 0).value == left
    assert len(target.file.case.told) == (2 if left != theirs else 1)


def test_a_child_that_was_found_is_not_searched_for_in_the_other_case():
    """The merge waits until the other case has the news too, and its displays are dark."""
    source, target = World().open({}, {"given_name": "Ander"}), World().open({}, {})
    target.release(target.request())
    source.fact("child_located", child=0, outcome="returned", at=START)
    with pytest.raises(StateRuleError) as refused:
        source.merge(target)
    assert refused.value.rule == "news-differs"
    target.fact("child_located", child=0, outcome="returned", at=START)
    source.merge(target)
    assert [child.index for child in target.file.case.missing] == [1, 2]


def test_an_age_that_only_the_duplicate_knows_is_known_in_the_other_case():
    """With the birth date; an age that is known there already stays as it is."""
    source, target = World().open({"date_of_birth": date(2020, 6, 1)}), World().open({})
    source.merge(target)
    (child,) = target.file.case.children
    assert (child.age_min, child.age_max) == (0, 0)
    assert child.identity.opened(KEYS)["date_of_birth"] == "2020-06-01"
    source = World().open({"age_estimate": {"min": 14, "max": 16}})
    source.merge(target)
    assert (target.latest, target.file.case.children) == ([], (child,))


def test_of_several_campaigns_of_a_kind_the_last_that_was_released_goes_on():
    """However early it was requested: it shows everybody who was missing at its release.

    A log from before only one of a kind was shown may hold two.
    """
    source, joining, target = World().open({}), World().open({"given_name": "Ander"}), World().open({})
    early = source.request()
    source.release(source.request())
    joining.merge(source)
    source.now += timedelta(hours=1)
    source.release(early, beside_others=True)
    source.merge(target)
    (left,) = target.active()
    assert target.campaign(left).continues == early
    assert target.shown(left) == [0, 1]


def test_the_campaign_that_stays_shows_all_that_both_showed():
    """Where, in which languages and with which photos of the same child: no display goes dark for a child still missing."""
    source, target = World().open({}), World().open({})
    child = target.file.case.children[0].child_id
    source = World().open({}, ids=[child])
    ours, theirs = source.photo(), target.photo()
    source.release(source.request(areas=["24062", "21004"], languages=["fr"], media=[ours]))
    own = {"nl": {"headline": "eigen", "body": "x"}}
    kept = target.release(target.request(areas=["24062"], languages=["nl"], media=[theirs], texts=own))
    source.merge(target)
    shown = target.campaign(kept).shown
    assert (source.active(), target.active(), target.shown(kept)) == ([], [kept], [0])
    assert (shown.areas, shown.languages) == (("24062", "21004"), ("nl", "fr"))
    assert [one.media_id for one in shown.media] == [theirs, ours]
    assert target.campaign(kept).texts.opened(KEYS)["nl"]["headline"] == "eigen"
    again = World().open({}, ids=[child])
    again.release(again.request(areas=["21004"], languages=["fr"]))
    again.merge(target)
    assert target.latest == [], "it shows as much already"


def test_a_duplicate_whose_children_were_found_widens_nothing():
    """Where it was shown is no reason to show somebody else there."""
    source, target = World().open({}, {"given_name": "Ander"}), World().open({"given_name": "Derde"}, {})
    source.release(source.request(areas=["BE"]))
    source.fact("child_located", child=1, outcome="returned", at=START)
    target.fact("child_located", child=1, outcome="returned", at=START)
    source.fact("details_corrected", children=[{"child": 0, "given_name": "Kind1"}])
    kept = target.release(target.request())
    source.merge(target)
    assert (target.active(), target.campaign(kept).shown.areas) == ([kept], ("24062",))


def test_a_person_who_decided_that_it_is_worrying_is_heard_in_the_other_case():
    """Unless somebody decided there; that a duplicate is not worrying says nothing about the other case."""
    for ours, theirs, stands in ((True, None, True), (False, None, None), (True, False, False)):
        source, target = World().open({}), World().open({})
        source.fact("worrying_overridden", worrying=ours, reason="x")
        if theirs is not None:
            target.fact("worrying_overridden", worrying=theirs, reason="y")
        source.merge(target)
        decided = target.file.case.override
        assert (decided and decided.worrying) is stands
