"""What volunteers are told: every step in every language, with a place and a time, and nothing that is not filled in."""

from datetime import UTC, datetime
from itertools import product
from zoneinfo import ZoneInfo

import pytest

from schemas.vocabulary import Language, Step
from services.volunteers.wording import Words, text, title

BRUSSELS = ZoneInfo("Europe/Brussels")
BY = datetime(2026, 7, 1, 18, 0, tzinfo=UTC)


@pytest.mark.parametrize(("step", "language"), list(product(Step, Language)), ids=str)
def test_every_step_is_said_in_every_language(step, language):
    """With all that can be known, and with nothing: no gap is left, and a drill says so first."""
    whole = Words(step, "https://z.test/v/x", "24062", "station", BY, exercise=True)
    bare = Words(step, "https://z.test/v/x")
    for words in (whole, bare):
        said = text(words, language, BRUSSELS)
        assert "116 000" in said
        assert "{" not in said
        assert ("https://z.test/v/x" in said) is (step not in (Step.STANDBY, Step.NOT_NEEDED))
    said = text(whole, language, BRUSSELS)
    assert said.startswith(title(language, exercise=True).split(":")[0] + ": ")
    if step in (Step.ASK, Step.CHANGED):
        assert "Leuven" in said or "Louvain" in said
        assert "station" in said
        assert "01.07. 20:00" in said, "by the clock on the wall, in summer"
