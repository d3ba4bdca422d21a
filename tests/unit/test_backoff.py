"""Waiting times, outcomes and the breaker: pure, so every step is a line of a table."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatch.backoff import RETRY_AFTER_MOST_S, delay, ping_delay, retry_after
from services.dispatch.breaker import Breaker, failed, succeeded
from services.dispatch.outcomes import Fate, of_failure, of_status

YOUNG, OLD = timedelta(minutes=59), timedelta(hours=1)
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0), (2, 1), (3, 3), (4, 10), (5, 30)])
def test_first_waits_are_fixed(failures, seconds):
    """0, 1, 3, 10, 30 s."""
    assert delay(failures, YOUNG, 0.5) == delay(failures, OLD, 0.1) == seconds


def test_then_full_jitter_then_five_minutes():
    """Anything up to a minute for an hour, so that lanes do not come back together; then every five minutes."""
    assert [delay(6, YOUNG, chance) for chance in (0.0, 0.5, 1.0)] == [0, 30, 60]
    assert delay(60, OLD, 0.5) == 300


def test_ping_waits_at_most_an_hour():
    """1, 3, 10, 30 s … up to an hour apart."""
    waits = [ping_delay(n) for n in range(1, 20)]
    assert waits[:4] == [1, 3, 10, 30]
    assert waits == sorted(waits)
    assert waits[-1] == 3600


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("7", 7),
        (" 120 ", 120),
        ("86400", 300),
        ("9" * 5000, 300),
        ("-5", 0),
        ("soon", 0),
        ("", 0),
        ("٣", 0),
        ("Sun, 01 Mar 2026 12:01:00 GMT", 60),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Mon, 01 Mar 2027 12:00:00 GMT", 300),
        ("Sun, 01 Mar 2026 12:01:00 -0000", 60),
    ],
)
def test_retry_after(header, seconds):
    """Seconds or a date, at most five minutes; nonsense says nothing."""
    assert retry_after(header, NOW) == seconds


@given(st.text())
def test_retry_after_survives_any_text(header):
    """A partner can write what it likes."""
    assert 0 <= retry_after(header, NOW) <= RETRY_AFTER_MOST_S


def test_every_status_has_a_fate():
    """Only 2xx is delivered, only 410 holds, and a withdrawal is never held."""
    for status in range(100, 1000):
        fate = of_status(status, 0, withdrawal=False).fate
        assert (fate is Fate.DELIVERED) == (200 <= status < 300)
        assert (fate is Fate.HELD) == (status == 410)
        assert of_status(status, 0, withdrawal=True).fate in (Fate.DELIVERED, Fate.RETRY)


@pytest.mark.parametrize(
    ("status", "pages", "counts", "ambiguous"),
    [
        (404, True, False, False),
        (429, False, True, False),
        (503, False, True, True),
        (302, False, True, False),
    ],
)
def test_what_statuses_mean(status, pages, counts, ambiguous):
    """A contract bug pages and leaves the breaker alone; a busy or broken partner counts against it."""
    outcome = of_status(status, 42, withdrawal=False)
    assert (outcome.page, outcome.breaker, outcome.ambiguous) == (pages, counts, ambiguous)
    assert outcome.wait_s == (42 if status in (429, 503) else 300 if status == 404 else 0)


def test_failures_without_an_answer():
    """What left may have arrived; DNS, TLS and blocked addresses page."""
    assert of_failure("timeout", sent=True).ambiguous
    assert not of_failure("connect", sent=False).ambiguous
    assert [of_failure(name, sent=False).page for name in ("dns", "tls", "blocked", "connect")] == [
        True
    ] * 3 + [False]


def run(breaker, text, cap=8):
    for letter in text:
        breaker = succeeded(breaker, cap) if letter == "+" else failed(breaker)
    return breaker


@pytest.mark.parametrize(
    ("history", "is_open"),
    [
        ("----", False),
        ("-----", True),
        ("----+----", False),
        ("---+---", False),
        ("--+-+-+-+-", False),
        ("----+---+-", True),
    ],
)
def test_breaker_opens(history, is_open):
    """Five in a row, or 70 % of at least ten, open it."""
    assert run(Breaker(), history).is_open == is_open


def test_breaker_recovers_step_by_step():
    """1, 2, 4, then all; one failure on the way opens it again."""
    recovering = [run(Breaker(is_open=True), "+" * n).allowed for n in (1, 2, 3, 4)]
    assert recovering == [1, 2, 4, None]
    assert run(Breaker(is_open=True), "++++").healthy
    assert run(Breaker(is_open=True), "++-").is_open


def test_healthy_partner_is_not_remembered():
    """Successes of a partner that never failed leave no trace."""
    assert run(Breaker(), "+++").healthy
