"""Whom to page and when, in whose words, and links that nobody else can make."""

import ast
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.duty import NewPerson
from schemas.vocabulary import Language
from services.kernel.paging import links
from services.kernel.paging.domain import OnCall, Slot, Told, candidates, next_to_tell, retry_s
from services.kernel.paging.wording import Item, message, title, titles

A, B, C = (UUID(int=n) for n in (1, 2, 3))
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
FIVE = timedelta(minutes=5)
BRUSSELS = ZoneInfo("Europe/Brussels")
MASTER = bytes(range(32))


def told(*whom, failed=False, ago=timedelta(0)):
    return [Told(one, NOW - ago, failed) for one in whom]


@pytest.mark.parametrize(
    ("so_far", "expected"),
    [
        ([], A),
        (told(A), None),
        (told(A, ago=FIVE - timedelta(seconds=1)), None),
        (told(A, ago=FIVE), B),
        (told(A, B, ago=FIVE), C),
        (told(A, B, C, ago=FIVE), A),
        (told(A, B, C, A, ago=FIVE), B),
        (told(A, failed=True), B),
        (told(A, B, C, failed=True), None),
        (told(A, B, C, failed=True, ago=FIVE), A),
    ],
)
def test_one_after_the_other_is_told(so_far, expected):
    """The first at once, the next after five minutes or when the last cannot be reached; round again at the end."""
    assert next_to_tell([A, B, C], so_far, NOW, FIVE) == expected


def test_nobody_can_be_told_where_there_is_nobody():
    """No people, no choice."""
    assert next_to_tell([], [], NOW, FIVE) is None


def test_who_comes_on_duty_is_next():
    """Somebody who was not told yet comes before those who were."""
    assert next_to_tell([A, C], told(A, ago=FIVE), NOW, FIVE) == C


def at(day, clock):
    """Monday 2 March 2026 is day 0."""
    return datetime.combine(
        datetime(2026, 3, 2, tzinfo=BRUSSELS) + timedelta(days=day), time.fromisoformat(clock), BRUSSELS
    )


@pytest.mark.parametrize(
    ("slot", "moment", "holds"),
    [
        (Slot(0, time(8), time(18)), at(0, "08:00"), True),
        (Slot(0, time(8), time(18)), at(0, "17:59:59"), True),
        (Slot(0, time(8), time(18)), at(0, "18:00"), False),
        (Slot(0, time(8), time(18)), at(1, "12:00"), False),
        (Slot(4, time(18), time(8)), at(4, "23:30"), True),
        (Slot(4, time(18), time(8)), at(5, "07:59"), True),
        (Slot(4, time(18), time(8)), at(4, "07:59"), False),
        (Slot(6, time(18), time(8)), at(0, "03:00"), True),
        (Slot(2, time(0), time(0)), at(2, "15:00"), True),
        (Slot(2, time(0), time(0)), at(3, "00:00"), False),
    ],
)
def test_weekly_hours_hold_by_the_wall_clock(slot, moment, holds):
    """A slot past midnight goes on the next day, Sunday's on Monday; the same hour twice is a whole day."""
    assert OnCall(A, (slot,)).on_duty(moment) is holds


def test_hours_follow_the_calendar_of_the_installation():
    """Half past five in UTC is half past seven in Brussels in summer: before and after the change the wall clock counts."""
    person = OnCall(A, tuple(Slot(day, time(7), time(8)) for day in range(7)))
    summer, winter = datetime(2026, 7, 1, 5, 30, tzinfo=UTC), datetime(2026, 1, 1, 6, 30, tzinfo=UTC)
    assert all(person.on_duty(moment.astimezone(BRUSSELS)) for moment in (summer, winter))
    assert not person.on_duty(datetime(2026, 1, 1, 5, 30, tzinfo=UTC).astimezone(BRUSSELS))


def test_people_off_duty_are_paged_only_when_nobody_is_on():
    """Whoever is on duty, in order; when nobody is, everybody in order, and it is said."""
    day, night = OnCall(A, (Slot(2, time(8), time(18)),)), OnCall(B, (Slot(2, time(18), time(8)),))
    never = OnCall(C, ())
    people = [never, day, night]
    assert candidates(people, at(2, "12:00")) == ([A], True)
    assert candidates(people, at(2, "20:00")) == ([B], True)
    assert candidates(people, at(5, "12:00")) == ([C, A, B], False)


@given(st.integers(1, 1000))
def test_tries_come_slower_and_never_end(attempts):
    """From five seconds to five minutes."""
    assert 5 <= retry_s(attempts) <= retry_s(attempts + 1) <= 300


def test_links_are_for_one_person_one_page_and_one_day():
    """Nobody can make one, or use it for another page, for another person, or after a day."""
    token = links.token(MASTER, 7, A, NOW)
    assert links.person_behind(MASTER, 7, token, NOW) == A
    assert links.person_behind(MASTER, 8, token, NOW) is None
    assert links.person_behind(bytes(32), 7, token, NOW) is None
    assert links.person_behind(MASTER, 7, token, NOW + timedelta(days=1, seconds=1)) is None
    assert links.person_behind(MASTER, 7, token.replace(A.hex, B.hex), NOW) is None
    for odd in ("", "x", "..", "a.b.c", token + "x", "é" + token):
        assert links.person_behind(MASTER, 7, odd, NOW) is None


def test_messages_speak_the_language_of_the_person():
    """Title, frame and link in nl, fr, de and en; what is over says so and has no link; a storm is one message."""
    one = Item("may-still-show:1", "alert 1: Partner (desk)", NOW, 2, "https://x/pages/1?token=t")
    over = Item("dead-man:url", "…", NOW, 1, "https://x/never", closed_at=NOW)
    subjects = set()
    for language in Language:
        written = message([one, over], language, BRUSSELS, "<1@x>")
        text = written.get_content()
        assert title(one.matter, language) in text
        assert "https://x/pages/1?token=t" in text
        assert "https://x/never" not in text
        assert "04.03.2026 13:00" in text
        assert written["Content-Language"] == language.value
        subjects.add(written.title)
        assert title(over.matter, language) in message([over], language, BRUSSELS, "<1@x>").title
    assert len(subjects) == 4
    assert title("never-heard-of:1", Language.NL) == titles()["other"]["nl"]


def kinds_in_code():
    """Every kind that a call of `page` opens, as far as it is written there or in a constant of the module."""
    for file in Path(__file__).parents[2].joinpath("services").rglob("*.py"):
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "page" and len(node.args) > 1:
                for part in ast.walk(node.args[1]):
                    if (
                        isinstance(part, ast.Constant)
                        and isinstance(part.value, str)
                        and ":" in part.value[1:]
                    ):
                        yield part.value.partition(":")[0]


def test_every_kind_of_page_has_its_words():
    """Whatever the code pages about has a title in every language."""
    found = set(kinds_in_code()) - {"", "partner-"}
    assert {"audit", "expired", "partner-unreachable", "dispatch-rejected"} <= found
    assert found <= titles().keys()
    from services.dispatch.recorder import _WHAT_TO_DO

    assert {f"partner-{name}" for name in _WHAT_TO_DO} <= titles().keys()
    assert all(set(words) == {"nl", "fr", "de", "en"} for words in titles().values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": []},
        {"channels": ["no address"]},
        {"channels": ["a@b\nBcc: c@d"]},
        {"slots": [{"day": "monday", "from": "08:00", "until": "18:00"}]},
        {"slots": [{"day": "mon", "from": "08:00:30", "until": "18:00"}]},
        {"slots": [{"day": "mon", "from": "08:00"}]},
        {"language": "es"},
        {"place": 0},
    ],
)
def test_wrong_people_are_refused(wrong):
    """Channels, hours and language must make sense; nothing is repeated in the error."""
    with pytest.raises(ValidationError):
        NewPerson.model_validate({"name": "Ann", "language": "nl", "channels": ["ann@example.org"], **wrong})
