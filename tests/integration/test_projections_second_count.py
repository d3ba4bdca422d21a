"""The annual report counted a second time, by code that shares nothing with the system, over random histories."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from history_draws import MOMENTS, Line, histories
from history_events import BRUSSELS, events_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from projections_ground import live

from services.projections import versions
from services.projections.models.annual import Annual
from services.projections.reports import strip, year_of

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))  # a folder of data is no package

from history_figures import figures

YEARS = (2019, 2020, 2021, 2022)
_QUICK = settings(
    max_examples=20,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two reports say different things; medians may differ by their last digit."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted(one.keys() | other.keys())
        return [d for name in names for d in differences(one.get(name), other.get(name), f"{path}.{name}")]
    if isinstance(one, float) and isinstance(other, float) and abs(one - other) <= 0.011:
        return []
    return [] if one == other else [f"{path}: {one} and {other}"]


async def agree(pool: Any, lines: list[Line], as_of: datetime | None) -> None:
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await versions.enter(connection, await live(connection, Annual()))
            await Annual().apply(connection, events_of(lines))
            for year in YEARS:
                report = strip(await year_of(connection, BRUSSELS, year, as_of))
                assert differences(report, figures(lines, year, as_of)) == [], (year, as_of)
        finally:
            await transaction.rollback()


@_QUICK
@given(lines=histories(), as_of=st.one_of(st.none(), MOMENTS))
async def test_a_second_count_agrees(pool, lines, as_of):
    """Every figure and breakdown of every year, as known in the end or at a moment, over twenty random histories."""
    await agree(pool, lines, as_of)


@pytest.mark.long
@pytest.mark.timeout(600)
@settings(_QUICK, max_examples=200, derandomize=False)
@given(lines=histories(), as_of=st.one_of(st.none(), MOMENTS))
async def test_a_second_count_agrees_on_many_histories(pool, lines, as_of):
    """The same over two hundred, other ones each time."""
    await agree(pool, lines, as_of)
