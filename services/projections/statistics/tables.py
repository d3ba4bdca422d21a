"""What is published for everybody: each table once, with what it counts and how its numbers add up.

A table breaks a number down by one thing alone. Two things at once (kinds by province, months by kind) would make cells
of single children, and sums that cross: see `suppression`.
"""

from dataclasses import dataclass

from schemas.vocabulary import CampaignKind, CaseKind, Criterion, Gender, Outcome
from services.projections.figures import BREAKDOWNS, COUNTS, PROVINCES, Breakdown, Count

_CASES = Count("cases", "new")
_CHILDREN = Count("people", "new")
_CAMPAIGNS = Count("released")
_OUTCOMES = Count("outcomes", "in_year")
_AGE = """case when age_min is null then 'unknown' when age_min < 13 then 'under_13' when age_min <= 15 then '13_to_15'
    when age_min <= 17 then '16_to_17' else '18_and_over' end"""
AGES = ("18_and_over", "unknown", "16_to_17", "13_to_15", "under_13")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of each year. `unit` is what is counted; `total`: its categories add up to the total of that table.

    The categories stand in the order in which they are withheld for the sake of a small one: those first that most
    people miss least.
    """

    name: str
    unit: str
    counts: Breakdown
    total: str | None = None

    @property
    def categories(self) -> tuple[str, ...]:
        """Its rows, but for the total."""
        return self.counts.keys


NEW_CASES = "new_cases"
"""The number of which there are quarters and months too."""
CHILDREN = "children"
TOTALS = {
    NEW_CASES: _CASES,
    CHILDREN: _CHILDREN,
    "outcomes": _OUTCOMES,
    "campaigns": _CAMPAIGNS,
}
"""What tables break down, by name."""
MONTHS = Breakdown(_CASES, "month", BREAKDOWNS["by_month"].keys)

TABLES = (
    Table(
        "new_cases_by_kind",
        "case",
        Breakdown(
            _CASES,
            "kind",
            (
                CaseKind.UNDEFINED,
                CaseKind.UNACCOMPANIED_MINOR,
                CaseKind.THIRD_PARTY_ABDUCTION,
                CaseKind.INTERNATIONAL_PARENTAL_ABDUCTION,
                CaseKind.RUNAWAY,
            ),
        ),
        NEW_CASES,
    ),
    Table(
        "new_cases_by_assessment",
        "case",
        Breakdown(
            _CASES,
            "case when worrying then 'worrying' else 'not_worrying' end",
            ("not_worrying", "worrying"),
        ),
        NEW_CASES,
    ),
    Table("new_cases_by_province", "case", Breakdown(_CASES, "province", ("unknown", *PROVINCES)), NEW_CASES),
    Table(
        "worrying_by_criterion",
        "case",
        # Cases of unknown nature are told by their kind; a second number of nearly the same would tell them apart.
        Breakdown(Count("reasons"), "reason", (*Criterion, "override")),
    ),
    Table(
        "children_by_gender",
        "child",
        Breakdown(
            _CHILDREN,
            "coalesce(gender, 'unknown')",
            (Gender.UNKNOWN, Gender.OTHER, Gender.BOY, Gender.GIRL),
        ),
        CHILDREN,
    ),
    Table("children_by_age", "child", Breakdown(_CHILDREN, _AGE, AGES), CHILDREN),
    Table(
        "outcomes_by_outcome",
        "child",
        Breakdown(
            _OUTCOMES,
            "outcome",
            (
                Outcome.MISUNDERSTANDING,
                Outcome.LOCATED_ABROAD,
                Outcome.BROUGHT_BACK,
                Outcome.ACCIDENT,
                Outcome.FOUND_DECEASED,
                Outcome.FOUND_SAFE,
                Outcome.RETURNED,
            ),
        ),
        "outcomes",
    ),
    Table(
        "campaigns_by_kind",
        "campaign",
        Breakdown(_CAMPAIGNS, "kind", (CampaignKind.VIGNETTE, CampaignKind.CHILD_ALERT, CampaignKind.PUBLIC)),
        "campaigns",
    ),
)

ACTIVITY = {
    name: COUNTS[f"details.{name}"] for name in ("hotline_calls", "reach_people", "reach_interactions")
}
"""What tells of nobody, and is never withheld."""
