"""The annual report as an Excel workbook. Its library takes 30 MB, so only those load it who make one."""

import io

from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from services.projections.reports import COLUMNS, Report, rows, strip


def as_xlsx(report: Report) -> bytes:
    """The report as an Excel workbook: a sheet with the rows of the other formats, and one with the years side by side."""
    book = Workbook()
    book.remove(book.worksheets[0])
    sheet: Worksheet = book.create_sheet(str(report["year"]))
    sheet.append(COLUMNS)
    for row in rows(report):
        sheet.append(row)
    sheet.column_dimensions["A"].width = 60
    if "beside" in report:
        _side_by_side(book.create_sheet("years"), report)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def _side_by_side(sheet: Worksheet, report: Report) -> None:
    years = {str(report["year"]): strip(report), **report["beside"]}
    columns = {year: {name: value for name, value, *_ in rows(one)} for year, one in years.items()}
    sheet.append(("figure", *years))
    for name in dict.fromkeys(name for column in columns.values() for name in column):
        sheet.append((name, *(column.get(name) for column in columns.values())))
    sheet.column_dimensions["A"].width = 60
