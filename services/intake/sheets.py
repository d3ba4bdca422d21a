"""Pictures drawn from an appeal for those who show a picture and nothing else: a portrait screen and a poster.

The face first, then what to read, then the number to call. Set in Source Sans, which knows the letters of every
language of Europe. Pure: the same appeal gives the same picture.
"""

import io
from collections.abc import Sequence
from functools import cache
from importlib import resources
from math import ceil, sqrt

from PIL import Image, ImageDraw, ImageFont, ImageOps

from schemas.vocabulary import Language

NUMBER = "116 000"
CALL = {
    Language.NL: "Bel gratis, dag en nacht",
    Language.FR: "Appel gratuit, jour et nuit",
    Language.DE: "Kostenlos, Tag und Nacht",
    Language.EN: "Free call, day and night",
}
INK, PAPER, ALARM = "#141414", "#ffffff", "#b3001b"
"""White on this red has a contrast above 7 to 1, ink on paper more: readable from afar, and for weak eyes."""

_HEAD, _PHOTOS, _BODY = 0.16, 0.52, 0.17
"""Shares of the height; what is left is for the number."""
_MARGIN = 0.05
"""Of the width."""
_LEADING = 1.12
_SMALLEST = 16


def drawn(
    size: tuple[int, int], headline: str, body: str, language: Language, photos: Sequence[bytes]
) -> bytes:
    """A PNG of `size` pixels: headline, photos side by side, body, and 116 000."""
    width, height = size
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    margin = round(width * _MARGIN)
    head, faces, words = (round(height * share) for share in (_HEAD, _PHOTOS, _BODY))
    pen.rectangle((0, 0, width, head), fill=ALARM)
    inside, air = width - 2 * margin, margin // 3
    _write(pen, headline, (margin, air, inside, head - 2 * air), "Bold", PAPER, largest=head // 3)
    _place(sheet, photos, (margin, head + margin // 2, inside, faces - margin))
    body_box = margin, head + faces + air, inside, words - 2 * air
    _write(pen, body, body_box, "Semibold", INK, largest=height // 28)
    foot = head + faces + words
    pen.rectangle((0, foot, width, height), fill=ALARM)
    _number(pen, language, (margin, foot, inside, height - foot))
    out = io.BytesIO()
    sheet.save(out, "PNG", compress_level=3)
    return out.getvalue()


Box = tuple[int, int, int, int]
"""Left, top, width, height."""


def _number(pen: ImageDraw.ImageDraw, language: Language, box: Box) -> None:
    left, top, width, height = box
    tall = round(height * 0.72)
    _write(pen, NUMBER, (left, top, width, tall), "Bold", PAPER, largest=tall)
    line = (left, top + round(height * 0.66), width, round(height * 0.3))
    _write(pen, CALL[language], line, "Semibold", PAPER, largest=height // 5)


def _place(sheet: Image.Image, photos: Sequence[bytes], box: Box) -> None:
    """Each photo as large as it fits, uncut: a face is recognised by all of it."""
    left, top, width, height = box
    columns = ceil(sqrt(len(photos))) if photos else 1
    rows = ceil(len(photos) / columns)
    gap = width // 40
    for index, content in enumerate(photos):
        row, column = divmod(index, columns)
        in_row = min(columns, len(photos) - row * columns)
        cell = (width - gap * (in_row - 1)) // in_row, (height - gap * (rows - 1)) // rows
        with Image.open(io.BytesIO(content)) as photo:
            fitted = ImageOps.contain(photo, cell, Image.Resampling.LANCZOS)
        x = left + column * (cell[0] + gap) + (cell[0] - fitted.width) // 2
        y = top + row * (cell[1] + gap) + (cell[1] - fitted.height) // 2
        sheet.paste(fitted, (x, y))


def _write(pen: ImageDraw.ImageDraw, text: str, box: Box, weight: str, colour: str, *, largest: int) -> None:
    """The text centred in the box, in the largest letters that fit; what still does not fit is cut with an ellipsis."""
    left, top, width, height = box
    words = _measured(text, weight)
    size = largest
    while size > _SMALLEST and not _fits(words, width / size, height / size):
        size -= max(1, size // 20)
    lines = _lines(words, width / size)
    room = max(1, int(height / (size * _LEADING)))
    if len(lines) > room:
        lines = [*lines[: room - 1], f"{lines[room - 1]} …"]
    step = size * _LEADING
    y = top + (height - step * len(lines)) / 2 + step / 2
    for number, line in enumerate(lines):
        pen.text((left + width / 2, y + number * step), line, colour, _font(weight, size), anchor="mm")


Word = tuple[str, float]
"""A word and its width, in heights of its letters' size: measured once, it holds for every size."""
_MEASURE = 100
_SPACE = 0.25


def _measured(text: str, weight: str) -> list[Word]:
    font = _font(weight, _MEASURE)
    return [(word, font.getlength(word) / _MEASURE) for word in text.split()]


def _fits(words: Sequence[Word], width: float, height: float) -> bool:
    return all(length <= width for _, length in words) and len(_lines(words, width)) * _LEADING <= height


def _lines(words: Sequence[Word], width: float) -> list[str]:
    lines, used = [""], 0.0
    for word, length in (piece for one in words for piece in _pieces(one, width)):
        if lines[-1] and used + _SPACE + length > width:
            lines.append("")
            used = 0.0
        used += length + (_SPACE if lines[-1] else 0.0)
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _pieces(word: Word, width: float) -> list[Word]:
    """A word that is wider than its line even in the smallest letters is broken anywhere."""
    text, length = word
    if length <= width:
        return [word]
    most = max(1, int(len(text) * width / length))
    return [(text[start : start + most], length * most / len(text)) for start in range(0, len(text), most)]


@cache
def _face(weight: str) -> bytes:
    return (resources.files("font_source_sans_pro") / "files" / f"SourceSansPro-{weight}.ttf").read_bytes()


@cache
def _font(weight: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(io.BytesIO(_face(weight)), size)
