"""The chain of the audit: whatever is done to entries afterwards is found."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.audit.chain import BEGINNING, Chain, Entry, digest_of

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def chained(actions):
    """Entries as the database writes them."""
    digest, made = BEGINNING, []
    for number, action in enumerate(actions, 1):
        entry = Entry(
            number,
            AT + timedelta(seconds=number),
            "an",
            "operator",
            action,
            (f"case:{number}",),
            "c-1",
            b"",
        )
        digest = digest_of(digest, entry)
        made.append(replace(entry, digest=digest))
    return made


def findings(entries, **known):
    chain = Chain()
    for entry in entries:
        chain.add(entry)
    return list(chain.findings(**known))


ENTRIES = chained(["case.read", "called POST /v1/cases", "photo.read", "case.read"])
HEAD = (4, ENTRIES[-1].digest)


def test_what_was_written_is_whole():
    """An untouched chain has no findings, knows its head and every digest that was kept elsewhere."""
    assert not findings(ENTRIES, head=HEAD, witnessed=ENTRIES[1].digest)
    assert not findings([])


@pytest.mark.parametrize(
    "change",
    [
        {"principal": "bo"},
        {"role": "admin"},
        {"action": "case.listed"},
        {"subjects": ("case:9",)},
        {"subjects": ()},
        {"correlation_id": "c-2"},
        {"at": AT},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_field_is_found_where_it_is(change):
    """Any field of any entry: the finding names the entry."""
    entries = [ENTRIES[0], replace(ENTRIES[1], **change), *ENTRIES[2:]]
    assert findings(entries, head=HEAD) == [
        "entry 2 of " + f"{entries[1].at:%Y-%m-%d %H:%M:%S}" + " was changed or slipped in"
    ]


def test_what_is_missing_is_found():
    """In the middle by the numbers, at the end by the head."""
    assert findings([ENTRIES[0], *ENTRIES[2:]]) == ["entries 2 to 2 are missing"]
    assert findings(ENTRIES[:3], head=HEAD) == [
        "the end was cut off or replaced: 3 entries are there, 4 were written"
    ]


def test_a_chain_written_anew_lacks_the_digest_that_was_kept():
    """Whoever can write everything can make a chain that fits; only a digest kept elsewhere tells."""
    forged = chained(["case.read", "nothing to see", "photo.read", "case.read"])
    assert not findings(forged, head=(4, forged[-1].digest))
    assert findings(forged, witnessed=ENTRIES[-1].digest) == [
        "the digest that was kept elsewhere is not in the chain: it was written anew since"
    ]


@given(st.lists(st.text(), min_size=1, max_size=6), st.data())
def test_fields_cannot_run_into_each_other(subjects, data):
    """Moving a piece of text from one field to the next changes the digest: lengths are part of what is counted."""
    entry = replace(ENTRIES[0], subjects=tuple(subjects))
    cut = data.draw(st.integers(0, len(entry.action) - 1))
    moved = replace(
        entry, action=entry.action[:cut], correlation_id=entry.action[cut:] + entry.correlation_id
    )
    assert digest_of(BEGINNING, entry) != digest_of(BEGINNING, moved)


def test_an_entry_reads_back_from_its_view():
    """An export holds all that the chain counts."""
    view = ENTRIES[2].view | {"at": ENTRIES[2].at.isoformat()}
    assert Entry.of_view(view) == ENTRIES[2]
