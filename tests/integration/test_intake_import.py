"""History comes in by the file, alerts nobody, and comes in once however often it is run."""

import asyncio
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from schemas.commands import AddNote, GiveConsent, LocateChild, RequestCampaign
from services.eventlog.store import case_stream, read_case
from services.intake.handlers import campaigns, cases
from services.intake.handlers.steps import Ask, IntakeDeps
from services.intake.import_lines import case_of_ref
from services.intake.importer import import_lines
from services.intake.policy import load_policy
from services.intake.store import fold
from services.intake.views import case_view, keys_needed
from services.kernel.principals import Principal, Role
from services.kernel.problems import ConflictError

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))  # a folder of data is no package

import history

SAMPLE = Path(history.__file__).parent / "history_sample.ndjson"
OPEN = {
    "kind": "runaway",
    "reported_by": "parent",
    "disappeared_at": "2021-03-04T17:30:00+01:00",
    "last_seen": {"postal_code": "3000", "place": "Verzonnenplein"},
    "children": [{"given_name": "Lou", "family_name": "Voorbeeld", "date_of_birth": "2008-07-01"}],
}
AT = "2021-03-05T10:00:00+01:00"
ASK = Ask(Principal("operator", Role.OPERATOR), "c-1")


@pytest.fixture
def deps(settings, pool, vault) -> IntakeDeps:
    return IntakeDeps(pool, vault, settings, load_policy())


def line(kind: str, data: Any, ref: str | None = "a", at: str = AT, **more: str) -> str:
    return json.dumps({"type": kind, "at": at, "data": data, **({"ref": ref} if ref else {}), **more})


async def log(pool) -> list[tuple[Any, ...]]:
    rows = await pool.fetch(
        "select event_id, stream, version, type, data::text from eventlog.events order by position"
    )
    return [tuple(row) for row in rows]


async def view(deps: IntakeDeps, ref: str) -> Any:
    events = await read_case(deps.pool, case_of_ref(ref))
    keys = await deps.vault.find(sorted(keys_needed(events)))
    return case_view(case_of_ref(ref), events, keys, deps.policy)


async def test_the_sample_has_two_bad_lines_every_time(deps, pool):
    """Exactly the two that are bad on purpose, by number and without their values; the second run adds nothing."""
    lines = SAMPLE.read_text().splitlines()
    first = await import_lines(deps, lines)
    assert ([number for number, _ in first.bad], first.appended, first.skipped) == ([12, 13], 11, 0)
    before = await log(pool)
    second = await import_lines(deps, lines)
    assert (second.bad, second.appended, second.skipped) == (first.bad, 0, 11)
    assert await log(pool) == before
    assert not any(word in reason for _, reason in first.bad for word in ("Kim", "bad-", "2021"))


async def test_imported_events_say_when_they_happened(deps, pool):
    """Time = recorded time = `at`, origin import, no stop, no timer; so the case is known as of then."""
    await import_lines(deps, SAMPLE.read_text().splitlines())
    rows = await pool.fetch("select * from eventlog.events")
    assert {row["origin"] for row in rows} == {"import"}
    assert all(row["time"] == row["recorded_time"] and row["imported_time"] for row in rows)
    assert await pool.fetchval("select count(*) from eventlog.stop") == 0
    assert await pool.fetchval("select count(*) from intake.timer") == 0
    then = await read_case(pool, case_of_ref("2021-1"), datetime.fromisoformat("2021-01-01T02:30:00+01:00"))
    assert [event.version for event in then] == [1, 2]
    # 2021-12-31T23:30Z is in 2022 in Brussels.
    assert (await view(deps, "2021-3"))["case_number"].startswith("2022-")


async def test_no_name_of_the_file_is_stored_in_clear(deps, pool):
    """Names, birth dates, notes and places are sealed, in bulk too."""
    await import_lines(deps, SAMPLE.read_text().splitlines())
    stored = json.dumps([row[4] for row in await log(pool)])
    for word in ("Voorbeeld", "insulin", "station", "2006-07-01"):
        assert word not in stored
    case = await view(deps, "2021-1")
    assert (case["children"][0]["given_name"], case["circumstances"][0]["note"]) == ("Lou", "insulin")


async def test_refs_and_identities_name_the_same_child(deps):
    """Equal `ref`s are one child; without `ref` names and birth date are, in one batch and over runs."""
    with_ref = OPEN | {"children": [{"ref": "k", "given_name": "Noa"}]}
    lines = [line("case.opened", OPEN, ref) for ref in "ab"] + [
        line("case.opened", with_ref, ref) for ref in "cd"
    ]
    assert (await import_lines(deps, lines)).appended == 4
    await import_lines(deps, [line("case.opened", OPEN, "e")])
    ids = [(await view(deps, ref))["children"][0]["child_id"] for ref in "abcde"]
    assert ids[0] == ids[1] == ids[4]
    assert ids[2] == ids[3] != ids[0]
    found = await deps.pool.fetchval(
        "select count(*) from intake.case_child where child_id = $1", UUID(ids[0])
    )
    assert found == 3


async def test_a_ref_of_an_exercise_names_nobody_real(deps):
    """Nor do its names and birth date: an exercise in a file is as far from real cases as one that is played here."""
    with_ref = OPEN | {"children": [{"ref": "k", "given_name": "Noa"}]}
    drill = {"mode": "exercise"}
    openings = {"a": OPEN, "b": OPEN | drill, "c": with_ref, "d": with_ref | drill, "e": with_ref | drill}
    await import_lines(deps, [line("case.opened", data, ref) for ref, data in openings.items()])
    a, b, c, d, e = [(await view(deps, ref))["children"][0]["child_id"] for ref in openings]
    assert len({a, b, c, d}) == 4
    assert d == e


async def test_lines_are_judged_by_the_lines_before_them(deps, pool):
    """A line before what it needs is bad, the second time too, though by then it is there."""
    lines = [
        line("case.note_added", {"text": "too early"}),
        line("campaign.ended", {"campaign": "c", "reason": "expired"}, at="2021-03-09T00:00:00Z"),
        line("case.opened", OPEN),
        line("campaign.ended", {"campaign": "c", "reason": "expired"}),
        line("campaign.released", {"campaign": "c", "kind": "public", "areas": ["24062"]}),
        line("case.opened", OPEN | {"reported_by": "police"}),
        line("case.circumstance_retracted", {"event_id": "x1", "reason": "x"}),
        line("case.circumstance_reported", {"criterion": "under_13", "value": "no"}, id="x1"),
        line("case.circumstance_retracted", {"event_id": "x1", "reason": "x"}, at="2021-03-06T10:00:00Z"),
    ]
    first = await import_lines(deps, lines)
    assert [number for number, _ in first.bad] == [1, 2, 4, 6, 7]
    before = await log(pool)
    second = await import_lines(deps, lines)
    assert (second.bad, second.appended, second.skipped) == (first.bad, 0, 4)
    assert await log(pool) == before


async def test_a_later_file_continues_the_case(deps):
    """A file may hold only what came after; file order counts, `at` may go back."""
    await import_lines(deps, [line("case.opened", OPEN)])
    more = [
        line("case.closed", {"outcomes": [{"child": 0, "outcome": "returned"}]}),
        line(
            "case.details_corrected",
            {"children": [{"child": 0, "date_of_birth": "2010-01-01"}]},
            at="2021-03-04T20:00:00Z",
        ),
    ]
    assert (await import_lines(deps, more)).appended == 2
    case = await view(deps, "a")
    assert (case["state"], case["version"], case["children"][0]["age_min"]) == ("closed", 3, 11)
    assert case["children"][0]["given_name"] == "Lou"


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        "[]",
        line("case.vanished", {}),
        line("case.opened", OPEN | {"hair": "rood"}, "b"),
        line("case.opened", OPEN | {"last_seen": {"postal_code": "1999"}}, "b"),
        line("case.child_located", {"child": 7, "outcome": "returned", "at": AT}),
        line("campaign.released", {"campaign": "c", "kind": "public", "areas": ["nowhere"]}),
        line("partners.engaged", {"count": -1}),
        line("app.activated", {}, None),
        line("app.activated", {}, "unknown"),
        line("case.note_added", {"text": "x" * 70_000}),
        line("case.note_added", {"text": "x"}, at="2999-01-01T00:00:00+01:00"),
    ],
    ids=str,
)
async def test_a_bad_line_is_named_and_the_rest_goes_in(deps, pool, bad):
    """Number and reason, no value; every other line goes in."""
    lines = [line("case.opened", OPEN), "", bad, line("calls.counted", {"count": 3}, None)]
    got = await import_lines(deps, lines)
    assert (got.appended, [number for number, _ in got.bad]) == (2, [3])
    assert not any(word in got.bad[0][1] for word in ("rood", "1999", "nowhere", "vanished", "xxx"))


async def test_equal_lines_are_one_unless_an_id_tells_them_apart(deps, pool):
    """The content makes a line unique, or its `id` does."""
    counted = line("calls.counted", {"count": 3}, None)
    named = [line("calls.counted", {"count": 3}, None, id=name) for name in "xyx"]
    got = await import_lines(deps, [counted, counted, *named])
    assert (got.appended, got.skipped) == (3, 2)


async def test_two_imports_at_once_append_nothing_twice(deps, pool):
    """Several runs of one file at the same moment end like one run."""
    lines = [json.dumps(one) for one in list(history.history())[:1500]]
    got = await asyncio.gather(*(import_lines(deps, lines) for _ in range(3)))
    assert sum(one.appended for one in got) == len(lines) == len(await log(pool))
    assert sum(one.skipped for one in got) == 2 * len(lines)
    assert [one.bad for one in got] == [[], [], []]


async def test_a_case_with_live_facts_takes_no_more_lines(deps):
    """What is worked on here is not changed by a file; lines that went in before stay known."""
    lines = [line("case.opened", OPEN)]
    await import_lines(deps, lines)
    await cases.add_fact(deps, ASK, case_of_ref("a"), AddNote(type="note_added", text="x"))
    got = await import_lines(deps, [*lines, line("case.note_added", {"text": "y"})])
    assert ([number for number, _ in got.bad], got.skipped) == ([2], 1)


async def test_a_live_fact_on_an_imported_case_acts_as_live(deps, pool):
    """An imported campaign is history: it cannot be shown again, and a located child does not light it."""
    case_id = case_of_ref("a")
    two = OPEN | {"children": [*OPEN["children"], {"given_name": "Noa"}]}
    campaign = line("campaign.released", {"campaign": "c", "kind": "vignette", "areas": ["24062"]})
    await import_lines(deps, [line("case.opened", two), campaign])
    located = LocateChild(type="child_located", child=0, outcome="returned", at=AT)
    await cases.add_fact(deps, ASK, case_id, located)
    newest = (await read_case(pool, case_id))[-1]
    assert (newest.stream, newest.cause.origin) == (case_stream(case_id), "live")
    wish = RequestCampaign(kind="vignette", areas=["24062"])
    fresh = await campaigns.request_campaign(deps, ASK, case_id, wish)
    consent = GiveConsent(party="police", given_by="x", decision="given", at=AT)
    await campaigns.give_consent(deps, ASK, UUID(fresh.body["campaign_id"]), consent)
    file = fold(case_id, await read_case(pool, case_id))
    imported = next(c for c in file.campaigns.values() if c.origin == "import")
    lead = Ask(Principal("lead", Role.COORDINATOR), "c-2")
    from schemas.commands import UpdateCampaign

    with pytest.raises(ConflictError, match="history"):
        await campaigns.update(deps, lead, imported.campaign_id, UpdateCampaign(areas=["BE"], reason="x"))


async def test_a_merge_in_a_file_names_the_other_case_by_ref(deps):
    """`case_id` may be the `ref` of a case of the file."""
    lines = [line("case.opened", OPEN, "a"), line("case.opened", OPEN | {"reported_by": "police"}, "b")]
    got = await import_lines(deps, [*lines, line("case.merged_into", {"case_id": "a"}, "b")])
    assert got.bad == []
    merged = await view(deps, "b")
    assert (merged["state"], merged["merged_into"]) == ("closed", str(case_of_ref("a")))


async def test_progress_is_told_and_ends_at_the_last_line(deps):
    """The number of lines done never goes back and ends at the file's last line."""
    lines = [line("calls.counted", {"count": n}, None) for n in range(1001)]
    told: list[tuple[int, int]] = []
    await import_lines(deps, lines, lambda done, of: told.append((done, of)))
    assert told == sorted(told)
    assert (len(told) > 2, told[-1], {of for _, of in told}) == (True, (1001, 1001), {1001})


async def test_no_transaction_holds_more_than_500_events(deps, pool):
    """An open writing transaction holds up every reader of the log: closings that end campaigns count double."""
    refs = [f"r{n}" for n in range(400)]
    released = {"campaign": "c", "kind": "public", "areas": ["24062"]}
    closed = {"outcomes": [{"child": 0, "outcome": "returned"}]}
    lines = [
        *(line("case.opened", OPEN, ref) for ref in refs),
        *(line("campaign.released", released, ref) for ref in refs),
        *(line("case.closed", closed, ref) for ref in refs),
    ]
    assert (await import_lines(deps, lines)).appended == 1200
    assert await pool.fetchval("select count(*) from eventlog.events") == 1600
    largest = "select max(n) from (select count(*) n from eventlog.events group by transaction_id) t"
    assert await pool.fetchval(largest) <= 500
