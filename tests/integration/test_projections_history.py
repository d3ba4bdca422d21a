"""Three years of invented history become the published figures, and fast enough for an import to wait for them."""

import json
import sys
import time
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from projections_ground import BRUSSELS, SEALED, assessed, ends, follow, relay_all

from schemas import events as e
from schemas.vocabulary import Origin
from services.eventlog.store import Append, Cause, NewEvent, append, lock_streams
from services.kernel.ids import derived_id
from services.projections.registry import PROJECTIONS
from services.projections.reports import annual

DATA = Path(__file__).parents[1] / "data"
sys.path.insert(0, str(DATA))  # a folder of data is no package

import history  # noqa: E402 - it is found only now
from history_reader import Line, Read, instant, read  # noqa: E402

PUBLISHED = json.loads((DATA / "annual_figures.json").read_text())
CAUSE = Cause(actor="import", correlation_id="import", origin=Origin.IMPORT)
Event = tuple[str, str, e.EventData, datetime]
"""Stream, subject, data, and when."""


class Translator:
    """Lines become events as far as figures need them; an assessment follows each change of worry."""

    def __init__(self) -> None:
        self.cases: dict[str, Read] = {}
        self.worrying: dict[str, bool] = defaultdict(bool)
        self.number = 0

    def events(self, line: Line) -> list[Event]:
        self.number += 1
        kind, _, fact = line["type"].partition(".")
        at = instant(line["at"])
        subject = str(derived_id("case", line["ref"])) if "ref" in line else "counts"
        if kind == "case":
            before = self.cases.get(line["ref"])
            if before is None:
                (self.cases[line["ref"]],) = read([line]).values()
            else:
                before.apply(fact, line)
            data = _case(fact, self.cases[line["ref"]], line)
            return [(f"case-{subject}", subject, data, at), *self._assess(line["ref"], subject, at)]
        if kind == "campaign":
            campaign = derived_id(line["ref"], line["data"]["campaign"])
            return [(f"campaign-{campaign}", subject, _campaign(campaign, fact, line["data"]), at)]
        return [(f"ops-{self.number}", subject, e.EVENTS[f"{line['type']}.v1"](**line["data"]), at)]

    def _assess(self, ref: str, subject: str, at: datetime) -> list[Event]:
        now = self.cases[ref].worrying()
        if now is self.worrying[ref]:
            return []
        self.worrying[ref] = now
        return [(f"assessment-{subject}", subject, assessed(now), at)]


def _case(fact: str, case: Read, line: Line) -> e.EventData:
    data = line["data"]
    match fact:
        case "opened":
            found: e.EventData = _opened(case, line)
        case "reclassified":
            found = e.Reclassified(kind=data["kind"], details=data["details"], reason=SEALED)
        case "details_corrected":
            found = _corrected(case, data)
        case "closed":
            found = e.CaseClosed(outcomes=tuple(data["outcomes"]))
        case "reopened":
            found = e.CaseReopened(reason=SEALED)
        case "child_located":
            found = e.ChildLocated(**data)
        case _:
            found = e.NoteAdded(text=SEALED)
    return found


def _opened(case: Read, line: Line) -> e.CaseOpened:
    data = line["data"]
    return e.CaseOpened(
        case_number=line["ref"],
        kind=data["kind"],
        reported_by=SEALED,
        last_seen=e.Place(postal_code=data["last_seen"]["postal_code"]),
        children=tuple(_children(case)),
        details=data["details"],
    )


def _corrected(case: Read, data: dict[str, Any]) -> e.DetailsCorrected:
    ages = [(n, age) for n, age in enumerate(case.ages()) if age is not None]
    changes = tuple(e.ChildCorrection(child=n, age_min=age[0], age_max=age[1]) for n, age in ages)
    return e.DetailsCorrected(children=changes, details=data.get("details"))


def _children(case: Read) -> list[e.ChildRecord]:
    whole = zip(case.children, case.identities(), case.ages(), strict=True)
    return [
        e.ChildRecord(
            index=n,
            child_id=derived_id("child", who),
            identity=SEALED,
            age_min=age[0] if age else None,
            age_max=age[1] if age else None,
            gender=child["gender"],
            nationality=child.get("nationality"),
        )
        for n, (child, who, age) in enumerate(whole)
    ]


def _campaign(campaign: UUID, fact: str, data: dict[str, Any]) -> e.EventData:
    if fact == "released":
        appeal = e.Appeal(kind=data["kind"], areas=tuple(data["areas"]))
        return e.CampaignReleased(campaign_id=campaign, appeal=appeal)
    return e.CampaignEnded(campaign_id=campaign, reason=data["reason"])


async def _store(pool, events: list[Event]) -> None:
    for start in range(0, len(events), 500):
        part = events[start : start + 500]
        async with pool.acquire() as connection, connection.transaction():
            await lock_streams(connection, [stream for stream, *_ in part])
            grouped: dict[tuple[str, str], list[NewEvent]] = defaultdict(list)
            for stream, subject, data, at in part:
                grouped[stream, subject].append(NewEvent(data, time=at, recorded_time=at))
            await append(connection, [Append(*place, found, CAUSE) for place, found in grouped.items()])


def _agrees(figure: Any, published: Any) -> bool:
    if isinstance(figure, dict):
        digits = len(str(published).split(".")[1])
        return round(figure["value"], digits) == published
    return figure == published


@pytest.mark.timeout(180)
async def test_the_published_figures(settings_with_kafka, pool, record_testsuite_property):
    """Every published figure of every year, to its published digits; all projected in less than 15 s."""
    settings = settings_with_kafka
    translator = Translator()
    events = [event for line in history.history() for event in translator.events(line)]
    await _store(pool, events)
    await relay_all(settings)
    count = sum((await ends(settings)).values())
    took = []
    for projection in PROJECTIONS:
        begin = time.perf_counter()
        await follow(settings, projection)
        took.append(time.perf_counter() - begin)
    record_testsuite_property("events_per_second", [round(count / seconds) for seconds in took])
    assert sum(took) < 15
    for year in ("2019", "2020", "2021"):
        report = await annual(pool, BRUSSELS, int(year))
        assert report["new_cases"] == PUBLISHED["new_cases"][year]
        assert report["worrying"] == PUBLISHED["worrying"][year]
        assert report["campaigns"] == PUBLISHED["campaigns"][year]
        for kind, published in PUBLISHED["handled"].get(year, {}).items():
            assert report["handled"][kind] == published
        for name, published in PUBLISHED["details"].get(year, {}).items():
            figures = published.items() if isinstance(published, dict) else [(None, published)]
            for part, value in figures:
                figure = report["details"][name][part] if part else report["details"][name]
                assert _agrees(figure, value), (year, name, part, figure, value)
    early = await annual(pool, BRUSSELS, 2021, datetime(2021, 7, 1, tzinfo=BRUSSELS) - timedelta(seconds=1))
    assert 0 < early["new_cases"]["total"] < PUBLISHED["new_cases"]["2021"]["total"]
    assert (await annual(pool, BRUSSELS, 2020))["details"]["reach_people_per_disappearance"][
        "value"
    ] == 501_301
