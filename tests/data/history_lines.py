"""From planned cases to lines of the import format, in an order such a file has in life."""

import random
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from history_model import BRUSSELS, Case, Child, Data, Fact
from history_people import description, last_seen

REPORTERS = ("parent", "parent", "institution", "police")
RECEPTION = ("institution", "institution", "police")  # an unaccompanied minor's parents do not call
TOGETHER = 25  # cases whose lines are mixed with each other


def stamp(rng: random.Random, at: datetime) -> str:
    """Write an instant with an offset: mostly the one of Brussels, sometimes Z."""
    if rng.random() < 0.1 or (at.minute == 30 and at.hour == 23):
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return at.astimezone(BRUSSELS).isoformat(timespec="seconds")


class Writer:
    """Writes cases as lines; sealed content is recognisably invented."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def case(self, case: Case) -> list[Data]:
        """Return the lines of a case in order of time, its opening first."""
        first = Fact(case.opened, "case.opened", self._opening(case))
        later = sorted(case.facts, key=lambda fact: fact.at)
        return [self.line(fact, case.ref) for fact in (first, *later)]

    def line(self, fact: Fact, ref: str | None = None) -> Data:
        """Return one line; `ref` names its case, if it has one."""
        line: Data = {} if ref is None else {"ref": ref}
        line |= {"type": fact.type, "at": stamp(self.rng, fact.at), "data": self._plain(fact.data)}
        return line if fact.id is None else line | {"id": fact.id}

    def _opening(self, case: Case) -> Data:
        reporters = RECEPTION if case.kind == "unaccompanied_minor" else REPORTERS
        data: Data = {"kind": case.opened_as or case.kind, "reported_by": self.rng.choice(reporters)}
        if case.disappeared is not None and not case.opened_preventive:
            data["disappeared_at"] = case.disappeared
        data["last_seen"] = last_seen(self.rng)
        data["children"] = [self._child(child) for child in case.children]
        data["circumstances"] = case.circumstances
        data["details"] = self._details(case)
        return data

    def _details(self, case: Case) -> Data:
        if case.opened_preventive:
            return case.details | {"status": "preventive"}
        if case.opened_as is None:
            return case.details
        return {"subject": "young_adult"} if case.opened_as == "undefined" else {}

    def _child(self, child: Child) -> Data:
        data: Data = {} if child.ref is None else {"ref": child.ref}
        data |= {"given_name": child.given_name, "family_name": child.family_name, "gender": child.gender}
        born = child.told or child.born
        if born is not None:
            data["date_of_birth"] = born.isoformat()
        elif child.estimate is not None:
            data["age_estimate"] = {"min": child.estimate[0], "max": child.estimate[1]}
        if child.nationality or self.rng.random() < 0.5:
            data["nationality"] = child.nationality or "BE"
        if self.rng.random() < 0.4:
            data["description"] = description(self.rng)
        return data

    def _plain(self, value: Any) -> Any:
        """Write the times inside data the same way."""
        if isinstance(value, datetime):
            return stamp(self.rng, value.replace(microsecond=0))
        if isinstance(value, dict):
            return {key: self._plain(inner) for key, inner in value.items()}
        return [self._plain(inner) for inner in value] if isinstance(value, list) else value


def mixed(rng: random.Random, cases: list[list[Data]], single: list[Data]) -> Iterator[Data]:
    """Yield every line: a case's own in order, neighbouring cases' mixed, so that `at` goes back at times."""
    apart = max(1, len(cases) // (len(single) + 1))
    waiting = list(single)
    for start in range(0, len(cases), TOGETHER):
        queues = [iter(lines) for lines in cases[start : start + TOGETHER]]
        turns = [queue for queue, lines in zip(queues, cases[start:], strict=False) for _ in lines]
        rng.shuffle(turns)
        yield from (next(queue) for queue in turns)
        while waiting and len(single) - len(waiting) < (start + TOGETHER) // apart:
            yield waiting.pop(0)
    yield from waiting
