"""What an alert says as CAP: whatever operators write, the message is valid, and its Cancel says nothing of it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.commands import Text
from schemas.payloads import PersonShown
from schemas.vocabulary import AlertKind, Audience, Language, Mode
from services.cap import Message, read, write
from services.cap.writing import serialised
from services.dispatch.cap_message import Originator, appeal_message, cancel_message, identifier
from services.dispatch.domain import (
    ALL_LANGUAGES,
    CAP_FULL,
    Alert,
    Earlier,
    Frame,
    Material,
    Recipient,
    Revision,
    Variant,
    variant_of,
    variants_for,
)

ALERT_ID = UUID("00000000-0000-4000-8000-000000000001")
NOW = datetime(2026, 7, 1, 10, 0, 0, 654321, tzinfo=UTC)
SECRET = "Geheimvoorbeeld"
AREAS = ("24062", "postal:3000", "province:20001", "arrondissement:leuven", "arrondissement:eupen", "BE")
LINK = Variant("cap", "link", ALL_LANGUAGES, Audience.DISPLAY)

words = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40).map(
    lambda text: f"{text}{SECRET}"
)
persons = st.builds(
    PersonShown,
    name=st.none() | words,
    age=st.none() | st.integers(0, 24),
    age_min=st.none() | st.integers(0, 24),
    age_max=st.none() | st.integers(0, 24),
    gender=st.sampled_from([None, "girl", "boy", "other", "unknown"]),
    description=st.none() | words,
)
materials = st.builds(
    Material,
    texts=st.none()
    | st.dictionaries(
        st.sampled_from(list(Language)), st.builds(Text, headline=words, body=words), min_size=1
    ),
    persons=st.lists(persons, max_size=3).map(tuple),
)
offices = st.builds(
    Originator,
    sender=st.just("zoeklicht@alerts.example"),
    name=st.just("116 000"),
    zone=st.sampled_from([UTC, ZoneInfo("UTC"), ZoneInfo("Europe/Brussels"), ZoneInfo("Asia/Kathmandu")]),
)


def revision(
    kind=AlertKind.PUBLIC, mode=Mode.ACTUAL, number=3, areas=AREAS, expires=NOW + timedelta(hours=6)
):
    alert = Alert(ALERT_ID, kind, ALERT_ID, ALERT_ID, mode, tuple(areas), 0, expires)
    earlier = tuple(Earlier(n, CAP_FULL.name, NOW - timedelta(hours=1 - n / 10)) for n in range(1, number))
    frame = Frame("https://alerts.example", "case-ref", NOW, NOW, 1800, earlier)
    return Revision(alert, number, "issued" if number == 1 else "updated", dark=False, frame=frame)


def passed(message: Message) -> Message:
    """The message after it went over the wire."""
    return read(serialised(write(message)))


@given(
    material=materials,
    office=offices,
    kind=st.sampled_from(list(AlertKind)),
    mode=st.sampled_from(list(Mode)),
    number=st.integers(1, 4),
    variant=st.sampled_from([CAP_FULL, LINK]),
    areas=st.lists(st.sampled_from(AREAS), min_size=1, unique=True),
)
def test_every_message_is_valid(*, material, office, kind, mode, number, variant, areas):
    """Schema and every rule hold, and what is read is what was meant."""
    message = passed(appeal_message(revision(kind, mode, number, areas), material, variant, office))
    assert (message.msg_type, len(message.references)) == ("Alert" if number == 1 else "Update", number - 1)
    assert message.status == ("Exercise" if mode is Mode.EXERCISE else "Actual")
    assert bool(message.note) is (mode is Mode.EXERCISE)
    assert message.sent == NOW.replace(microsecond=0)
    whole = variant is CAP_FULL and kind is not AlertKind.STANDBY
    assert whole or SECRET not in str(message)


@given(office=offices, number=st.integers(2, 5), mode=st.sampled_from(list(Mode)))
def test_every_cancel_is_valid_and_says_nothing(office, number, mode):
    """It names every earlier message; no info, no area, no parameter."""
    message = passed(cancel_message(revision(mode=mode, number=number), office))
    assert message.msg_type == "Cancel"
    assert [one.identifier for one in message.references] == [f"{ALERT_ID}.{n}" for n in range(1, number)]
    assert message.infos == ()


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("cap.full.all.display", ".7"),
        ("cap.link.all.display", ".7.link.display"),
        ("cap.full.all.mobile_team", ".7.full.mobile_team"),
    ],
)
def test_different_texts_have_different_identifiers(variant, expected):
    """The form is part of the identifier, unless it is the one that the public reads."""
    assert identifier(ALERT_ID, 7, variant) == f"{ALERT_ID}{expected}"


def test_what_is_for_people_is_restricted_and_has_no_lease():
    """The appeal of a public campaign for the mobile team: whole, not to be passed on, and nobody renews it."""
    office = Originator("zoeklicht@alerts.example", "116 000", UTC)
    material = Material(persons=(PersonShown(name=SECRET),))
    team, display = (
        passed(appeal_message(revision(), material, Variant("cap", "full", ALL_LANGUAGES, audience), office))
        for audience in (Audience.MOBILE_TEAM, Audience.DISPLAY)
    )
    assert (team.scope, display.scope) == ("Restricted", "Public")
    for message, leased in ((team, False), (display, True)):
        for info in message.infos:
            assert SECRET in str(info)
            assert ("display_for_s" in {one.name for one in info.parameters}) is leased


@pytest.mark.parametrize("kind", list(AlertKind))
def test_what_no_display_gets_is_cancelled_without_the_public(kind):
    """Nor does such a message lead to a public page that does not exist."""
    office = Originator("zoeklicht@alerts.example", "116 000", UTC)
    discreet = kind in (AlertKind.VIGNETTE, AlertKind.STANDBY)
    assert cancel_message(revision(kind), office).scope == ("Restricted" if discreet else "Public")
    team = Variant("cap", "full", ALL_LANGUAGES, Audience.MOBILE_TEAM)
    message = appeal_message(revision(kind), Material(), team, office)
    assert {info.web is None for info in message.infos} == {discreet}


def recipient(**changes) -> Recipient:
    row = {"format": "cap", "content": "full", "areas": ("24062",), "languages": ("fr",), "exercise": False}
    return Recipient(ALERT_ID, audience=Audience.DISPLAY, state="active", **{**row, **changes})


def test_recipients_share_one_form_whatever_their_language():
    """A CAP partner gets all languages; a JSON partner its own."""
    assert variant_of(recipient()) == variant_of(recipient(languages=("nl", "de"))) == CAP_FULL
    assert variant_of(recipient(format="json")).languages == ("fr",)


def test_public_alerts_have_the_public_form_even_if_no_partner_takes_cap():
    """The feeds need it; what is not public has only the forms that somebody takes."""
    assert variants_for(revision().alert, []) == {CAP_FULL}
    assert variants_for(revision(AlertKind.CHILD_ALERT).alert, []) == {CAP_FULL}
    assert variants_for(revision(AlertKind.VIGNETTE).alert, []) == set()
    assert variants_for(revision(AlertKind.STANDBY).alert, []) == set()
    assert variants_for(revision(mode=Mode.EXERCISE).alert, []) == set()
    linked = recipient(content="link", exercise=True)
    assert variants_for(revision(mode=Mode.EXERCISE).alert, [linked]) == {LINK, CAP_FULL}
