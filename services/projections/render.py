"""The annual report for a terminal: the tables of the printed one."""

from rich.table import Table

from services.projections.printed.document import Cell, Document


def annual_table(document: Document) -> Table:
    """All tables of a report as one, years side by side; a figure that a year does not have is a dash."""
    table = Table(title=document.title, title_justify="left")
    # In a narrow terminal everything breaks where it must; a number that never did would take the room of its name.
    table.add_column(document.words["figure"], overflow="fold")
    for year in document.years:
        table.add_column(year, justify="right")
    for part in document.tables():
        table.add_section()
        table.add_row(part.caption, style="bold")
        for row in part.rows:
            table.add_row(f"  {row.label}", *(_cell(cell) for cell in row.cells))
    return table


def _cell(cell: Cell) -> str:
    return f"{cell.text} ({cell.parts})" if cell.parts else cell.text
