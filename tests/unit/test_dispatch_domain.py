"""Who gets an alert, whether it is shown, and what it says."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.audiences import DEFAULT_AUDIENCES, FORBIDDEN_AUDIENCES
from schemas.commands import Text
from schemas.payloads import MediaShown, PersonShown
from schemas.vocabulary import AlertKind, Audience, Language, Mode
from services.dispatch.domain import (
    Addressed,
    Alert,
    Frame,
    Known,
    Material,
    Recipient,
    Revision,
    Verdict,
    WrongAudienceError,
    addressed,
    is_public,
    is_stopped,
    message,
    plan,
    variant_of,
    verdict,
)

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
CASE = UUID(int=1)
LEUVEN, GHENT = "24062", "44021"


def an_alert(kind=AlertKind.PUBLIC, **changes):
    return Alert(
        **{
            "alert_id": UUID(int=2),
            "kind": kind,
            "case_id": CASE,
            "campaign_id": UUID(int=3),
            "mode": Mode.ACTUAL,
            "areas": (LEUVEN,),
            **changes,
        }
    )


def a_recipient(**changes):
    return Recipient(
        **{
            "recipient_id": uuid4(),
            "format": "json",
            "content": "full",
            "areas": (LEUVEN,),
            "languages": ("nl",),
            "audience": Audience.DISPLAY,
            "exercise": False,
            "state": "active",
            **changes,
        }
    )


def test_vignette_for_a_display_cannot_be_constructed():
    """A discreet alert never reaches a public display: the pair itself is refused."""
    with pytest.raises(WrongAudienceError):
        Addressed(an_alert(AlertKind.VIGNETTE), a_recipient())
    assert addressed(an_alert(AlertKind.VIGNETTE), [a_recipient(areas=("BE",))]) == []


@pytest.mark.parametrize("kind", [AlertKind.VIGNETTE, AlertKind.STANDBY])
def test_what_is_discreet_reaches_no_display_whatever_its_event_says(kind):
    """Every audience named: displays are left out, the pair is refused, the feeds show nothing; the others stay."""
    alert = an_alert(kind, audiences=tuple(Audience))
    people = [a_recipient(audience=audience, areas=("BE",)) for audience in Audience]
    with pytest.raises(WrongAudienceError, match="display"):
        Addressed(alert, people[0])
    assert [one.recipient for one in addressed(alert, people)] == people[1:]
    assert not is_public(alert)


def test_audiences_by_default_are_those_of_before():
    """An event that names none: displays for what is public, nobody for a vignette, helpers for a standby."""
    display, unit, team = Audience.DISPLAY, Audience.MISSING_PERSONS_UNIT, Audience.MOBILE_TEAM
    assert {kind: set(an_alert(kind).reaches) for kind in AlertKind} == {
        AlertKind.PUBLIC: {display},
        AlertKind.CHILD_ALERT: {display},
        AlertKind.VIGNETTE: set(),
        AlertKind.STANDBY: {unit, team},
    }


def test_what_no_display_gets_is_in_no_feed():
    """A public campaign whose policy names only the mobile team stays out of the public feeds; with displays not."""
    assert not is_public(an_alert(audiences=(Audience.MOBILE_TEAM,)))
    assert is_public(an_alert(audiences=(Audience.DISPLAY, Audience.MOBILE_TEAM)))
    assert is_public(an_alert())


def test_people_get_the_full_appeal_without_a_lease():
    """Only displays are renewed: a mobile team keeps texts, persons and end until the withdrawal."""
    alert = an_alert(audiences=(Audience.DISPLAY, Audience.MOBILE_TEAM), expires_at=NOW + timedelta(days=1))
    revision = Revision(alert, 1, "issued", dark=False, frame=Frame("https://z.example", "ref", NOW, NOW))
    material = Material(
        texts={Language.NL: Text(headline="Vermist", body="Lou Voorbeeld")},
        persons=(PersonShown(name="Lou Voorbeeld"),),
    )
    variants = {audience: variant_of(a_recipient(audience=audience)) for audience in alert.reaches}
    shown = {who: orjson.loads(message(revision, material, one))["data"] for who, one in variants.items()}
    leased = shown[Audience.DISPLAY]
    assert leased.pop("display_for_s") == 1800
    assert leased == shown[Audience.MOBILE_TEAM]
    assert {"texts", "persons", "expires_at"} <= set(leased)


@given(
    kind=st.sampled_from(list(AlertKind)),
    named=st.none() | st.sets(st.sampled_from(list(Audience))).map(tuple),
    audience=st.sampled_from(list(Audience)),
    exercise=st.booleans(),
    mode=st.sampled_from(list(Mode)),
    state=st.sampled_from(["active", "unverified", "paused"]),
    area=st.sampled_from([LEUVEN, GHENT, "BE", "province:20001"]),
)
def test_first_revision_reaches_exactly_those_it_is_for(
    *, kind, named, audience, exercise, mode, state, area
):
    """Active, of the audience, of the mode, and in the area (the Unit: anywhere); everyone else gets nothing."""
    one = a_recipient(audience=audience, exercise=exercise, state=state, areas=(area,))
    planned = plan(an_alert(kind, mode=mode, audiences=named), "issued", [one], {})
    near = area != GHENT or audience is Audience.MISSING_PERSONS_UNIT
    meant = audience in (DEFAULT_AUDIENCES[kind] if named is None else named)
    allowed = audience not in FORBIDDEN_AUDIENCES[kind]
    wanted = state == "active" and meant and allowed and exercise == (mode is Mode.EXERCISE) and near
    assert bool(planned) == wanted


contents = st.sampled_from(["issued", "updated", "withdrawn"])


@given(
    st.lists(
        st.tuples(
            st.sampled_from([LEUVEN, GHENT]), st.sampled_from(["active", "paused"]), st.none() | contents
        )
    )
)
def test_nobody_is_left_with_something_old(drawn):
    """After an update, whoever had the alert gets the update or a withdrawal; after a withdrawal all get one."""
    recipients = [a_recipient(areas=(area,), state=state) for area, state, _ in drawn]
    last = {r.recipient_id: had for r, (_, _, had) in zip(recipients, drawn, strict=True) if had}
    updated = {p.recipient_id: p.content for p in plan(an_alert(), "updated", recipients, last)}
    for one, had in last.items():
        assert one in updated or had == "withdrawn"
    withdrawn = plan(an_alert(), "withdrawn", recipients, last)
    assert {p.recipient_id for p in withdrawn} == set(last)
    assert {p.content for p in withdrawn} <= {"withdrawn"}
    order = [p.recipient_id for p in withdrawn]
    assert order == sorted(order)


def test_update_that_concerns_one_audience_leaves_the_others_alone():
    """Criteria that changed are news for the Unit; the team keeps what it has and is not withdrawn from."""
    unit = a_recipient(audience=Audience.MISSING_PERSONS_UNIT)
    team = a_recipient(audience=Audience.MOBILE_TEAM)
    last = {unit.recipient_id: "issued", team.recipient_id: "issued"}
    only = frozenset({Audience.MISSING_PERSONS_UNIT})
    planned = plan(an_alert(AlertKind.STANDBY), "updated", [unit, team], last, only)
    assert [(p.recipient_id, p.content) for p in planned] == [(unit.recipient_id, "updated")]


def judge(content, known=None, **changes):
    given_ = {"expires_at": None, "now": NOW, "stopped": False, "readable": True, **changes}
    return verdict(content, known, **given_)


@pytest.mark.parametrize(
    ("content", "known", "changes", "wanted"),
    [
        ("issued", None, {}, Verdict.LIT),
        ("issued", None, {"stopped": True}, Verdict.DARK),
        ("issued", None, {"readable": False}, Verdict.DARK),
        ("issued", None, {"expires_at": NOW}, Verdict.DARK),
        ("issued", None, {"expires_at": NOW + timedelta(seconds=1)}, Verdict.LIT),
        ("issued", Known(1, False, False), {}, Verdict.NOTHING),
        ("updated", None, {}, Verdict.LIT),
        ("updated", Known(1, False, True), {}, Verdict.NOTHING),
        ("updated", Known(2, True, False), {}, Verdict.NOTHING),
        ("withdrawn", None, {}, Verdict.NOTHING),
        ("withdrawn", Known(1, False, False), {"stopped": True, "readable": False}, Verdict.LIT),
        ("withdrawn", Known(2, True, False), {}, Verdict.NOTHING),
    ],
)
def test_verdict(content, known, changes, wanted):
    """Nothing after a withdrawal, nothing twice; dark when stopped, expired or unreadable; withdrawals always go."""
    assert judge(content, known, **changes) is wanted


def test_stop_of_a_case_counts_for_standbys_below_its_version_alone():
    """A campaign's alert has its own stop."""
    standby = an_alert(AlertKind.STANDBY, campaign_id=None, case_version=4)
    stops = {("case", CASE): 5}
    assert is_stopped(standby, stops)
    assert not is_stopped(standby, {("case", CASE): 4})
    assert not is_stopped(an_alert(), stops)
    assert is_stopped(an_alert(), {("campaign", UUID(int=3)): 1})


def written(alert, recipient, material, content="issued"):
    frame = Frame("https://here.example", "opaque", NOW, NOW)
    revision = Revision(alert, 1, content, dark=False, frame=frame)
    return orjson.loads(message(revision, material, variant_of(recipient) if recipient else None))


FULL = Material(
    texts={
        Language.NL: Text(headline="Vermist", body="Lou"),
        Language.FR: Text(headline="Disparue", body="Lou"),
    },
    persons=(PersonShown(name="Lou Voorbeeld", age=12),),
    case_number="2026-1",
    criteria=("under_13",),
)


def test_appeal_never_says_why():
    """Criteria and case number are for the Unit: no display learns them."""
    body = written(an_alert(expires_at=NOW), a_recipient(), FULL)
    assert "under_13" not in str(body)
    assert "2026-1" not in str(body)
    assert set(body["data"]) == {
        "alert_id", "revision", "kind", "case_ref", "status", "issued_at", "expires_at", "display_for_s", "areas",
        "texts", "persons", "media", "contact", "receipts_url",
    }  # fmt: skip


def test_text_in_another_language_is_better_than_none():
    """A partner whose language the appeal lacks gets the languages that there are."""
    assert set(written(an_alert(), a_recipient(languages=("de",)), FULL)["data"]["texts"]) == {"nl", "fr"}
    assert set(written(an_alert(), a_recipient(languages=("fr", "de")), FULL)["data"]["texts"]) == {"fr"}


def pictured(rel, url, language=None):
    return MediaShown(rel=rel, url=url, type="image/png", width=2, height=3, language=language)


def test_pictures_are_at_whole_addresses_and_in_the_partners_languages():
    """Photos for all; what is drawn only in languages of the partner; by reference nothing, for a standby nothing."""
    photo, nl, fr = (
        pictured("photo", "/media/a.jpg"),
        pictured("screen", "/media/b.png", "nl"),
        pictured("screen", "/media/c.png", "fr"),
    )
    material = FULL.model_copy(update={"media": (photo, nl, fr)})
    shown = written(an_alert(), a_recipient(languages=("fr",)), material)["data"]["media"]
    assert [(one["rel"], one["url"], one.get("language")) for one in shown] == [
        ("photo", "https://here.example/media/a.jpg", None),
        ("screen", "https://here.example/media/c.png", "fr"),
    ]
    assert "media" not in written(an_alert(), a_recipient(content="link"), material)["data"]
    unit = a_recipient(audience=Audience.MISSING_PERSONS_UNIT)
    assert written(an_alert(AlertKind.STANDBY), unit, material)["data"]["media"] == []


def test_withdrawal_holds_no_identity():
    """Nothing of the appeal is in it, not even its areas."""
    body = written(an_alert(), None, None, "updated")
    assert body["type"] == "alert.withdrawn"
    assert not {"texts", "persons", "media", "areas"} & set(body["data"])


def test_same_languages_in_another_order_are_one_form():
    """Recipients that want the same get the same bytes."""
    assert variant_of(a_recipient(languages=("nl", "fr"))) == variant_of(a_recipient(languages=("fr", "nl")))
