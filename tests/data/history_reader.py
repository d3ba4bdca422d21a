"""An independent reader of the import format: it counts lines by the published rules, not by the plan.

It shares no code with the generator, so that a figure both agree on is met by the facts.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

BRUSSELS = ZoneInfo("Europe/Brussels")
Line = dict[str, Any]


def instant(text: str) -> datetime:
    """Read a time, which must have an offset."""
    at = datetime.fromisoformat(text)
    assert at.utcoffset() is not None, f"a time without offset: {text}"
    return at


def year_of(text: str) -> int:
    """Return the calendar year in Brussels of a time."""
    return instant(text).astimezone(BRUSSELS).year


def age_on(born: date, day: date) -> int:
    """Return the age in full years on a day."""
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


@dataclass
class Read:
    """A case as a reader of its lines sees it, with nothing taken from the generator."""

    kind: str
    year: int
    children: list[Line]
    details: Line
    disappeared: str | None
    values: dict[tuple[int, str], str] = field(default_factory=dict)
    named: dict[str, tuple[int, str]] = field(default_factory=dict)
    override: bool | None = None
    ever_worrying: bool = False
    spans: list[list[int | None]] = field(default_factory=list)  # years of opening and of closing
    outcomes: list[str] = field(default_factory=list)

    def ages(self) -> list[tuple[int, int] | None]:
        """Return the youngest and oldest each child can be on the day of the disappearance."""
        ages: list[tuple[int, int] | None] = []
        for child in self.children:
            if "date_of_birth" in child and self.disappeared:
                day = instant(self.disappeared).astimezone(BRUSSELS).date()
                age = age_on(date.fromisoformat(child["date_of_birth"]), day)
                ages.append((age, age))
            elif "age_estimate" in child:
                ages.append((child["age_estimate"]["min"], child["age_estimate"]["max"]))
            else:
                ages.append(None)
        return ages

    def under_13(self) -> bool:
        """Tell whether a child is under 13, or may be by its estimated age."""
        return any(age is not None and age[0] < 13 for age in self.ages())

    def worrying(self) -> bool:
        """Tell whether the case is worrying by the facts read so far."""
        if self.kind == "international_parental_abduction" and self.details["status"] == "preventive":
            return False
        if self.override is not None:
            return self.override
        if self.kind == "undefined" or "yes" in self.values.values():
            return True
        return self.kind != "international_parental_abduction" and self.under_13()

    def report(self, data: Line, name: str | None) -> None:
        """Take in the value of a criterion; a line's id lets it be retracted."""
        for child in [data["child"]] if "child" in data else range(len(self.children)):
            self.values[child, data["criterion"]] = data["value"]
            if name is not None:
                self.named[name] = (child, data["criterion"])

    def apply(self, fact: str, line: Line) -> None:
        """Take in one fact after the opening."""
        data = line["data"]
        if fact == "circumstance_reported":
            self.report(data, line.get("id"))
        elif fact == "circumstance_retracted":
            del self.values[self.named[data["event_id"]]]
        elif fact == "details_corrected":
            for change in data.get("children", []):
                self.children[change["child"]] |= {k: v for k, v in change.items() if k != "child"}
            self.details |= data.get("details", {})
            self.disappeared = data.get("disappeared_at", self.disappeared)
        elif fact == "reclassified":
            self.kind, self.details = data["kind"], data.get("details", {})
        elif fact == "worrying_overridden":
            self.override = data["worrying"]
        elif fact == "override_withdrawn":
            self.override = None
        elif fact == "closed":
            self.spans[-1][1] = year_of(line["at"])
            self.outcomes = [outcome["outcome"] for outcome in data["outcomes"]]
        elif fact == "reopened":
            self.spans.append([year_of(line["at"]), None])
        self.ever_worrying |= self.worrying()

    def handled(self, year: int) -> bool:
        """Tell whether the case is open at any time in a year."""
        return any(start <= year and (end is None or end >= year) for start, end in self.spans if start)

    def identities(self) -> list[str]:
        """Name each child: by its reference, else by names and date of birth."""
        return [
            child.get("ref") or f"{child['given_name']} {child['family_name']} {child.get('date_of_birth')}"
            for child in self.children
        ]


def read(lines: list[Line]) -> dict[str, Read]:
    """Read all cases, by their reference."""
    cases: dict[str, Read] = {}
    for line in lines:
        data, kind = line["data"], line["type"]
        if kind == "case.opened":
            opened = year_of(line["at"])
            children = [dict(child) for child in data["children"]]
            case = Read(data["kind"], opened, children, dict(data["details"]), data.get("disappeared_at"))
            case.spans.append([opened, None])
            for told in data["circumstances"]:
                case.report(told, None)
            case.ever_worrying = case.worrying()
            cases[line["ref"]] = case
        elif kind.startswith("case."):
            cases[line["ref"]].apply(kind.removeprefix("case."), line)
    return cases
