"""How often somebody may call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel import limits
from services.kernel.limits import Limiter


class Clock:
    """Goes only when told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_bucket_empties_and_fills_again():
    """All at once, then one each second at 60 a minute; the wait is told to the moment."""
    clock = Clock()
    limiter = Limiter(60, clock)
    assert [limiter.take("an") for _ in range(60)] == [0.0] * 60
    assert limiter.take("an") == pytest.approx(1.0)
    clock.now += 0.5
    assert limiter.take("an") == pytest.approx(0.5)
    clock.now += 0.5
    assert (limiter.take("an"), limiter.take("bo")) == (0.0, 0.0)
    assert limiter.take("an") > 0
    clock.now += 3600
    assert [limiter.take("an") for _ in range(60)] == [0.0] * 60
    assert limiter.take("an") > 0, "an hour of silence fills one bucket, not sixty"


@given(st.lists(st.floats(0, 120), min_size=1, max_size=200))
def test_nobody_gets_more_than_a_bucket_and_what_flowed_in(pauses):
    """Whatever the rhythm, and whoever waits as told gets the next call."""
    clock = Clock()
    limiter = Limiter(30, clock)
    got = 0
    for pause in pauses:
        clock.now += pause
        wait = limiter.take("an")
        got += wait == 0
        if wait:
            clock.now += wait + 1e-6
            assert limiter.take("an") == 0
            got += 1
    assert got <= 30 + clock.now / 2 + 1


def test_memory_is_bounded(monkeypatch):
    """The one who called longest ago is forgotten, not the one who is at it."""
    monkeypatch.setattr(limits, "MOST_CALLERS", 3)
    limiter = Limiter(10, Clock())
    for _ in range(11):
        limiter.take("busy")
    for number in range(100):
        limiter.take(f"stranger {number}")
        assert limiter.take("busy") > 0
    assert len(limiter._left) <= 3
