"""What is told as having happened lies in the past, but for the difference of clocks."""

from datetime import timedelta

import pytest
from intake_world import FACT, START

from services.intake.domain.errors import ContentError
from services.intake.domain.moments import AHEAD, happened


def test_a_clock_that_is_a_little_ahead_is_believed():
    """Up to five minutes; one second more is refused, and the field is named."""
    for late, refused in ((timedelta(), False), (timedelta(seconds=1), True)):
        told = FACT.validate_python({"type": "police_informed", "at": START + AHEAD + late})
        if not refused:
            happened(told, START)
            continue
        with pytest.raises(ContentError) as caught:
            happened(told, START)
        assert (caught.value.rule, caught.value.field) == ("in-the-future", "at")


def test_what_is_due_may_lie_in_the_future():
    """The next dose of a child does."""
    dose = {"criterion": "medication_dependent", "value": "yes", "next_due": START + timedelta(hours=6)}
    happened(FACT.validate_python({"type": "circumstance_reported", **dose}), START)
