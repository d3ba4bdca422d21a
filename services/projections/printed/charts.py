"""Bars and columns. Each is drawn from the rows of a table, so that it cannot show another number than the table does."""

from collections.abc import Sequence

from services.projections.printed.document import Row
from services.projections.printed.drawing import DARK_STEPS, INK, PAPER, QUIET, WIDTH, YEARS, Drawing

_MOST_YEARS = len(YEARS)
"""More bars side by side than that say nothing; the table has every year."""
_BAR, _GAP, _LABEL = 17.0, 16.0, 20.0
_ROOM = 150.0
"""Kept free at the end of the longest bar for its number."""


def bars(rows: Sequence[Row], years: Sequence[str]) -> str:
    """Bars that lie, one for each of the last three years, with the name above and the number at the end."""
    shown = years[:_MOST_YEARS]
    most = max((cell.value or 0 for row in rows for cell in row.cells), default=0) or 1
    bar = _BAR if len(shown) == 1 else _BAR - 2
    each = _LABEL + bar * len(shown) + _GAP
    head = 28.0 if len(shown) > 1 else 0.0
    drawing = Drawing(head + each * len(rows))
    if head:
        drawing.legend(shown, YEARS, 2)
    for index, row in enumerate(rows):
        top = head + index * each
        drawing.text(0, top + 15, row.label)
        for place, cell in enumerate(row.cells[:_MOST_YEARS]):
            y = top + _LABEL + place * bar
            length = (WIDTH - _ROOM) * (cell.value or 0) / most
            if length:
                drawing.box(0.5, y + 0.5, max(length, 1.5), bar - 2, YEARS[place])
            drawing.text(length + 8, y + bar - 4, cell.text, size=13, bold=place == 0, fill=_ink(place))
    return drawing.svg()


def columns(rows: Sequence[Row], years: Sequence[str], names: Sequence[str]) -> str:
    """Columns that stand, one for each row: the year's in front, with its number on top, earlier years beside it."""
    shown = years[:_MOST_YEARS]
    height, head = 230.0, 34.0
    most = max((cell.value or 0 for row in rows for cell in row.cells), default=0) or 1
    drawing = Drawing(head + height + 34)
    drawing.legend(shown, YEARS, 2)
    step = WIDTH / max(len(rows), 1)
    width = step * 0.8 / len(shown)
    ground = head + height
    for index, (row, name) in enumerate(zip(rows, names, strict=True)):
        left = index * step + step * 0.1
        # The oldest first, as time goes.
        for place in reversed(range(len(row.cells[:_MOST_YEARS]))):
            cell = row.cells[place]
            tall = (height - 20) * (cell.value or 0) / most
            x = left + (len(shown) - 1 - place) * width
            if tall:
                drawing.box(x, ground - tall, width - 1, tall, YEARS[place])
            if place == 0:
                drawing.text(
                    x + width / 2, ground - tall - 6, cell.text, anchor="middle", size=12.5, bold=True
                )
        drawing.text(left + step * 0.4, ground + 20, name, anchor="middle", size=13)
    drawing.line(0, ground + 0.5, WIDTH, ground + 0.5, stroke=QUIET)
    return drawing.svg()


def letters_on(step: int) -> str:
    """The colour of letters on a step of the scale."""
    return INK if step < DARK_STEPS else PAPER


def _ink(place: int) -> str:
    return INK if place == 0 else QUIET
