"""Random histories in the import format, for Hypothesis: few children, many turns, moments on the edges of years."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

Line = dict[str, Any]
FIRST = datetime(2020, 1, 1, tzinfo=UTC) - timedelta(days=20)
EDGES = [
    datetime(year, month, day, hour, minute, tzinfo=UTC)
    for year, month, day, hour, minute in (
        (2019, 12, 31, 22, 59),
        (2019, 12, 31, 23, 0),
        (2020, 12, 31, 23, 0),
        (2020, 12, 31, 23, 59),
        (2021, 6, 9, 22, 30),
        (2021, 10, 31, 0, 30),
        (2021, 12, 31, 22, 59),
        (2021, 12, 31, 23, 30),
    )
]
MOMENTS = st.one_of(
    st.sampled_from(EDGES), st.integers(0, 760 * 24).map(lambda h: FIRST + timedelta(hours=h))
)
GAPS = st.sampled_from((1, 45, 60 * 5, 60 * 24 * 3, 60 * 24 * 40, 60 * 24 * 300)).map(
    lambda m: timedelta(minutes=m)
)
KINDS = (
    "runaway",
    "international_parental_abduction",
    "third_party_abduction",
    "unaccompanied_minor",
    "undefined",
)
CRITERIA = (
    "under_13",
    "disability_or_low_self_reliance",
    "medication_dependent",
    "life_threatening_situation",
    "dangerous_company_or_crime",
    "out_of_character",
)
OUTCOMES = ("returned", "found_safe", "misunderstanding", "found_deceased", "located_abroad")
COUNTRIES = st.sampled_from(("FR", "CY", "GB", "MA", "TR", "BR"))
POSTCODES = st.sampled_from(("1000", "2000", "3000", "1300", "4700", "8000"))
GENDERS = st.sampled_from(("girl", "boy", "unknown", "other"))
SUBJECTS = st.sampled_from(("young_adult", "young_child", "adult_of_limited_self_reliance", "access_dispute"))
STEPS = (
    "circumstance_reported",
    "circumstance_retracted",
    "details_corrected",
    "reclassified",
    "worrying_overridden",
    "override_withdrawn",
    "child_located",
    "child_located",
    "closed",
    "closed",
    "closed",
    "reopened",
    "reopened",
    "reopened",
    "campaign.released",
    "note_added",
)
_BIRTHS = st.dates(date(1998, 1, 1), date(2018, 12, 31))


@st.composite
def histories(draw: st.DrawFn) -> list[Line]:
    """The lines of a small history: two cases of each kind and some more among five children, and what was counted.

    Few children, so that the same one comes in several cases of the same kind.
    """
    more = draw(st.lists(st.sampled_from(KINDS), max_size=3))
    births = [draw(_BIRTHS).isoformat() for _ in range(5)]
    lines: list[Line] = []
    stories: list[_Story] = []
    opened: dict[str, datetime] = {}
    for number, kind in enumerate((*KINDS, *KINDS, *more)):
        ref = f"case-{number}"
        # Never two at one moment: which of them is a child's first would be anybody's guess.
        opened[ref] = draw(MOMENTS) + timedelta(seconds=number)
        stories.append(_Story(draw, ref, opened[ref], births, kind))
        lines += stories[-1].lines()
    for _ in range(draw(st.integers(0, 4))):
        lines += draw(st.sampled_from(stories)).merge(draw(st.sampled_from(stories)))
    return lines + [draw(_counter(opened, number)) for number in range(draw(st.integers(0, 6)))]


class _Story:
    """One case, told so that every line is a valid one."""

    def __init__(self, draw: st.DrawFn, ref: str, opened: datetime, births: list[str], kind: str) -> None:
        self.draw = draw
        self.ref = ref
        self.at = opened
        self.births = births
        self.kind = kind
        self.who = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True))
        self.open = True
        self.merged = False
        self.overridden = False
        self.missing = False  # whether anybody said since when
        self.located: set[int] = set()
        self.told: list[str] = []
        self.names = 0

    def lines(self) -> list[Line]:
        found = [self._line("case.opened", self._opening())]
        for step in self.draw(st.lists(st.sampled_from(STEPS), min_size=2, max_size=6)):
            self.at += self.draw(GAPS)
            found += self._step(step)
        return found

    def merge(self, other: "_Story") -> list[Line]:
        """Makes it a duplicate of the other, where that is possible: nobody was found here who is sought there."""
        found = {who for n, who in enumerate(self.who) if not self.open or n in self.located}
        sought = {who for n, who in enumerate(other.who) if n not in other.located}
        if self is other or self.merged or not other.open or found & sought:
            return []
        self.at = other.at = max(self.at, other.at) + timedelta(minutes=5)
        other.who += [who for who in self.who if who not in found and who not in other.who]
        self.open, self.merged = False, True
        return [self._line("case.merged_into", {"case_id": other.ref})]

    def _line(self, kind: str, data: Line, name: str | None = None) -> Line:
        line = {"ref": self.ref, "type": kind, "at": self.at.isoformat(), "data": data}
        return line | ({"id": name} if name else {})

    def _opening(self) -> Line:
        data = {
            "kind": self.kind,
            "reported_by": "parent",
            "last_seen": self.draw(st.one_of(st.just({}), st.fixed_dictionaries({"postal_code": POSTCODES}))),
            "children": [self._child(who) for who in self.who],
            "circumstances": self.draw(st.lists(self._circumstance(), max_size=1)),
            "details": self._details(),
        }
        if data["details"].get("status") != "preventive":
            data |= self._missing()
        return data

    def _missing(self) -> Line:
        self.missing = True
        return {"disappeared_at": (self.at - self.draw(GAPS)).isoformat()}

    def _child(self, who: int) -> Line:
        child: Line = {"given_name": f"Kind {who}", "family_name": "Voorbeeld", "gender": self.draw(GENDERS)}
        # Child 4 is recognised by name and date of birth, the others by reference.
        if who == 4:
            return child | {"date_of_birth": self.births[who]}
        child |= {"ref": f"kind-{who}"}
        if self.draw(st.booleans()):
            child |= {"nationality": self.draw(COUNTRIES)}
        return child | self.draw(st.sampled_from(({"date_of_birth": self.births[who]}, ESTIMATE, LOW, {})))

    def _details(self) -> Line:
        if self.kind == "undefined":
            return self.draw(st.one_of(st.just({}), st.fixed_dictionaries({"subject": SUBJECTS})))
        if self.kind != "international_parental_abduction":
            return {}
        return self.draw(
            st.fixed_dictionaries(
                {"status": st.sampled_from(("effective", "preventive"))},
                optional={
                    "abducting_parent": st.sampled_from(("mother", "father", "both", "other")),
                    "country": COUNTRIES,
                    "direction": st.sampled_from(("from_belgium", "to_belgium")),
                    "helped_return": st.booleans(),
                },
            )
        )

    def _circumstance(self) -> st.SearchStrategy[Line]:
        return st.fixed_dictionaries(
            {"criterion": st.sampled_from(CRITERIA), "value": st.sampled_from(("yes", "no", "unknown"))},
            optional={"child": st.integers(0, len(self.who) - 1)},
        )

    def _step(self, step: str) -> list[Line]:
        if step == "note_added":
            return [self._line("case.note_added", {"text": "verzonnen"})]
        if not self.open and step == "reopened":
            self.open = True
            if len(self.located) == len(self.who):
                self.located.clear()
            return [self._line("case.reopened", {"reason": "verzonnen"})]
        return self._open_step(step) if self.open else []

    def _open_step(self, step: str) -> list[Line]:  # noqa: PLR0911 - one branch per fact
        reason = {"reason": "verzonnen"}
        match step:
            case "circumstance_reported":
                self.names += 1
                self.told.append(f"{self.ref}-{self.names}")
                return [
                    self._line("case.circumstance_reported", self.draw(self._circumstance()), self.told[-1])
                ]
            case "circumstance_retracted" if self.told:
                gone = self.told.pop(self.draw(st.integers(0, len(self.told) - 1)))
                return [self._line("case.circumstance_retracted", reason | {"event_id": gone})]
            case "details_corrected":
                return [self._line("case.details_corrected", self._correction())]
            case "reclassified":
                self.kind = self.draw(st.sampled_from(KINDS))
                data = {"kind": self.kind, "details": self._details()}
                since = []
                if not self.missing and data["details"].get("status") != "preventive":
                    since = [self._line("case.details_corrected", self._missing())]
                return [*since, self._line("case.reclassified", reason | data)]
            case "worrying_overridden":
                self.overridden = True
                data = {"worrying": self.draw(st.booleans())}
                return [self._line("case.worrying_overridden", reason | data)]
            case "override_withdrawn" if self.overridden:
                self.overridden = False
                return [self._line("case.override_withdrawn", {})]
            case "child_located" | "closed":
                return self._news(step)
            case "campaign.released":
                self.names += 1
                kind = self.draw(st.sampled_from(("public", "vignette", "child_alert")))
                data = {"campaign": f"c{self.names}", "kind": kind, "areas": ["BE"]}
                return [self._line("campaign.released", data)]
            case _:
                return []

    def _correction(self) -> Line:
        n = self.draw(st.integers(0, len(self.who) - 1))
        change: Line = {"child": n, "gender": self.draw(GENDERS), "nationality": self.draw(COUNTRIES)}
        if self.who[n] != 4:
            change |= self.draw(st.sampled_from(({}, {"date_of_birth": "2008-06-10"}, ESTIMATE, LOW)))
        data: Line = {"children": [change]}
        if self.draw(st.booleans()):
            data["last_seen"] = {"postal_code": self.draw(POSTCODES)}
        if self.draw(st.booleans()):
            data |= self._missing()
        if self.kind == "international_parental_abduction" and self.draw(st.booleans()):
            data["details"] = self._details()
            if not self.missing and data["details"]["status"] == "effective":
                data |= self._missing()
        return data

    def _news(self, step: str) -> list[Line]:
        missing = [n for n in range(len(self.who)) if n not in self.located]
        outcome = st.sampled_from(OUTCOMES)
        if step == "closed":
            self.open = False
            outcomes = [{"child": n, "outcome": self.draw(outcome)} for n in missing]
            return [self._line("case.closed", {"outcomes": outcomes})]
        if not missing:
            return []
        self.located.add(missing[0])
        # Before it was reported, and after the disappearance, which is a minute back at least.
        found = (self.at - timedelta(seconds=30)).isoformat()
        return [
            self._line(
                "case.child_located", {"child": missing[0], "outcome": self.draw(outcome), "at": found}
            )
        ]


ESTIMATE = {"age_estimate": {"min": 11, "max": 14}}
LOW = {"age_estimate": {"min": 8, "max": 10}}


@st.composite
def _counter(draw: st.DrawFn, opened: dict[str, datetime], number: int) -> Line:
    """Something counted; no two at one moment, so that there is one last count."""
    kind = draw(
        st.sampled_from(
            (
                "partners.engaged",
                "volunteers.called_out",
                "reach.reported",
                "app.activated",
                "calls.counted",
                "partners.counted",
            )
        )
    )
    counts = {"count": draw(st.integers(0, 99))}
    data = {
        "reach.reported": {"people": draw(st.integers(0, 999)), "interactions": draw(st.integers(0, 99))},
        "partners.engaged": counts,
        "calls.counted": counts,
        "partners.counted": counts,
    }.get(kind, {})
    late = timedelta(seconds=number)
    if kind in {"calls.counted", "partners.counted"}:
        return {"type": kind, "at": (draw(MOMENTS) + late).isoformat(), "data": data}
    ref = draw(st.sampled_from(sorted(opened)))
    return {"ref": ref, "type": kind, "at": (opened[ref] + draw(GAPS) + late).isoformat(), "data": data}
