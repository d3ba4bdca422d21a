"""The board's last values: what a viewer missed follows from a number, whatever happened meanwhile."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.web import last_values
from services.web.last_values import LastValues


def published(*states):
    values = LastValues()
    for state in states:
        publish(values, state)
    return values


def publish(values, state):
    values.publish({key: json.dumps(value).encode() for key, value in state.items()})


def after(values, event_id):
    return json.loads(values.since(values.number(event_id)))


class Viewer:
    """Does what a page does with an answer."""

    def __init__(self):
        self.state, self.id = {}, None

    def look(self, values):
        answer = after(values, self.id)
        if answer["whole"]:
            self.state = {}
        self.state |= answer["put"]
        for key in answer["drop"]:
            self.state.pop(key, None)  # it may have come and gone in between
        self.id = answer["id"]


STATES = st.lists(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 3), max_size=6), min_size=1, max_size=12
)


@given(STATES, st.lists(st.booleans(), min_size=12, max_size=12))
def test_whoever_looks_now_and_then_has_the_newest_state(states, looks):
    """Between any two looks any number of changes may lie; the state is the last one all the same."""
    values, viewer = LastValues(), Viewer()
    for state, looking in zip(states, looks, strict=False):
        publish(values, state)
        if looking:
            viewer.look(values)
            assert viewer.state == state
    viewer.look(values)
    assert viewer.state == states[-1]


def test_only_what_changed_is_sent():
    """A viewer that knows the state gets the difference, and nothing when there is none."""
    values = published({"a": 1, "b": 1})
    known = values.event_id()
    publish(values, {"a": 1, "b": 1})
    assert values.event_id() == known
    publish(values, {"a": 1, "c": 2})
    assert after(values, known) == {"id": values.event_id(), "whole": False, "put": {"c": 2}, "drop": ["b"]}


@pytest.mark.parametrize(
    "strange", [None, "", "other-1", "x", "{life}-", "{life}-99", "{life}--1", "{life}-" + "9" * 40]
)
def test_an_id_that_is_not_ours_gets_everything(strange):
    """Of another life of the server, from the future, or no id at all: the whole state replaces what was there."""
    values = published({"a": 1})
    life = values.event_id().partition("-")[0]
    answer = after(values, strange and strange.replace("{life}", life))
    assert answer["whole"]
    assert answer["put"] == {"a": 1}


def test_memory_of_what_went_away_is_bounded_and_who_is_older_gets_everything(monkeypatch):
    """After too many things went away, an old viewer starts again instead of keeping what is gone."""
    monkeypatch.setattr(last_values, "KEPT_DROPS", 3)
    values, old = LastValues(), Viewer()
    publish(values, {str(n): n for n in range(10)})
    old.look(values)
    for gone in range(10):
        publish(values, {str(n): n for n in range(gone + 1, 10)})
    assert len(values._drops) == 3
    old.look(values)
    assert old.state == {}


def test_viewers_who_saw_the_same_get_the_same_bytes():
    """Two hundred viewers cost one encoding."""
    values = published({"a": 1}, {"a": 2})
    assert values.since(1) is values.since(1)


async def test_waiting_ends_with_a_change_with_time_and_with_the_end():
    """True for news; False when nothing came in time, and at once when nothing will come any more."""
    values = published({"a": 1})
    assert not await values.changed(1, 0.01)
    waiting = asyncio.create_task(values.changed(1, 30))
    await asyncio.sleep(0)
    publish(values, {"a": 2})
    assert await waiting
    waiting = asyncio.create_task(values.changed(2, 30))
    await asyncio.sleep(0)
    values.close()
    assert not await waiting
