"""Every figure of the annual report, once: what it counts, of which source of `reports.sql`, under which condition.

A report and the list of cases behind a figure are both made from these, so what is opened is what was counted. New:
opened in the year of the installation's calendar, by the time of the event. Handled: open at any time in it. Worrying:
assessed as worrying at least once. Kind, details and children: as known at `as_of`, which means recorded by then.
Closed: not open when the year ends. A campaign counts in the year of its release.
"""

from dataclasses import dataclass

from schemas.vocabulary import CaseKind, Criterion, Outcome
from services.projections.regions import REGIONS


@dataclass(frozen=True, slots=True)
class Count:
    """One number. `measure` is one aggregate over the rows of `source` for which `where` holds; all are SQL.

    `empty` is what it is when there is nothing; None leaves it out of the report. `opens` is the condition for the
    cases behind it, where that is another one than what is measured.
    """

    source: str
    where: str = "true"
    measure: str = "count(*)"
    empty: int | None = 0
    opens: str | None = None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A number for each value of the column `by`; `keys` are there even when nothing has them.

    With `whole`, the name of a count, each is a share of that.
    """

    count: Count
    by: str
    keys: tuple[str, ...] = ()
    whole: str | None = None


_ABDUCTED = "kind = 'international_parental_abduction'"
_ABDUCTION = "details.international_parental_abduction"
_MINOR = "details.unaccompanied_minor"
_NEW_UNDEFINED = "new and kind = 'undefined'"
_SOLVED = f"handled and closed and {_ABDUCTED} and status = 'effective'"

_KINDS = tuple(kind.value for kind in CaseKind)
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
"""Provinces by REFNIS code, and the region of Brussels, which is in none."""


def _counted(what: str, measure: str = "count(*)") -> Count:
    return Count("counters", f"type = '{what}' and in_year", measure)


def _median(source: str, column: str, where: str) -> Count:
    return Count(source, where, f"percentile_cont(0.5) within group (order by {column})", None)


COUNTS: dict[str, Count] = {
    **{f"new_cases.{kind}": Count("cases", f"new and kind = '{kind}'") for kind in _KINDS},
    "new_cases.total": Count("cases", "new"),
    "worrying": Count("cases", "new and worrying"),
    "campaigns.public": Count("released", "kind = 'public'"),
    "campaigns.vignette": Count("released", "kind = 'vignette'"),
    "campaigns.child_alert": Count("released", "kind = 'child_alert'", "sum(1)", None),
    "campaigns.total": Count("released"),
    **{f"handled.{kind}": Count("cases", f"handled and kind = '{kind}'") for kind in _KINDS},
    "handled.total": Count("cases", "handled"),
    "details.partner_engagements": Count("engagements", measure="sum(count)"),
    "details.display_partners": Count("counters", "type = 'partners.counted' and last", "max(count)", None),
    "details.volunteer_callouts": _counted("volunteers.called_out"),
    "details.app_activations": _counted("app.activated"),
    "details.hotline_calls": _counted("calls.counted", "sum(count)"),
    "details.reach_people": _counted("reach.reported", "sum(count)"),
    "details.reach_interactions": _counted("reach.reported", "sum(interactions)"),
    "details.runaway.repeat_children": Count("episodes", "episodes >= 2", "count(distinct child_id)"),
    "details.runaway.most_episodes_of_one_child": Count(
        "episodes", measure="max(episodes)", opens="episodes = (select max(episodes) from episodes)"
    ),
    f"{_ABDUCTION}.handled_effective": Count("cases", f"handled and {_ABDUCTED} and status = 'effective'"),
    f"{_ABDUCTION}.handled_preventive": Count("cases", f"handled and {_ABDUCTED} and status = 'preventive'"),
    f"{_ABDUCTION}.new_effective": Count("cases", f"new and {_ABDUCTED} and status = 'effective'"),
    f"{_ABDUCTION}.new_preventive": Count("cases", f"new and {_ABDUCTED} and status = 'preventive'"),
    f"{_ABDUCTION}.opened_earlier": Count("cases", f"handled and not new and {_ABDUCTED}"),
    f"{_ABDUCTION}.closed": Count("cases", _SOLVED),
    f"{_ABDUCTION}.children": Count("children", _ABDUCTED),
    f"{_ABDUCTION}.girls": Count("children", f"{_ABDUCTED} and gender = 'girl'"),
    f"{_ABDUCTION}.boys": Count("children", f"{_ABDUCTED} and gender = 'boy'"),
    f"{_ABDUCTION}.gender_unknown": Count("children", f"{_ABDUCTED} and gender = 'unknown'"),
    "details.undefined.young_adults": Count("cases", f"{_NEW_UNDEFINED} and subject = 'young_adult'"),
    "details.undefined.young_children": Count("cases", f"{_NEW_UNDEFINED} and subject = 'young_child'"),
    "details.undefined.adults_of_limited_self_reliance": Count(
        "cases", f"{_NEW_UNDEFINED} and subject = 'adult_of_limited_self_reliance'"
    ),
    "details.undefined.access_disputes": Count("cases", f"{_NEW_UNDEFINED} and subject = 'access_dispute'"),
    "details.undefined.found_deceased": Count(
        "outcomes", f"{_NEW_UNDEFINED} and outcome = 'found_deceased'", "count(distinct child_id)"
    ),
    "median_hours_to_outcome.total": _median("outcomes", "hours", "in_year"),
    **{f"time_to_{what}.displays": Count("timings", f"what = '{what}'") for what in ("public", "dark")},
    **{
        f"time_to_{what}.median_s": _median("timings", "seconds", f"what = '{what}'")
        for what in ("public", "dark")
    },
    **{
        f"time_to_{what}.slowest_s": Count("timings", f"what = '{what}'", "max(seconds)", None)
        for what in ("public", "dark")
    },
}
"""Figures that are numbers, by name."""

PARTS: dict[str, Count] = {
    "reached": _counted("reach.reported", "count(distinct case_id)"),
    "runaways": Count("episodes", "first"),
    "runaway_girls": Count("episodes", "first and gender = 'girl'"),
    "runaways_under_13": Count("episodes", "first and age_min < 13"),
    "runaways_13_to_15": Count("episodes", "first and age_min between 13 and 15"),
    "runaways_16_to_17": Count("episodes", "first and age_min between 16 and 17"),
    "runaways_worrying": Count("cases", "handled and worrying and kind = 'runaway'"),
    "mothers": Count("cases", f"handled and {_ABDUCTED} and parent = 'mother'"),
    "fathers": Count("cases", f"handled and {_ABDUCTED} and parent = 'father'"),
    "towards_belgium": Count("cases", f"handled and {_ABDUCTED} and towards_belgium"),
    "helped": Count("cases", f"{_SOLVED} and helped"),
    "third_party": Count("children", "kind = 'third_party_abduction'"),
    "third_party_under_10": Count("children", "kind = 'third_party_abduction' and age_max < 10"),
    "undefined_closed": Count("cases", f"{_NEW_UNDEFINED} and closed"),
    "minors": Count("children", "kind = 'unaccompanied_minor'"),
    "minor_boys": Count("children", "kind = 'unaccompanied_minor' and gender = 'boy'"),
    "minors_closed": Count("cases", "handled and closed and kind = 'unaccompanied_minor'"),
}
"""What only serves shares and means."""

QUOTIENTS: dict[str, tuple[str, str]] = {
    "details.reach_people_per_disappearance": ("details.reach_people", "reached"),
    "details.reach_interactions_per_disappearance": ("details.reach_interactions", "reached"),
    "details.runaway.girls_share": ("runaway_girls", "runaways"),
    "details.runaway.under_13_share": ("runaways_under_13", "runaways"),
    "details.runaway.13_to_15_share": ("runaways_13_to_15", "runaways"),
    "details.runaway.16_to_17_share": ("runaways_16_to_17", "runaways"),
    "details.runaway.worrying_share": ("runaways_worrying", "handled.runaway"),
    f"{_ABDUCTION}.closed_share": (f"{_ABDUCTION}.closed", f"{_ABDUCTION}.handled_effective"),
    f"{_ABDUCTION}.mother_share": ("mothers", "handled.international_parental_abduction"),
    f"{_ABDUCTION}.father_share": ("fathers", "handled.international_parental_abduction"),
    f"{_ABDUCTION}.towards_belgium_share": ("towards_belgium", "handled.international_parental_abduction"),
    f"{_ABDUCTION}.helped_share": ("helped", f"{_ABDUCTION}.closed"),
    "details.third_party_abduction.under_10_share": ("third_party_under_10", "third_party"),
    "details.undefined.closed_share": ("undefined_closed", "new_cases.undefined"),
    f"{_MINOR}.boys_share": ("minor_boys", "minors"),
    f"{_MINOR}.closed_share": ("minors_closed", "handled.unaccompanied_minor"),
}
"""Shares and means: what is divided by what."""

_MONTHS = tuple(f"{month:02}" for month in range(1, 13))
_REASONS = (*(criterion.value for criterion in Criterion), "undefined", "override")
_NATIONALITIES = Count("children", "kind = 'unaccompanied_minor'")
_HANDLED_ABDUCTIONS = Count("cases", f"handled and {_ABDUCTED}")

BREAKDOWNS: dict[str, Breakdown] = {
    "worrying_by_criterion": Breakdown(Count("reasons"), "reason", _REASONS),
    "by_province": Breakdown(Count("cases", "new"), "province", (*PROVINCES, "unknown")),
    "by_month": Breakdown(Count("cases", "new"), "month", _MONTHS),
    "outcomes": Breakdown(Count("outcomes", "in_year"), "outcome", tuple(one.value for one in Outcome)),
    "median_hours_to_outcome": Breakdown(_median("outcomes", "hours", "in_year"), "kind"),
    f"{_ABDUCTION}.countries": Breakdown(_HANDLED_ABDUCTIONS, "country"),
    f"{_ABDUCTION}.regions_share": Breakdown(
        _HANDLED_ABDUCTIONS, "region", REGIONS, "handled.international_parental_abduction"
    ),
    f"{_MINOR}.nationalities": Breakdown(_NATIONALITIES, "nationality"),
    f"{_MINOR}.nationalities_share": Breakdown(_NATIONALITIES, "nationality", (), "minors"),
}
"""Figures that have a number for each of several keys: a case may have been worrying by several criteria, and a child
counts once in `outcomes` for each of its cases that came to an end."""

SECTIONS = (
    "new_cases",
    "worrying",
    "worrying_by_criterion",
    "campaigns",
    "handled",
    "by_province",
    "by_month",
    "outcomes",
    "median_hours_to_outcome",
    "time_to_public",
    "time_to_dark",
    "details",
)
"""The parts of a report, in order."""
