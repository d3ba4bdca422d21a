"""Photos from outside: decoded under limits, turned upright, and written anew, so that only the picture is left."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor

from PIL import Image, ImageCms, ImageOps

from services.kernel.problems import InvalidError

MAX_BYTES = 10 * 1024 * 1024
"""Of an uploaded file."""
MAX_PIXELS = 50_000_000
"""More than that takes hundreds of megabytes to decode, however small the file is."""
LONGEST_SIDE = 2048
"""Pixels; what is larger is made smaller. Enough for a poster."""
TYPE = "image/jpeg"
_FORMATS = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n"}
"""With what each begins."""
_QUALITY = 88


WORKERS = ThreadPoolExecutor(2, "pictures")
"""Pictures are decoded and drawn here, two at a time: neither the event loop nor the memory is theirs alone."""


async def clean(content: bytes) -> tuple[bytes, int, int]:
    """What `cleaned` gives, of the workers."""
    return await asyncio.get_running_loop().run_in_executor(WORKERS, cleaned, content)


def cleaned(content: bytes) -> tuple[bytes, int, int]:
    """The picture as JPEG without any metadata, with its width and height in pixels.

    Whatever else the file holds (EXIF, GPS, comments, profiles, bytes behind the end) is not copied. Raises
    InvalidError when it is no picture, not whole, or too large.
    """
    if not content.startswith(tuple(_FORMATS.values())):
        raise _refused("picture-type", "the file is no JPEG or PNG: send one of these")
    try:
        with Image.open(io.BytesIO(content), formats=list(_FORMATS)) as image:
            _check_size(image)
            # JPEG can be decoded at half, a quarter, an eighth of its size: less memory, no loss at ours.
            image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
            picture = _upright(image)
    except InvalidError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels() from None
    except Exception:  # a decoder meets hostile files: whatever it trips over is the file's fault
        raise _refused(
            "picture-damaged", "the file is damaged or not whole: save the picture anew and send that"
        ) from None
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=_QUALITY, optimize=True)
    return out.getvalue(), picture.width, picture.height


def _check_size(image: Image.Image) -> None:
    """Before anything is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise _too_many_pixels()


def _too_many_pixels() -> InvalidError:
    millions = MAX_PIXELS // 1_000_000
    return _refused("picture-pixels", f"a picture has at most {millions} million pixels: make it smaller")


def _refused(rule: str, detail: str) -> InvalidError:
    return InvalidError(rule, detail, errors=[{"field": "file", "rule": rule, "detail": detail}])


def _upright(image: Image.Image) -> Image.Image:
    """The pixels alone: upright, in sRGB, on white where they are transparent, not larger than needed."""
    upright = ImageOps.exif_transpose(image)
    upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    coloured = _in_srgb(upright, image.info.get("icc_profile"))
    plain = Image.new("RGB", coloured.size, "white")
    layer = coloured.convert("RGBA")
    plain.paste(layer, mask=layer)
    return plain


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The colours as they were meant: phones write wider profiles, and the profile itself is not kept."""
    if not profile or image.mode != "RGB":
        return image
    try:
        meant = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, meant, ImageCms.createProfile("sRGB")) or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
