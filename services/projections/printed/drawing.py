"""What charts are drawn with: elements of SVG, colours, and text that is as wide as it is thought to be."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

SVG = "http://www.w3.org/2000/svg"
WIDTH = 640
"""Of every chart, in its own units; a page makes it as wide as there is room."""
FONT = "Source Sans Pro, Segoe UI, Roboto, Helvetica, Arial, sans-serif"

INK, PAPER, QUIET, RULE = "#16202b", "#ffffff", "#4a5865", "#c9d2da"
YEARS = ("#14406b", "#4f8fc0", "#c4daec")
"""The year, and the two before it: told apart by lightness, so by every eye and on every printer."""
STEPS = ("#e8f0f7", "#bdd5ea", "#86b4da", "#2f6f9f", "#14406b")
"""From few to many; the first three carry dark letters, the others white ones."""
DARK_STEPS = 3
WITHHELD = "#e3e3e3"


class Drawing:
    """An SVG that grows downwards. It holds no style and no script, so every content security policy lets it be."""

    def __init__(self, height: float) -> None:
        self.root = ET.Element(
            "svg",
            {
                "xmlns": SVG,
                "viewBox": f"0 0 {WIDTH} {number(height)}",
                "width": str(WIDTH),
                "height": number(height),
                "font-family": FONT,
                "font-size": "14",
                "fill": INK,
            },
        )

    def box(self, left: float, top: float, width: float, height: float, fill: str) -> None:
        """A rectangle; its rim keeps a light one visible on paper."""
        place = {"x": left, "y": top, "width": width, "height": height}
        ET.SubElement(
            self.root, "rect", {k: number(v) for k, v in place.items()} | {"fill": fill, "stroke": YEARS[0]}
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, stroke: str = RULE) -> None:
        """A thin line."""
        place = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
        ET.SubElement(self.root, "line", {k: number(v) for k, v in place.items()} | {"stroke": stroke})

    def shape(self, rings: Sequence[Sequence[tuple[float, float]]], fill: str, rim: str = PAPER) -> None:
        """An area of one or more parts."""
        path = "".join("M" + "L".join(f"{number(x)} {number(y)}" for x, y in ring) + "Z" for ring in rings)
        ET.SubElement(
            self.root,
            "path",
            {"d": path, "fill": fill, "stroke": rim, "stroke-width": "1.2", "stroke-linejoin": "round"},
        )

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        anchor: str = "start",
        size: float = 14,
        fill: str = INK,
        bold: bool = False,
    ) -> None:
        """A line of text on its baseline. `anchor`: start, middle or end, as in SVG."""
        look = {
            "x": number(x),
            "y": number(y),
            "text-anchor": anchor,
            "font-size": number(size),
            "fill": fill,
        }
        ET.SubElement(self.root, "text", look | ({"font-weight": "600"} if bold else {})).text = text

    def legend(self, names: Sequence[str], fills: Sequence[str], top: float, left: float = 0) -> None:
        """Small boxes with what each colour means, in one line."""
        for name, fill in zip(names, fills, strict=False):
            self.box(left, top, 12, 12, fill)
            self.text(left + 18, top + 11, name, size=13)
            left += 34 + 7.5 * len(name)

    def svg(self) -> str:
        """The drawing written out."""
        return ET.tostring(self.root, encoding="unicode")


def number(value: float) -> str:
    """A coordinate with as many digits as one sees."""
    return f"{value:.1f}".rstrip("0").rstrip(".")
