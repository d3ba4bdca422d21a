"""A few curves as one SVG, drawn with nothing but text."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, MARGIN = 420, 240, 48


@dataclass(frozen=True)
class Curve:
    """Points from left to right; both axes begin at zero."""

    title: str
    points: Sequence[tuple[float, float]]


def svg(curves: Sequence[Curve]) -> str:
    """The curves beside each other."""
    width = WIDTH * len(curves)
    panels = "".join(_panel(curve, WIDTH * n) for n, curve in enumerate(curves))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" font-family="sans-serif"'
        f' font-size="11"><rect width="{width}" height="{HEIGHT}" fill="white"/>{panels}</svg>\n'
    )


def _panel(curve: Curve, left: int) -> str:
    most_x = max(x for x, _ in curve.points)
    most_y = max(y for _, y in curve.points) * 1.15 or 1
    wide, high = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN
    places = [
        (left + MARGIN + wide * x / most_x, HEIGHT - MARGIN - high * y / most_y) for x, y in curve.points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="#3b6ea5"/>' for x, y in places)
    bottom, side = HEIGHT - MARGIN, left + MARGIN
    return (
        f'<text x="{side}" y="{MARGIN - 16}">{escape(curve.title)}</text>'
        f'<path d="M{side} {MARGIN}V{bottom}H{left + WIDTH - MARGIN}" fill="none" stroke="#888"/>'
        f'<polyline points="{line}" fill="none" stroke="#3b6ea5" stroke-width="1.5"/>{dots}'
        f'<text x="{side - 6}" y="{bottom}" text-anchor="end">0</text>'
        f'<text x="{side - 6}" y="{MARGIN + 4}" text-anchor="end">{most_y:.3g}</text>'
        f'<text x="{left + WIDTH - MARGIN}" y="{bottom + 16}" text-anchor="end">{most_x:g}</text>'
    )
