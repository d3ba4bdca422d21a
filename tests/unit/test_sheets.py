"""Screens and posters: the right size, every letter of our languages, nothing over the edge, whatever the text."""

import io
import time

import pytest
from PIL import Image, ImageChops, ImageDraw

from schemas.vocabulary import Language
from services.intake import sheets
from services.intake.domain.media import SHEETS

NAMES = "Éléonore Müller-Groß, Şükrü Yıldız, Łukasz Żółć, Đorđe Čović, Ælfþryð, Ïñigo Œuvré, Ана, Νόα"  # noqa: RUF001 - names as they are


def photo(colour: str, size: tuple[int, int] = (600, 800)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "JPEG")
    return out.getvalue()


def sheet(
    headline: str = "Vermist: Lou", body: str = "Lou, 12 jaar.", count: int = 1, rel: str = "screen"
) -> Image.Image:
    content = sheets.drawn(SHEETS[rel], headline, body, Language.NL, [photo("#00aa00")] * count)
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


@pytest.mark.parametrize("rel", list(SHEETS))
def test_a_sheet_has_its_size_and_shows_the_photo_between_two_bands(rel):
    """Red at the top and at the bottom, the photo uncut in between, nothing written over the margin."""
    image = sheet(rel=rel)
    assert (image.size, image.mode, image.format) == (SHEETS[rel], "RGB", "PNG")
    width, height = image.size
    red = (179, 0, 27)
    assert image.getpixel((2, 2)) == image.getpixel((2, height - 3)) == red
    green = image.getpixel((width // 2, int(height * 0.4)))
    assert green[1] > 150 > green[0] + green[2]
    inked = [image.getpixel((x, y)) for y in range(0, height, 7) for x in (3, width - 4)]
    assert set(inked) <= {red, (255, 255, 255)}


def test_the_same_appeal_gives_the_same_picture():
    """Byte for byte: an entity tag made from it holds in every process."""
    assert sheet().tobytes() == sheet().tobytes()
    assert sheet().tobytes() != sheet(headline="Vermist: Noa").tobytes()


def test_every_letter_of_our_names_is_in_the_font():
    """A letter that is missing would be an empty box on every screen of the country."""
    for weight in ("Bold", "Semibold"):
        font = sheets._font(weight, 40)
        missing = bytes(font.getmask("\U0010ffff"))
        assert not [letter for letter in NAMES if letter.strip() and bytes(font.getmask(letter)) == missing]


@pytest.mark.parametrize(
    ("headline", "body"),
    [
        ("", ""),
        ("L" * 200, "o" * 8000),
        ("Lou " * 50, "voorbeeld " * 800),
        (NAMES, NAMES),
    ],
    ids=["empty", "one-word", "many-words", "names"],
)
def test_any_text_fits_or_is_cut_within_its_margin(headline, body):
    """The longest texts that can be written neither run over the edge nor take long."""
    began = time.process_time()
    image = sheet(headline, body)
    assert time.process_time() - began < 20
    width, height = image.size
    edge = {image.getpixel((x, y)) for y in range(height) for x in (8, width - 9)}
    assert edge <= {(179, 0, 27), (255, 255, 255)}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 20])
def test_every_photo_is_on_the_sheet_uncut(count):
    """As many separate photos as there are children, side by side."""
    image = sheet(count=count).resize((270, 480), Image.Resampling.NEAREST)
    not_red = image.getchannel(0).point(lambda value: 255 * (value < 60))
    mask = ImageChops.multiply(not_red, image.getchannel(1).point(lambda value: 255 * (value > 120)))
    found = 0
    for y in range(mask.height):
        for x in range(mask.width):
            if mask.getpixel((x, y)):
                found += 1
                ImageDraw.floodfill(mask, (x, y), 0)
    assert found == count
