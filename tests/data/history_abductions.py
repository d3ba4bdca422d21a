"""Abductions: international parental ones, effective or preventive, and those by a third party.

How many are still open after each year follows from the published closing rates: with 336 effective cases
handled in 2020 and 369 in 2019, 131 and 118 closings are 39 % and 32 %.
"""

from datetime import UTC, datetime, timedelta

from history_model import DAY, HOUR, Case, World, year_start
from history_people import People

EUROPEAN_UNION = ("FR", "NL", "DE", "ES", "IT", "PL", "RO", "BG", "PT")
AFRICA = ("MA", "DZ", "TN", "CD", "CM", "SN", "GN")
ASIA = ("IN", "LB", "TH", "PK", "JO")
AMERICA = ("BR", "CO", "EC", "PE")

# cohort → (how many, closings by year); None is everything opened before 2019
EFFECTIVE: dict[int | None, tuple[int, dict[int, int]]] = {
    None: (249, {2019: 78, 2020: 75, 2021: 26}),
    2019: (120, {2019: 40, 2020: 36, 2021: 14}),
    2020: (85, {2020: 20, 2021: 18}),
    2021: (71, {2021: 15}),
}
PREVENTIVE: dict[int | None, tuple[int, dict[int, int]]] = {
    None: (10, {2019: 6, 2020: 2, 2021: 1}),
    2019: (96, {2019: 70, 2020: 20, 2021: 3}),
    2020: (70, {2020: 52, 2021: 9}),
    2021: (68, {2021: 40}),
}
# Of the 370 handled in 2021: cases by number of children, by abducting parent, by region.
SIZES = (1,) * 230 + (2,) * 110 + (3,) * 22 + (4,) * 6 + (5,) * 2
PARENTS = ("mother",) * 199 + ("father",) * 166 + ("both",) * 2 + ("other",) * 3
GENDERS = ("girl",) * 262 + ("boy",) * 282 + ("unknown",) * 6
REGIONS = (EUROPEAN_UNION,) * 210 + (AFRICA,) * 73 + (ASIA,) * 37 + (AMERICA,) * 19 + (("GB",),)
TOWARDS_BELGIUM = 30  # with the 210 above 240 of 370 within the Union
HELPED = 9  # of the 73 effective cases closed in 2021: over 12 %
OTHERS = {2019: 2, 2020: 2, 2021: 3}  # worrying by another way than age

# Third party: the children's ages per case, and whether the case is still open when 2021 begins.
THIRD_PARTY: dict[int | None, tuple[tuple[tuple[int, ...], bool], ...]] = {
    None: (((15,), True), ((3,), False)),
    2019: (
        *(((age,), True) for age in (6, 2)),
        *(((age,), False) for age in (7, 1, 9, 12, 4, 8, 13, 14, 15, 16)),
    ),
    2020: (
        *((ages, True) for ages in ((3,), (8,), (10, 12))),
        *(((age,), False) for age in (5, 9, 11, 6, 14, 15, 16)),
    ),
    2021: tuple((ages, True) for ages in ((4, 7), (0,), (2,), (3,), (5,), (8,), (9,), (13,), (14,), (16,))),
}


def international(world: World, people: People) -> None:
    """Open, close and fill all international parental abductions."""
    cases: list[Case] = []
    for status, plan in (("effective", EFFECTIVE), ("preventive", PREVENTIVE)):
        for year, (count, closings) in plan.items():
            opened = world.open_many("international_parental_abduction", year, count)
            for case in opened:
                case.details = {"status": status}
            world.settle(opened, closings, 45 * DAY)
            cases += opened
    late = next(c for c in cases if c.year < 2021 and c.closed and c.closed > year_start(2021))
    late.closed = datetime(2020, 12, 31, 23, 30, tzinfo=UTC)  # half past midnight on 1 January in Brussels
    handled = [case for case in cases if case.open_in(2021)]
    fill(world, people, handled)
    fill(world, people, [case for case in cases if not case.open_in(2021)])
    for year, count in OTHERS.items():
        mark_worrying(world, people, [case for case in cases if case.year == year], count)
    become_effective([case for case in cases if case.year == 2021])
    solved = [c for c in cases if c.details["status"] == "effective" and c.closed]
    for case in [c for c in solved if c.closed and year_start(2021) <= c.closed < year_start(2022)][:HELPED]:
        case.helped = True


def fill(world: World, people: People, cases: list[Case]) -> None:
    """Deal children, parents and countries to cases in the proportions of the 370 handled in 2021."""
    again = -(-len(cases) // len(SIZES))  # as many decks as these cases need, one for those handled in 2021
    sizes, genders = world.shuffled(SIZES * again), world.shuffled(GENDERS * again)
    parents, regions = world.shuffled(PARENTS * again), world.shuffled(REGIONS * again)
    towards = TOWARDS_BELGIUM
    for case in world.shuffled(cases):
        size = sizes.pop()
        case.children = people.family([genders.pop() for _ in range(size)])
        effective = case.details["status"] == "effective"
        to_belgium = effective and towards > 0
        towards -= to_belgium
        case.details |= {
            "abducting_parent": parents.pop(),
            "country": world.rng.choice(EUROPEAN_UNION if to_belgium else regions.pop()),
            "direction": "to_belgium" if to_belgium else "from_belgium",
        }
        if effective:
            case.disappeared = case.opened - timedelta(hours=world.rng.randint(12, 24 * 40))
        people.ages(case, [world.rng.randint(0, 14) for _ in case.children])
        for child in case.children:
            if child.gender == "unknown":
                child.born = None  # hardly anything is known of these children


def mark_worrying(world: World, people: People, cases: list[Case], count: int) -> None:
    """Make some effective abductions worrying: one was at first a runaway under 13, the others by a criterion."""
    able = [
        c for c in cases if c.details["status"] == "effective" and len(c.children) == 1 and c.children[0].born
    ]
    able = [c for c in able if c.opened < year_start(c.year + 1) - 11 * DAY]
    first, *others = world.shuffled(able)[:count]
    people.ages(first, [5])
    first.trigger = "was_young_runaway"
    for case in others:
        case.trigger = "later"


def become_effective(cases: list[Case]) -> None:
    """Let two fears come true: opened as preventive, effective since."""
    able = [c for c in cases if c.details["status"] == "effective" and c.trigger is None]
    able = [c for c in able if c.closed is None and c.opened < year_start(2022) - 11 * DAY]
    for case in able[:2]:
        case.opened_preventive = True
        case.disappeared = case.opened + 30 * HOUR


def third_party(world: World, people: People) -> None:
    """Open and close the abductions by a third party."""
    for year, plan in THIRD_PARTY.items():
        cases = world.open_many("third_party_abduction", year, len(plan))
        for case, (ages, lasting) in zip(cases, plan, strict=True):
            case.disappeared = case.opened - world.rng.randint(1, 20) * HOUR
            case.children = people.family([world.rng.choice(("girl", "boy")) for _ in ages])
            people.ages(case, ages)
            case.trigger = "age" if min(ages) < 13 else None
            closing = 2021 if lasting else max(2019, case.year)
            if not lasting or world.rng.random() < 0.6:
                world.close_in(case, closing, 5 * DAY)
        calm = [
            case
            for case in cases
            if case.trigger is None and case.opened < year_start(case.year + 1) - 11 * DAY
        ]
        if year is not None:
            calm[0].trigger = "opening"
