"""Undefined disappearances, and unaccompanied minors who left a reception place."""

from history_model import DAY, HOUR, Case, World, year_start
from history_people import People

# Undefined: cases by subject, of which how many are closed in the year, later, and with a death.
SUBJECTS: dict[int | None, dict[str, int]] = {
    None: {"young_adult": 5, "young_child": 1},
    2019: {"young_adult": 80, "young_child": 11, "adult_of_limited_self_reliance": 7, "access_dispute": 6},
    2020: {"young_adult": 61, "young_child": 8, "adult_of_limited_self_reliance": 5, "access_dispute": 5},
    2021: {"young_adult": 57, "young_child": 8, "adult_of_limited_self_reliance": 5, "access_dispute": 4},
}
UNDEFINED_CLOSED: dict[int | None, dict[int, int]] = {
    None: {2019: 3, 2020: 2},
    2019: {2019: 90, 2020: 9, 2021: 2},
    2020: {2020: 66, 2021: 8},
    2021: {2021: 61},
}
UNDEFINED_DIED = {2019: 2, 2020: 4, 2021: 3}
SUBJECT_AGES = {
    "young_adult": (18, 24),
    "young_child": (3, 9),
    "adult_of_limited_self_reliance": (28, 61),
    "access_dispute": (2, 11),
}

# Unaccompanied minors: 359 handled in 2020 and 384 in 2021 follow from these.
MINORS: dict[int | None, tuple[int, dict[int, int]]] = {
    None: (207, {2019: 40, 2020: 40, 2021: 34}),
    2019: (113, {2019: 20, 2020: 23, 2021: 18}),
    2020: (99, {2020: 10, 2021: 15}),
    2021: (98, {2021: 10}),
}
# Of the 384 handled in 2021: 8 pairs of brothers, and the others one by one.
BROTHERS = 8
MINOR_GENDERS = ("boy",) * 298 + ("girl",) * 78
NATIONALITIES = (*("MA",) * 109, *("AF",) * 98, *("DZ", "ER", "SO", "SY", "GN", "TN", "VN", "IQ") * 21, "SD")
MINOR_OTHERS = {2019: 1, 2020: 2, 2021: 3}


def undefined(world: World, people: People) -> None:
    """Open and close the disappearances whose nature is not known: worrying from the start."""
    for year, subjects in SUBJECTS.items():
        cases: list[Case] = []
        for subject, count in subjects.items():
            opened = world.open_many("undefined", year, count)
            cases += opened
            for case in opened:
                case.details = {"subject": subject}
                case.trigger = "kind"
                case.disappeared = case.opened - world.rng.randint(3, 72) * HOUR
                case.children = [people.one(world.rng.choice(("girl", "boy")))]
                people.ages(case, [world.rng.randint(*SUBJECT_AGES[subject])])
        world.settle(cases, UNDEFINED_CLOSED[year], 3 * DAY)
        if year is not None:
            some_were_runaways(cases)
            adults = [
                c for c in cases if c.details["subject"] == "young_adult" and c.closed and c.year == year
            ]
            for case in adults[-UNDEFINED_DIED[year] :]:
                case.outcome = "found_deceased"


def some_were_runaways(cases: list[Case]) -> None:
    """Let two young adults be opened as runaways and reclassified before the year is over."""
    adults = [case for case in cases if case.details["subject"] == "young_adult"]
    for case in [case for case in adults if case.opened < year_start(case.year + 1) - 11 * DAY][:2]:
        case.opened_as = "runaway"


def unaccompanied_minors(world: World, people: People) -> None:
    """Open, close and fill the cases of unaccompanied minors."""
    cases: list[Case] = []
    for year, (count, closings) in MINORS.items():
        opened = world.open_many("unaccompanied_minor", year, count)
        world.settle(opened, closings, 20 * DAY)
        cases += opened
    fill_minors(world, people, [case for case in cases if case.open_in(2021)])
    fill_minors(world, people, [case for case in cases if not case.open_in(2021)])
    for year, count in MINOR_OTHERS.items():
        able = [c for c in cases if c.year == year and len(c.children) == 1 and c.children[0].born]
        able = [c for c in able if c.opened < year_start(year + 1) - 11 * DAY]
        young, *others = able[:count]
        people.ages(young, [12])
        young.trigger = "age"
        for case in others:
            case.trigger = "later"


def fill_minors(world: World, people: People, cases: list[Case]) -> None:
    """Deal gender and nationality in the proportions of the 384 handled in 2021."""
    genders, nationalities = world.shuffled(MINOR_GENDERS), world.shuffled(NATIONALITIES)
    for index, case in enumerate(world.shuffled(cases)):
        case.disappeared = case.opened - world.rng.randint(4, 96) * HOUR
        brothers = index < BROTHERS
        case.children = people.family(["boy", "boy"] if brothers else [genders.pop()])
        nationality = ("MA" if index % 2 else "AF") if brothers else nationalities.pop()
        people.ages(case, [world.rng.randint(14, 17) for _ in case.children])
        for child in case.children:
            child.nationality = nationality
            if world.rng.random() < 0.25:
                child.born, child.estimate = None, world.rng.choice(((14, 16), (15, 17), (16, 17)))
