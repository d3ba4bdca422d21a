"""Lines of the import format become events as the system makes them, by its own pure code and without its servers."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.criteria.domain import CaseFile, advance
from services.criteria.rulebook import load_rulebook
from services.eventlog.store import Append, Cause, NewEvent, Recorded
from services.intake import store
from services.intake.import_batch import Batch
from services.intake.import_lines import ImportCase, Line, parsed
from services.intake.policy import load_policy
from services.kernel.ids import derived_id
from services.kernel.vault import key_name

BRUSSELS = ZoneInfo("Europe/Brussels")
KEY = bytes(32)
RULES = load_rulebook(zone=BRUSSELS)


def events_of(lines: Iterable[dict[str, Any]]) -> list[Recorded]:
    """Every event of these lines, with the assessments that follow from them, in order. Raises for a bad line."""
    read = [parsed(number, json.dumps(line)) for number, line in enumerate(lines, 1)]
    return list(_assessed(_imported(read)))


def _imported(lines: list[Line]) -> Iterator[Recorded]:
    cases = {line.case_id for line in lines if line.case_id}
    years = Counter(line.at.astimezone(BRUSSELS).year for line in lines if isinstance(line.body, ImportCase))
    batch = Batch(
        files={case_id: store.fold(case_id, []) for case_id in cases},
        places={},
        keys={key_name("case", case_id): KEY for case_id in cases},
        marks={},
        numbers={year: [f"{year}-{n:04d}" for n in range(1, count + 1)] for year, count in years.items()},
        secret=KEY,
        policy=load_policy(),
        zone=BRUSSELS,
        correlation_id="import",
        imported_at=datetime.now(UTC),
    )
    versions: Counter[str] = Counter()
    for line in lines:
        if isinstance(line.body, ImportCase):
            batch.keys |= {key_name("child", child): KEY for child in batch.children_of(line)}
        batch.take(line)
        for append in batch.appends:
            versions[append.stream] += 1
            yield _recorded(
                append.stream, versions[append.stream], append.subject, append.events[0], append.cause
            )
        batch.appends.clear()


def _assessed(events: Iterable[Recorded]) -> Iterator[Recorded]:
    """Criteria append an assessment behind each event that changes it."""
    files: dict[str, CaseFile] = defaultdict(CaseFile)
    versions: Counter[str] = Counter()
    for event in events:
        yield event
        if not event.stream.startswith("case-"):
            continue
        rules = RULES.in_force(event.time)
        files[event.stream], changed = advance(files[event.stream], event, rules, event.time)
        if changed:
            stream = event.stream.replace("case-", "assessment-", 1)
            versions[stream] += 1
            event_id = derived_id("assessment", event.event_id)
            new = NewEvent(changed, event_id, event.time, event.recorded_time, event.imported_time)
            yield _recorded(stream, versions[stream], event.subject, new, event.cause)


def _recorded(stream: str, version: int, subject: str, new: NewEvent, cause: Cause) -> Recorded:
    assert new.time is not None
    assert new.recorded_time is not None
    return Recorded(
        stream=stream,
        version=version,
        event_id=new.event_id,
        type=new.data.TYPE,
        subject=subject,
        time=new.time,
        recorded_time=new.recorded_time,
        imported_time=new.imported_time,
        cause=cause,
        data=new.data,
    )


def appends(events: Iterable[Recorded]) -> list[Append]:
    """These events as they are appended."""
    return [
        Append(
            event.stream,
            event.subject,
            [NewEvent(event.data, event.event_id, event.time, event.recorded_time, event.imported_time)],
            event.cause,
        )
        for event in events
    ]
