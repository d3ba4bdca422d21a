"""The shared language: frozen samples stay readable, generated documents follow the models, errors repeat no value."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from schemas import generate
from schemas.commands import OpenCase
from schemas.events import EVENTS, CaseOpened
from schemas.upcasters import UPCASTERS, UnknownEventTypeError, read

SAMPLES = Path(__file__).parents[1] / "data" / "events"
OPEN = {
    "kind": "runaway",
    "reported_by": "parent",
    "disappeared_at": "2021-03-04T17:30:00+01:00",
    "children": [{"given_name": "Lou", "family_name": "Voorbeeld"}],
}


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.json")), ids=lambda p: p.stem)
def test_every_frozen_sample_is_still_read(path):
    """A sample of every version that was ever written is read by today's models, for ever."""
    sample = json.loads(path.read_text())
    event = read(path.stem, sample)
    if path.stem not in UPCASTERS:
        again = json.loads(event.model_dump_json(exclude_none=True))
        assert read(path.stem, again) == event
        jsonschema.validate(again, json.loads((generate.FOLDER / "events" / path.name).read_text()))


def test_every_event_type_has_a_frozen_sample():
    """A new event, or a new version of one, comes with its sample."""
    assert {path.stem for path in SAMPLES.glob("*.json")} >= EVENTS.keys()


def test_generated_documents_follow_the_models():
    """What is committed is what the models say."""
    assert generate.check() == []


def test_an_incompatible_change_is_found():
    """Removing a field, adding a duty, or narrowing a vocabulary in the same version is refused."""
    old = CaseOpened.model_json_schema()
    new = copy.deepcopy(old)
    del new["properties"]["reported_by"]
    new["required"].append("case_id")
    new["$defs"]["CaseKind"]["enum"].remove("runaway")
    new["properties"]["case_number"]["type"] = "integer"
    found = generate.incompatible(old, new)
    assert any("reported_by: removed" in line for line in found)
    assert any("case_id: now required" in line for line in found)
    assert any("runaway no longer allowed" in line for line in found)
    assert any("case_number: type changed" in line for line in found)
    assert generate.incompatible(old, old) == []


def test_an_unknown_type_says_what_to_do():
    """A type nobody knows is named, and the reader is told to upgrade."""
    with pytest.raises(UnknownEventTypeError, match="upgrade"):
        read("case.abducted_by_aliens.v1", {})


def test_an_error_never_repeats_the_value():
    """A refused body leaves neither names nor values in the error's text."""
    body = {**OPEN, "children": [{"given_name": "Lou", "family_name": "Voorbeeld", "gender": "Voorbeeld"}]}
    with pytest.raises(ValidationError) as caught:
        OpenCase.model_validate(body)
    assert "Voorbeeld" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"disappeared_at": "2021-03-04T17:30:00"},
        {"disappeared_at": None},
        {"disappeared_at": 1614265330},
        {"disappeared_at": "1614265330"},
        {"children": [{"date_of_birth": 0}]},
        {"reported_by": "a\x00b"},
        {"children": []},
        {"unknown": 1},
        {"kind": "lost_cat"},
        {"details": {"status": "effective"}},
        {"circumstances": [{"criterion": "under_13", "value": "yes", "child": 1}]},
        {"children": [{"date_of_birth": "2008-07-01", "age_estimate": {"min": 3, "max": 4}}]},
        {"children": [{"age_estimate": {"min": 5, "max": 4}}]},
    ],
    ids=str,
)
def test_a_case_that_cannot_be_is_refused(change):
    """Naive times, unknown fields, kinds, children and details that do not fit are refused."""
    OpenCase.model_validate(OPEN)
    with pytest.raises(ValidationError):
        OpenCase.model_validate({**OPEN, **change})


def test_a_preventive_abduction_needs_no_moment_of_disappearance():
    """The child is at home: there is no disappearance yet."""
    OpenCase.model_validate(
        {
            "kind": "international_parental_abduction",
            "reported_by": "parent",
            "children": [{}],
            "details": {"status": "preventive"},
        }
    )
