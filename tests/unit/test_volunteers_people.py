"""When somebody can be called, and what a file of volunteers says."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.commands import ChangeVolunteer, NewVolunteer
from services.geography import municipalities
from services.geography.centering import centers
from services.geography.centers import _kept
from services.volunteers.domain.availability import DAY, WEEK, Availability, minute_of_week, week_of
from services.volunteers.domain.people import availability_of, changed, document, identity
from services.volunteers.import_file import ImportFileError, lines

BRUSSELS = ZoneInfo("Europe/Brussels")
AN = {
    "given_name": "An",
    "family_name": "Helper",
    "team": "mobile",
    "languages": ["nl", "fr"],
    "postal_code": "3000",
    "channels": ["sms:+32470000001", "an@example.org"],
    "consent": True,
}
HEADER = "given_name,family_name,team,languages,postal_code,channels,consent,hours,quiet,car"


def at(text):
    """A moment by the clock on the wall in Brussels."""
    return datetime.fromisoformat(text).replace(tzinfo=BRUSSELS)


def callable_at(profile, local):
    return availability_of(NewVolunteer.model_validate(AN | profile)).holds(local.astimezone(UTC), local)


@pytest.mark.parametrize(
    ("profile", "moment", "can"),
    [
        ({}, "2026-03-02T03:00", True),
        ({"quiet": {"from": "22:00", "until": "07:00"}}, "2026-03-02T06:59", False),
        ({"quiet": {"from": "22:00", "until": "07:00"}}, "2026-03-02T07:00", True),
        ({"quiet": {"from": "22:00", "until": "07:00"}}, "2026-03-01T23:00", False),
        ({"hours": [{"day": "sun", "from": "20:00", "until": "08:00"}]}, "2026-03-02T07:59", True),
        ({"hours": [{"day": "sun", "from": "20:00", "until": "08:00"}]}, "2026-03-02T08:00", False),
        ({"hours": []}, "2026-03-02T12:00", False),
        ({"away": [{"from": "2026-03-02T00:00+01:00", "until": "2026-03-02T12:00+01:00"}]}, "2026-03-02T11:59", False),
        ({"away": [{"from": "2026-03-02T00:00+01:00", "until": "2026-03-02T12:00+01:00"}]}, "2026-03-02T12:00", True),
    ],
)  # fmt: skip
def test_somebody_is_called_in_their_hours_alone(profile, moment, can):
    """Hours and quiet hours over midnight and over the end of the week; away until a moment, and no longer."""
    assert callable_at(profile, at(moment)) is can


def test_quiet_hours_follow_the_clock_on_the_wall_in_the_nights_of_summer_time():
    """02:30 comes twice in October, and both times it is quiet; at 03:00, in either night, it is not any more."""
    quiet = {"quiet": {"from": "01:00", "until": "03:00"}}
    autumn = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert [(autumn + timedelta(hours=h)).astimezone(BRUSSELS).hour for h in range(3)] == [2, 2, 3]
    for hours, can in ((0, False), (1, False), (2, True)):
        assert callable_at(quiet, (autumn + timedelta(hours=hours)).astimezone(BRUSSELS)) is can
    spring = datetime(2026, 3, 29, 0, 59, tzinfo=UTC)
    for minutes, can in ((0, False), (1, True)):
        local = (spring + timedelta(minutes=minutes)).astimezone(BRUSSELS)
        assert callable_at(quiet, local) is can


TIMES = st.builds(time, st.integers(0, 23), st.integers(0, 59))


def within(day_begins, until, minute):
    """By the definition: the minute is after the beginning, within a day, and before the end."""
    begins, length = day_begins, (until - day_begins) % DAY or DAY
    return (minute - begins) % WEEK < length


@given(
    st.lists(st.tuples(st.integers(0, 6), TIMES, TIMES), max_size=6),
    st.none() | st.tuples(TIMES, TIMES),
    st.integers(0, WEEK - 1),
)
def test_the_minutes_of_a_week_are_the_hours_without_the_quiet_ones(hours, quiet, minute):
    """Whatever overlaps or goes over midnight: the ranges are in order, apart, and say what the definition says."""
    week = week_of(hours, quiet)
    assert all(0 <= a < b <= WEEK for a, b in week)
    assert all(week[n][1] < week[n + 1][0] for n in range(len(week) - 1)) or quiet is not None
    assert list(week) == sorted(week)

    def minutes(day, one):
        return day * DAY + one.hour * 60 + one.minute

    wanted = any(within(minutes(d, a), minutes(d, b), minute) for d, a, b in hours)
    silent = quiet is not None and any(
        within(minutes(d, quiet[0]), minutes(d, quiet[1]), minute) for d in range(7)
    )
    local = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(minutes=minute)
    assert minute_of_week(local) == minute
    assert Availability(week).holds(local, local) is (wanted and not silent)


def test_a_change_names_what_changes_and_hours_can_be_taken_away():
    """Absent and null fields stay, `hours: null` means at any hour again; a new postcode takes the old spot away."""
    before = NewVolunteer.model_validate(
        AN | {"lat": 50.9, "lon": 4.7, "hours": [{"day": "mon", "from": "18:00", "until": "20:00"}]}
    )
    after = changed(before, ChangeVolunteer.model_validate({"hours": None, "car": True, "given_name": None}))
    assert (after.hours, after.car, after.given_name, after.lat) == (None, True, "An", 50.9)
    moved = changed(before, ChangeVolunteer(postal_code="9000"))
    assert (moved.lat, moved.lon, moved.hours) == (None, None, before.hours)


def test_who_somebody_is_does_not_depend_on_spaces_and_capitals():
    """The same person in another spelling is found again; another one is not."""
    same = NewVolunteer.model_validate(AN | {"given_name": " AN ", "family_name": "helper"})
    other = NewVolunteer.model_validate(AN | {"channels": ["sms:+32470000002"]})
    way = AN["channels"][0]
    assert identity(same, way) == identity(NewVolunteer.model_validate(AN), way)
    assert identity(other, other.channels[0]) != identity(same, way)


def test_a_file_is_read_line_by_line():
    """Semicolons or commas, lists by spaces, hours and quiet hours as people write them, in any order of columns."""
    text = (
        HEADER
        + "\n"
        + 'An,Helper,mobile,nl fr,3000,"sms:+32470000001 an@example.org",ja,mon@18:00-23:00,22:00-07:00,no\n'
    )
    for content in (text.encode(), b"\xef\xbb\xbf" + text.replace(",", ";").encode()):
        [line] = lines(content)
        assert line.errors == ()
        assert line.number == 2
        wanted = AN | {
            "hours": [{"day": "mon", "from": "18:00", "until": "23:00"}],
            "quiet": {"from": "22:00", "until": "07:00"},
        }
        assert document(line.profile) == document(NewVolunteer.model_validate(wanted))


def test_a_bad_line_is_named_with_its_field_and_never_with_its_value():
    """What is wrong with a line is said by field; the lines around it are read."""
    good = "An,Helper,mobile,nl,3000,an@example.org,yes,,,"
    bad = [
        good.replace("mobile", "Secretteam"),
        good.replace("an@example.org", "Secret_channel"),
        good.replace(",yes,", ",Secretly,"),
        good + ",Secret",
        "An,Helper,mobile,nl,Secret,an@example.org,yes,mon@Secret,,",
    ]
    found = list(lines("\n".join([HEADER, good, *bad, good]).encode()))
    assert [line.profile is None for line in found] == [False, True, True, True, True, True, False]
    assert [{e["field"] for e in line.errors} for line in found[1:6]] == [
        {"team"}, {"channels.0"}, {"consent"}, {"line"}, {"postal_code", "hours.0.from", "hours.0.until"},
    ]  # fmt: skip
    assert "Secret" not in str([line.errors for line in found])


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"", b"name\nAn", HEADER.encode() + b",car\n", HEADER.encode() + b",age\n"]
)
def test_a_file_that_is_none_is_refused_as_a_whole(content):
    """Not UTF-8, no header, a column that is missing, unknown or there twice."""
    with pytest.raises(ImportFileError):
        list(lines(content))


def test_middles_of_municipalities_are_those_of_today_s_cantons():
    """The kept file is what `python -m services.geography.centering` makes."""
    some = sorted(_kept())[::60]
    assert {code: list(_kept()[code]) for code in some} == centers(some)
    assert _kept().keys() == municipalities("BE")
    lat, lon = _kept()["24062"]
    assert abs(lat - 50.88) < 0.1
    assert abs(lon - 4.70) < 0.1
