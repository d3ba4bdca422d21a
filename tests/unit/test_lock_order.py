"""Lanes are locked in one order by everybody."""

import re

import pytest

from services.kernel.postgres import queries

FILES = ("queries.sql", "sender.sql", "retention.sql")


def locking() -> dict[str, str]:
    """Every query of dispatch that locks lanes before it changes them."""
    return {
        name: sql
        for file in FILES
        for name, sql in queries("services.dispatch", file).items()
        if "dispatch.lane" in sql and "for update" in sql
    }


def test_there_are_some():
    """The planner, the recorder, the sweep, replay and retention lock lanes."""
    assert {"lanes_lock", "lanes_lock_of", "lock", "overdue"} <= set(locking())


@pytest.mark.parametrize("name", locking())
def test_lanes_are_locked_by_recipient_and_alert(name):
    """(recipient, alert), always: whoever locks in another order meets the others in a deadlock."""
    order = re.search(r"order by (.*?)\s+(?:limit \d+ )?for update", locking()[name], re.DOTALL)
    assert order is not None
    assert [part.split(".")[-1] for part in order[1].split(", ")] == ["recipient_id", "alert_id"]
