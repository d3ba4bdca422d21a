"""`zoeklicht criteria explain | compare`: what rules say of a case, and what other rules would have said of all."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from rich.console import Console
from rich.table import Table

from schemas.events import AssessmentChanged
from schemas.vocabulary import Criterion, Language
from services.cli.insight import pool_of
from services.cli.local import system
from services.cli.place import Place
from services.cli.terminal import err
from services.cli.waiting import progress_bar
from services.criteria import store, wording
from services.criteria.errors import UnknownCaseError
from services.criteria.histories import histories, history
from services.criteria.review import Difference, review, summary
from services.criteria.rulebook import rulebook_of
from services.criteria.views import Json, assessment_view
from services.eventlog.store import Recorded, assessment_stream, read_streams
from services.kernel.clock import SystemClock
from services.kernel.postgres import Pool

out = Console(highlight=False, soft_wrap=True)


async def explain(data: Path, case: str, version: str | None, language: str, form: str) -> None:
    """Shows an assessment. Raises UnknownCaseError, UnreadableHistoryError, RulesError."""
    async with system(Place(data), with_kafka=False) as found, pool_of(found) as pool:
        book, now = rulebook_of(found.settings), SystemClock().now()
        acting = book.in_force(now)
        rules = book.version(version) if version else acting
        case_id = await _case(pool, case)
        events = await history(pool, case_id)
        stream = assessment_stream(case_id)
        log = (await read_streams(pool, [stream])).get(stream, [])
    view = assessment_view(case_id, events, rules, now, acting=acting.version)
    if view is None:
        raise UnknownCaseError
    view["evidence"] = [_evidence(event) for event in events if str(event.event_id) in _named(view)]
    view["changes"] = [
        _change(event, event.data) for event in log if isinstance(event.data, AssessmentChanged)
    ]
    if form == "json":
        _json(view)
    else:
        _show(view, _Words(Language(language), rules.age_limit))


async def _case(pool: Pool, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        found = await store.case_of_number(pool, text)
    if found is None:
        raise UnknownCaseError
    return found


def _named(view: Json) -> set[str]:
    return {event_id for finding in view["criteria"] for event_id in finding["evidence"]}


def _evidence(event: Recorded) -> Json:
    return {
        "event_id": str(event.event_id),
        "type": event.type,
        "version": event.version,
        "time": event.time.isoformat(),
        "actor": event.cause.actor,
    }


def _change(event: Recorded, data: AssessmentChanged) -> Json:
    said = data.model_dump(mode="json", include={"case_version", "rules", "worrying", "changes", "because"})
    return {"time": event.time.isoformat(), **said}


@cache
def _texts() -> Mapping[str, Mapping[str, str]]:
    file = resources.files("services.cli").joinpath("rules.toml")
    return tomllib.loads(file.read_text(encoding="utf-8"))


class _Words:
    """What is said to people, in one language. `age_limit` is in years, of the rules that are applied."""

    def __init__(self, language: Language, age_limit: int) -> None:
        self.language = language
        self._age_limit = age_limit

    def __call__(self, name: str, **parts: object) -> str:
        return _texts()[name][self.language].format(**parts)

    def reason(self, reason: str) -> str:
        """A criterion, a kind of case or a person's decision."""
        what, _, name = reason.partition(":")
        if what == "criterion":
            return wording.name(Criterion(name), self.language, self._age_limit)
        return self(name or what)


def _show(view: Json, say: _Words) -> None:
    verdict = "worrying" if view["worrying"] else "not_worrying" if view["assessed"] else "not_assessed"
    acting = view["acting_rules"]
    out.print(
        say(
            "case_is",
            number=view["case_number"],
            kind=say(view["kind"]),
            state=say(view["state"]),
            version=view["version"],
            verdict=say(verdict),
            rules=view["rules"],
        )
        + ("" if view["rules"] == acting else say("does_not_act", acting=acting))
    )
    out.print(say("reasons", reasons=", ".join(map(say.reason, view["reasons"])) or say("none")))
    if view["override"]:
        out.print(say("overridden", **view["override"]))
    if view["medication_overdue"]:
        out.print(say("medication_overdue", children=", ".join(map(str, view["medication_overdue"]))))
    known = {one["event_id"]: say("evidence_of", **one) for one in view["evidence"]}
    findings = Table(*(say(heading) for heading in ("child", "criterion", "finding", "evidence")))
    for one in view["criteria"]:
        evidence = "\n".join(f"{known[event_id]}\n{event_id}" for event_id in one["evidence"])
        name = say.reason(f"criterion:{one['criterion']}")
        findings.add_row(str(one["child"]), name, say(one["value"]), evidence or say("none"))
    out.print(findings)
    for number, one in enumerate(view["open_questions"], 1):
        mark = f" [bold]{say('decides')}[/bold]" if one["decisive"] else ""
        out.print(f"{number}. {say('child')} {one['child']}: {one['text'][say.language]}{mark}")
    for one in view["changes"]:
        out.print(f"{one['time']}  {'; '.join(one['changes'])}", markup=False)


async def compare(data: Path, before: str, after: str, language: str, form: str) -> None:
    """Shows which cases two versions of the rules judge differently. Raises RulesError."""
    differences: list[Difference] = []
    cases, unreadable = 0, list[UUID]()
    async with system(Place(data), with_kafka=False) as found, pool_of(found) as pool:
        book = rulebook_of(found.settings)
        one, two = book.version(before), book.version(after)
        with progress_bar() as bar:
            task = bar.add_task("cases", total=await store.count_cases(pool))
            async for page in histories(pool):
                for case_id, events in page.items():
                    if events is None:
                        unreadable.append(case_id)
                        continue
                    result = review(events, one, two)
                    cases += result.counted
                    differences += [result.difference] if result.difference else []
                bar.advance(task, len(page))
    differences.sort(key=lambda d: d.case_number)
    for case_id in unreadable:
        err.print(f"case {case_id} cannot be read and was left out")
    if form == "json":
        _json(_document(before, after, cases, unreadable, differences))
    else:
        _table(before, after, cases, differences, _Words(Language(language), two.age_limit))


def _document(
    before: str, after: str, cases: int, unreadable: Sequence[UUID], differences: Sequence[Difference]
) -> Json:
    becoming, ceasing, otherwise = summary(differences)
    return {
        "from": before,
        "to": after,
        "cases": cases,
        "unreadable": [str(case_id) for case_id in unreadable],
        "would_be_worrying": becoming,
        "would_not_be_worrying": ceasing,
        "for_other_reasons_or_at_other_times": otherwise,
        "differences": [_row(one) for one in differences],
    }


def _row(one: Difference) -> Json:
    row = asdict(one)
    return {"case_number": row.pop("case_number"), "from": row.pop("before"), "to": row.pop("after"), **row}


def _table(before: str, after: str, cases: int, differences: Sequence[Difference], say: _Words) -> None:
    headings = say("case"), say("kind"), before, after, say("criteria_that_differ"), say("why")
    shown = Table(*headings)
    for one in differences:
        names = "\n".join(map(say.reason, one.criteria))
        words = (say("worrying" if worrying else "not_worrying") for worrying in (one.before, one.after))
        shown.add_row(one.case_number, say(one.kind), *words, names, "\n".join(one.why))
    if differences:
        out.print(shown)
    becoming, ceasing, otherwise = summary(differences)
    out.print(say("compared", cases=cases, becoming=becoming, ceasing=ceasing, otherwise=otherwise))


def _json(document: dict[str, Any]) -> None:
    option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    out.file.write(orjson.dumps(document, option=option).decode())
    out.file.flush()
