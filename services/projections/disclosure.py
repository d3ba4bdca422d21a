"""What a viewer may learn from a part of the figures: never a number so small that it tells of one child."""

from typing import Any

from services.kernel.problems import ForbiddenError
from services.projections.reports import Report, quotient, strip

SMALLEST = 5
"""Numbers below it are withheld from viewers when a filter is set; the country's own figures are published anyway."""
ROUNDED_TO = 5
"""What is shown with a filter is rounded to a multiple: the country's number minus those of ten provinces is not the eleventh's."""

_OF_SINGLE_CASES = ("median_hours_to_outcome", "time_to_public", "time_to_dark")
_OF_ONE_CHILD = "most_episodes_of_one_child"


def for_viewers(report: Report) -> Report:
    """A filtered report without small numbers: they, and shares made of them, are null; the others are rounded.

    Raises ForbiddenError when the filter leaves so few cases that every number would tell of one child, or when it
    comes with `as_of`: what changed from one moment to the next is one case.
    """
    if "as_of" in report:
        raise ForbiddenError(
            "singles-out", "a filter as of a moment would single out a child: ask without one of them"
        )
    if report["handled"]["total"] < SMALLEST:
        raise ForbiddenError(
            "singles-out",
            f"this filter leaves fewer than {SMALLEST} cases, and would single out a child: ask without it, or ask"
            " a coordinator",
        )
    kept = report | {"rounded_to": ROUNDED_TO} | _figures(strip(report))
    if "beside" in report:
        kept["beside"] = {year: _figures(figures) for year, figures in report["beside"].items()}
    return kept


def _figures(figures: Report) -> Report:
    return {
        section: _withheld(part) if section in _OF_SINGLE_CASES else _without_small(part)
        for section, part in figures.items()
    }


def _withheld(figure: Any) -> Any:
    return {name: _withheld(part) for name, part in figure.items()} if isinstance(figure, dict) else None


def _without_small(figure: Any) -> Any:
    if not isinstance(figure, dict):
        return None if _small(figure) else _rounded(figure)
    if figure.keys() == {"value", "numerator", "denominator"}:
        part, whole = figure["numerator"], figure["denominator"]
        tells = _small(part) or _small(whole) or _small(whole - part)
        return dict.fromkeys(figure) if tells else quotient(_rounded(part), _rounded(whole))
    kept = {name: _without_small(part) for name, part in figure.items()}
    gone = [name for name, part in figure.items() if _small(part)]
    others = [name for name, part in kept.items() if isinstance(part, int) and part and name != "total"]
    if len(gone) == 1 and others:
        # The total minus the others would be near the one withheld: the smallest of the others goes with it.
        kept[min(others, key=lambda name: figure[name])] = None
    return kept | ({_OF_ONE_CHILD: None} if _OF_ONE_CHILD in figure else {})


def _rounded(number: Any) -> Any:
    return None if number is None else ROUNDED_TO * ((int(number) + ROUNDED_TO // 2) // ROUNDED_TO)


def _small(number: Any) -> bool:
    return isinstance(number, int | float) and 0 < number < SMALLEST
