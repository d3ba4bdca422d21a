"""Campaigns and what is counted about them: engagements, call-outs, the app, reach, calls, partners."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from history_model import BRUSSELS, DAY, HOUR, MINUTE, Case, Data, Fact, World, year_start
from history_people import municipalities_of


@dataclass(frozen=True)
class CampaignYear:
    """Campaigns released in a year, those of worrying cases opened in it or before, and what is counted."""

    worrying: int
    worrying_earlier: int
    calm: int
    vignette: int
    callouts: int
    reach_cases: int
    people: int
    interactions: int
    calls: int
    display_partners: int


# For 2020 the published means times 71 disappearances; 2019 is not published.
CAMPAIGNS = {
    2019: CampaignYear(50, 0, 22, 43, 31, 80, 37_120_404, 3_004_118, 17_803, 28),
    2020: CampaignYear(38, 2, 17, 29, 28, 71, 71 * 501_301, 71 * 41_801, 16_570, 30),
    2021: CampaignYear(36, 3, 17, 17, 25, 64, 36_515_902, 2_408_284, 16_916, 31),
}
JANUARY_2021 = 1409  # calls, as in the sample of the import format
AREAS: tuple[Callable[[str], str], ...] = (
    lambda postcode: municipalities_of(postcode)[0],
    lambda postcode: f"postal:{postcode}",
    lambda _: "province:20001",
    lambda _: "arrondissement:leuven",
    lambda _: "BE",
)


def parts(rng: random.Random, total: int, count: int) -> list[int]:
    """Split a total into so many positive whole parts."""
    weights = [rng.uniform(0.4, 2) for _ in range(count)]
    split = [int(total * weight / sum(weights)) for weight in weights]
    split[-1] += total - sum(split)
    return split


class Campaigns:
    """Releases a year's campaigns and reports what follows from them."""

    def __init__(self, world: World, year: int) -> None:
        self.rng = world.rng
        self.year = year
        self.plan = CAMPAIGNS[year]
        self._shown_again: dict[Case, datetime] = {}  # cases opened before the year, by their release in it
        drawn = world.shuffled(world.cases)
        self.new = [case for case in drawn if case.year == year and self._able(case)]
        self.earlier = [case for case in drawn if case.year < year and self._open_long(case)]

    def _able(self, case: Case) -> bool:
        """Tell whether a campaign fits: it has a day at least, and all of it is told before the year ends."""
        long_enough = case.closed is None or case.closed - case.opened > DAY
        early = case.opened < year_start(self.year + 1) - 11 * DAY
        return (
            long_enough
            and early
            and case.details.get("status") != "preventive"
            and not case.opened_preventive
        )

    def _open_long(self, case: Case) -> bool:
        start, end = year_start(self.year), year_start(self.year) + 300 * DAY
        return case.opened < start and case.reopened is None and (case.closed is None or case.closed > end)

    def run(self) -> None:
        """Release the year's campaigns, then report engagements, call-outs, the app and reach."""
        plan = self.plan
        worrying = [case for case in self.new if case.trigger]
        calm = [case for case in self.new if case.trigger is None and case.kind == "runaway"]
        earlier = [case for case in self.earlier if case.trigger]
        twice = 3  # cases with a second public campaign
        shown = worrying[: plan.worrying - twice]
        public = [(case, True) for case in (*shown, *shown[:twice])] + [
            (case, False) for case in calm[: plan.calm]
        ]
        callouts = iter(range(plan.callouts))
        for case, engaging in public:
            self._public(
                case, self._release_new(case), engaging=engaging, callout=next(callouts, None) is not None
            )
        for index, case in enumerate(earlier[: plan.worrying_earlier]):
            # Half past midnight on 1 January in Brussels is the old year in UTC.
            after = 30 * MINUTE if index == 0 else self.rng.uniform(20, 200) * DAY
            self._shown_again[case] = year_start(self.year) + after
            self._public(case, self._shown_again[case], engaging=True, callout=False)
        quiet = [*shown[5:9], *calm[plan.calm :][: plan.vignette // 2], *worrying[plan.worrying :]]
        for case in quiet[: plan.vignette]:
            self._release(case, "vignette", self._release_new(case))
        cases = list(dict.fromkeys((*(case for case, _ in public), *self._shown_again)))
        silent = [case for case in reversed(worrying) if case not in set(cases)]
        self._reach([*cases, *silent][: plan.reach_cases])

    def _release_new(self, case: Case) -> datetime:
        return case.moment(self.rng, 0.2, 0.4)

    def _release(self, case: Case, kind: str, at: datetime) -> datetime:
        """Release a campaign, end it before the case closes, and return when it ends."""
        at = at.replace(microsecond=0)
        case.campaigns += 1
        name = f"c{case.campaigns}"
        code = self.rng.choice(("1000", "2000", "3000", "4000", "5000", "6000", "7000", "8000", "9000"))
        data: Data = {"campaign": name, "kind": kind, "areas": [self.rng.choice(AREAS)(code)]}
        case.facts.append(Fact(at, "campaign.released", data))
        found = case.closed is not None and case.closed - at < 20 * DAY
        if found and case.closed is not None:
            end, reason = case.closed - 5 * MINUTE, "child_found"
        else:
            end = at + self.rng.uniform(2, 20) * DAY
            reason = self.rng.choice(("expired", "expired", "consent_withdrawn", "other"))
        case.facts.append(
            Fact(end.replace(microsecond=0), "campaign.ended", {"campaign": name, "reason": reason})
        )
        return end

    def _public(self, case: Case, at: datetime, *, engaging: bool, callout: bool) -> None:
        self._release(case, "public", at)
        case.facts.append(Fact(at + MINUTE, "app.activated", {}))
        if engaging:
            case.facts.append(Fact(at, "partners.engaged", {"count": 1}))
        if callout:
            case.facts.append(Fact(at + 30 * MINUTE, "volunteers.called_out", {}))

    def _reach(self, cases: list[Case]) -> None:
        people = parts(self.rng, self.plan.people, len(cases))
        interactions = parts(self.rng, self.plan.interactions, len(cases))
        for case, reached, interacted in zip(cases, people, interactions, strict=True):
            halves = (reached // 2, reached - reached // 2), (interacted // 3, interacted - interacted // 3)
            twice = self.rng.random() < 0.2
            for index in range(2 if twice else 1):
                data = {
                    "people": halves[0][index] if twice else reached,
                    "interactions": halves[1][index] if twice else interacted,
                }
                shown = self._shown_again.get(case)
                at = shown + (index + 1) * DAY if shown else case.moment(self.rng, 0.5, 0.7)
                case.facts.append(Fact(at, "reach.reported", data))


def counts(rng: random.Random) -> list[Fact]:
    """Return what belongs to no case: calls by month, and display partners at the end of each year."""
    facts = []
    for year, plan in CAMPAIGNS.items():
        if year == 2021:
            months = [JANUARY_2021, *parts(rng, plan.calls - JANUARY_2021, 11)]
        else:
            months = parts(rng, plan.calls, 12)
        for month, count in enumerate(months, 1):
            first = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=BRUSSELS)
            at = first.astimezone(UTC) - MINUTE
            facts.append(Fact(at, "calls.counted", {"count": count}, f"calls-{year}-{month:02d}"))
        last = year_start(year + 1) - 13 * HOUR
        data = {"count": plan.display_partners}
        facts.append(Fact(last, "partners.counted", data, f"partners-{year}"))
    return facts
