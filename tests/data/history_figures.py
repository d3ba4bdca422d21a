"""The annual report a second time: plain Python over the lines of the import format.

It shares no code with the system, nor with the generator of histories, and takes another way: it plays each case line
by line (`history_played`) and then asks of every case and child what the published definitions ask.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from history_played import BRUSSELS, CRITERIA, IPA, PROVINCES, Case, Line, Person, instant, play

KINDS = (
    "runaway",
    "international_parental_abduction",
    "third_party_abduction",
    "unaccompanied_minor",
    "undefined",
)
OUTCOMES = (
    "returned",
    "found_safe",
    "misunderstanding",
    "accident",
    "found_deceased",
    "brought_back",
    "located_abroad",
)
REGIONS = ("european_union", "rest_of_europe", "africa", "asia", "america", "oceania", "unknown")
# Only the countries that occur in invented histories.
REGION_OF = {
    **dict.fromkeys(("FR", "NL", "DE", "ES", "IT", "PL", "RO", "BG", "PT", "CY"), "european_union"),
    **dict.fromkeys(("GB", "CH"), "rest_of_europe"),
    **dict.fromkeys(("MA", "DZ", "TN", "CD", "CM", "SN", "GN"), "africa"),
    **dict.fromkeys(("IN", "LB", "TH", "PK", "JO", "TR"), "asia"),
    **dict.fromkeys(("BR", "CO", "EC", "PE"), "america"),
}
Report = dict[str, Any]


def share(part: int, whole: int) -> dict[str, Any]:
    return {"value": part / whole if whole else None, "numerator": part, "denominator": whole}


def figures(lines: list[Line], year: int, as_of: datetime | None = None) -> Report:
    """The report of a year from the lines that were known at `as_of`."""
    known = [line for line in lines if as_of is None or instant(line["at"]) <= as_of]
    return Year(play(known), known, year).report()


class Year:
    """One year's figures, asked of the cases one by one."""

    def __init__(self, cases: dict[str, Case], lines: list[Line], year: int) -> None:
        self.begin = datetime(year, 1, 1, tzinfo=BRUSSELS)
        self.end = datetime(year + 1, 1, 1, tzinfo=BRUSSELS)
        self.every = cases
        self.cases = {ref: case for ref, case in cases.items() if case.merged_into is None}
        self.lines = lines
        self.new = [case for case in self.cases.values() if self.begin <= case.opened < self.end]
        self.handled = [case for case in self.cases.values() if case.open_between(self.begin, self.end)]

    def _case(self, ref: str) -> Case:
        """The case itself, or the one it became part of."""
        case = self.every[ref]
        return case if case.merged_into is None else self._case(case.merged_into)

    def report(self) -> Report:
        return {
            "new_cases": self._by_kind(self.new),
            "worrying": sum(case.worrying for case in self.new),
            "worrying_by_criterion": {
                reason: sum(reason in case.reasons for case in self.new)
                for reason in (*CRITERIA, "undefined", "override")
            },
            "campaigns": self._campaigns(),
            "handled": self._by_kind(self.handled),
            "by_province": self._spread((*PROVINCES, "unknown"), (case.province for case in self.new)),
            "by_month": self._spread(
                [f"{month:02}" for month in range(1, 13)],
                (f"{case.opened.astimezone(BRUSSELS).month:02}" for case in self.new),
            ),
            "outcomes": self._spread(OUTCOMES, (outcome for _, _, outcome in self._news())),
            "median_hours_to_outcome": self._hours(),
            "time_to_public": {"displays": 0},
            "time_to_dark": {"displays": 0},
            "details": {
                **self._counted(),
                "runaway": self._runaways(),
                IPA: self._abductions(),
                "third_party_abduction": self._third_party(),
                "undefined": self._undefined(),
                "unaccompanied_minor": self._minors(),
            },
        }

    def _by_kind(self, cases: list[Case]) -> dict[str, int]:
        counted = {kind: sum(case.kind == kind for case in cases) for kind in KINDS}
        return counted | {"total": len(cases)}

    def _spread(self, keys: Iterable[str], values: Iterable[str]) -> dict[str, int]:
        counted = Counter(values)
        return {key: counted[key] for key in keys}

    def _ended(self, case: Case) -> bool:
        return not case.open_between(self.end, self.end)

    def _news(self) -> Iterator[tuple[Case, timedelta, str]]:
        for case in self.cases.values():
            for person in case.people:
                if person.news:
                    # Who was found before anybody called was found when the call came.
                    first = max(case.opened, min(at for at, _ in person.news))
                    if self.begin <= first < self.end:
                        yield case, first - case.opened, person.news[-1][1]

    def _hours(self) -> dict[str, float]:
        hours: dict[str, list[float]] = defaultdict(list)
        for case, lasted, _ in self._news():
            for name in (case.kind, "total"):
                hours[name].append(lasted / timedelta(hours=1))
        return {name: round(median(values), 2) for name, values in hours.items()}

    def _told(self, kind: str, since: datetime | None = None) -> Iterator[Line]:
        for line in self.lines:
            if line["type"] == kind and (since or self.begin) <= instant(line["at"]) < self.end:
                yield line

    def _campaigns(self) -> dict[str, int]:
        released = Counter(line["data"]["kind"] for line in self._told("campaign.released"))
        found = {"public": released["public"], "vignette": released["vignette"], "total": released.total()}
        return found | ({"child_alert": released["child_alert"]} if released["child_alert"] else {})

    def _counted(self) -> Report:
        reach = list(self._told("reach.reported"))
        people = sum(line["data"]["people"] for line in reach)
        interactions = sum(line["data"]["interactions"] for line in reach)
        reached = len({self._case(line["ref"]).ref for line in reach})
        engaged = [line for line in self._told("partners.engaged") if self._case(line["ref"]).worrying]
        found = {
            "partner_engagements": sum(line["data"]["count"] for line in engaged),
            "volunteer_callouts": sum(1 for _ in self._told("volunteers.called_out")),
            "app_activations": sum(1 for _ in self._told("app.activated")),
            "hotline_calls": sum(line["data"]["count"] for line in self._told("calls.counted")),
            "reach_people": people,
            "reach_interactions": interactions,
            "reach_people_per_disappearance": share(people, reached),
            "reach_interactions_per_disappearance": share(interactions, reached),
        }
        always = datetime(1900, 1, 1, tzinfo=BRUSSELS)
        partners = [
            (instant(one["at"]), one["data"]["count"]) for one in self._told("partners.counted", always)
        ]
        return found | ({"display_partners": max(partners)[1]} if partners else {})

    def _runaways(self) -> Report:
        appearances: dict[str, list[tuple[datetime, Case, Person]]] = defaultdict(list)
        for case in self.new:
            if case.kind == "runaway":
                for who in {person.who for person in case.people}:
                    person = next(person for person in case.people if person.who == who)
                    appearances[who].append((case.opened, case, person))
        first = [min(seen, key=lambda one: one[0]) for seen in appearances.values()]
        ages = [age[0] for _, case, person in first if (age := person.age(case.since)) is not None]
        times = [len(seen) for seen in appearances.values()]
        runaways = [case for case in self.handled if case.kind == "runaway"]
        return {
            "girls_share": share(sum(person.gender == "girl" for *_, person in first), len(first)),
            "under_13_share": share(sum(age < 13 for age in ages), len(first)),
            "13_to_15_share": share(sum(13 <= age <= 15 for age in ages), len(first)),
            "16_to_17_share": share(sum(16 <= age <= 17 for age in ages), len(first)),
            "worrying_share": share(sum(case.worrying for case in runaways), len(runaways)),
            "repeat_children": sum(count >= 2 for count in times),
            "most_episodes_of_one_child": max(times, default=0),
        }

    def _last_seen(self, kind: str) -> list[tuple[Case, Person]]:
        """Each child of the cases of a kind that were handled, as its last one knew it."""
        found: dict[str, tuple[Case, Person]] = {}
        for case in sorted(self.handled, key=lambda case: case.opened):
            if case.kind == kind:
                found |= {person.who: (case, person) for person in case.people}
        return list(found.values())

    def _abductions(self) -> Report:
        handled = [case for case in self.handled if case.kind == IPA]
        new = [case for case in self.new if case.kind == IPA]
        status = Counter(case.details["status"] for case in handled)
        news = Counter(case.details["status"] for case in new)
        parents = Counter(case.details.get("abducting_parent") for case in handled)
        solved = [c for c in handled if c.details["status"] == "effective" and self._ended(c)]
        genders = Counter(person.gender for _, person in self._last_seen(IPA))
        regions = Counter(_region(case.details) for case in handled)
        towards = sum(case.details.get("direction") == "to_belgium" for case in handled)
        return {
            "handled_effective": status["effective"],
            "handled_preventive": status["preventive"],
            "new_effective": news["effective"],
            "new_preventive": news["preventive"],
            "opened_earlier": sum(case.opened < self.begin for case in handled),
            "children": genders.total(),
            "girls": genders["girl"],
            "boys": genders["boy"],
            "gender_unknown": genders["unknown"],
            "closed": len(solved),
            "closed_share": share(len(solved), status["effective"]),
            "mother_share": share(parents["mother"], len(handled)),
            "father_share": share(parents["father"], len(handled)),
            "towards_belgium_share": share(towards, len(handled)),
            "helped_share": share(sum(bool(c.details.get("helped_return")) for c in solved), len(solved)),
            "countries": dict(Counter(case.details.get("country", "unknown") for case in handled)),
            "regions_share": {region: share(regions[region], len(handled)) for region in REGIONS},
        }

    def _third_party(self) -> Report:
        every = self._last_seen("third_party_abduction")
        ages = [person.age(case.since) for case, person in every]
        return {"under_10_share": share(sum(age is not None and age[1] < 10 for age in ages), len(every))}

    def _undefined(self) -> Report:
        new = [case for case in self.new if case.kind == "undefined"]
        subjects = Counter(case.details.get("subject") for case in new)
        died = {p.who for case in new for p in case.people if p.news and p.news[-1][1] == "found_deceased"}
        return {
            "young_adults": subjects["young_adult"],
            "young_children": subjects["young_child"],
            "adults_of_limited_self_reliance": subjects["adult_of_limited_self_reliance"],
            "access_disputes": subjects["access_dispute"],
            "found_deceased": len(died),
            "closed_share": share(sum(self._ended(case) for case in new), len(new)),
        }

    def _minors(self) -> Report:
        every = self._last_seen("unaccompanied_minor")
        cases = [case for case in self.handled if case.kind == "unaccompanied_minor"]
        nationalities = Counter(person.nationality for _, person in every)
        return {
            "boys_share": share(sum(person.gender == "boy" for _, person in every), len(every)),
            "closed_share": share(sum(self._ended(case) for case in cases), len(cases)),
            "nationalities": dict(nationalities),
            "nationalities_share": {code: share(n, len(every)) for code, n in nationalities.items()},
        }


def _region(details: Line) -> str:
    """Of the place where the child is now: a child taken to Belgium is within the Union."""
    if details.get("direction") == "to_belgium":
        return "european_union"
    return REGION_OF[details["country"]] if "country" in details else "unknown"
