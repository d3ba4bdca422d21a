"""The map of Belgium by province: the darker, the more."""

from collections.abc import Mapping, Sequence
from math import ceil, cos, log10, radians

from services.geography.outlines import provinces
from services.projections.printed.charts import letters_on
from services.projections.printed.document import Number
from services.projections.printed.drawing import STEPS, WIDTH, WITHHELD, Drawing

_NORTH, _WEST, _SOUTH, _EAST = 51.52, 2.5, 49.48, 6.43
_SQUEEZE = cos(radians(50.5))
"""A degree of longitude here is so much shorter than one of latitude."""
_SCALE = WIDTH / ((_EAST - _WEST) * _SQUEEZE)
_HEIGHT = (_NORTH - _SOUTH) * _SCALE
_LEGEND = (0.0, _HEIGHT - 150)

# Where the name stands: in the middle as one sees it, beside Brussels and not upon it.
_NAMES: Mapping[str, tuple[float, float]] = {
    "10000": (51.26, 4.72),
    "20001": (50.92, 4.82),
    "20002": (50.66, 4.62),
    "30000": (51.02, 3.06),
    "40000": (51.02, 3.78),
    "50000": (50.50, 3.92),
    "60000": (50.53, 5.82),
    "70000": (51.0, 5.42),
    "80000": (49.94, 5.5),
    "90000": (50.26, 4.87),
    "04000": (50.845, 4.365),
}
_BRUSSELS = "04000"
_SHADOW = "#1b4c7c"
"""Hardly lighter than the cover: what is written on it stays readable."""


def steps(most: float) -> list[int]:
    """The upper ends of the steps of the scale, the last at least `most`: 1, 2 or 5 times a power of ten apart."""
    each = max(most / len(STEPS), 1)
    power = 10 ** int(log10(each))
    width = next(n * power for n in (1, 2, 5, 10) if n * power >= each)
    return [ceil(width * (n + 1)) for n in range(len(STEPS))]


def silhouette() -> str:
    """The country as a shape, to be laid under a cover."""
    drawing = Drawing(_HEIGHT)
    for rings in provinces().values():
        drawing.shape([[_on_paper(*point) for point in ring] for ring in rings], _SHADOW, rim=_SHADOW)
    return drawing.svg()


def choropleth(
    values: Mapping[str, Number], names: Mapping[str, str], texts: Mapping[str, str], withheld: str
) -> str:
    """The map. `values` by REFNIS code decide the colour (None: withheld); `names` and `texts` stand on it."""
    drawing = Drawing(_HEIGHT)
    ends = steps(max((value or 0 for value in values.values()), default=0))
    # Brussels lies within Flemish Brabant: what is drawn last lies on top.
    for code in sorted(provinces(), key=_BRUSSELS.__eq__):
        step = _step(values.get(code), ends)
        drawing.shape(
            [[_on_paper(*point) for point in ring] for ring in provinces()[code]],
            WITHHELD if step is None else STEPS[step],
        )
    for code, place in _NAMES.items():
        step = _step(values.get(code), ends)
        ink = letters_on(0 if step is None else step)
        x, y = _on_paper(*place)
        small = code == _BRUSSELS
        drawing.text(x, y, names[code], anchor="middle", size=9 if small else 12, fill=ink)
        drawing.text(
            x,
            y + (12 if small else 17),
            texts[code],
            anchor="middle",
            size=11 if small else 16,
            fill=ink,
            bold=True,
        )
    _explain(drawing, ends, withheld if None in values.values() else "")
    return drawing.svg()


def _explain(drawing: Drawing, ends: Sequence[int], withheld: str) -> None:
    left, top = _LEGEND
    begins = [0, *(end + 1 for end in ends[:-1])]
    for index, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        drawing.box(left + 0.5, top + index * 22, 16, 16, STEPS[index])
        drawing.text(left + 24, top + index * 22 + 13, f"{begin} - {end}", size=13)
    if withheld:
        drawing.box(left + 0.5, top + len(ends) * 22, 16, 16, WITHHELD)
        drawing.text(left + 24, top + len(ends) * 22 + 13, withheld, size=13)


def _step(value: Number, ends: Sequence[int]) -> int | None:
    return None if value is None else next(index for index, end in enumerate(ends) if value <= end)


def _on_paper(lat: float, lon: float) -> tuple[float, float]:
    return (lon - _WEST) * _SQUEEZE * _SCALE, (_NORTH - lat) * _SCALE
