"""The annual report for a terminal."""

from typing import Any

from rich.table import Table

from services.projections.reports import Report, rows


def annual_table(reports: list[Report]) -> Table:
    """One or more reports side by side, in the order given; a figure that a year does not have stays empty."""
    table = Table(title="Annual report", title_justify="left")
    table.add_column("figure", no_wrap=True)
    reports = [alone for report in reports for alone in with_years_beside(report)]
    columns = [{name: _cell(*figure) for name, *figure in rows(report)} for report in reports]
    for report in reports:
        table.add_column(str(report["year"]), justify="right")
    names = dict.fromkeys(name for column in columns for name in column)
    section = ""
    for name in names:
        if section and name.partition(".")[0] != section:
            table.add_section()
        section = name.partition(".")[0]
        table.add_row(name, *(column.get(name, "") for column in columns))
    return table


def with_years_beside(report: Report) -> list[Report]:
    """A report and those beside it, each by itself."""
    earlier = report.get("beside", {})
    return [
        {name: part for name, part in report.items() if name != "beside"},
        *({"year": int(year)} | figures for year, figures in earlier.items()),
    ]


def _cell(value: Any, numerator: Any, denominator: Any) -> str:
    if value is None:
        return "-"
    if denominator is None:
        return f"{value:,}"
    if value <= 1:
        return f"{value:.1%} ({numerator:,}/{denominator:,})"
    return f"{value:,.0f} ({numerator:,}/{denominator:,})"
