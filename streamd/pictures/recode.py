"""A picture from a stranger, made anew: what comes out is a JPEG of ours, of bounded size, and nothing else.

In: bytes of a JPEG, PNG or WebP. Out: a baseline-compatible JPEG without metadata (no place, no camera, no thumbnail of
what was cut away), turned upright, transparent parts on white. The size in pixels is read from the header and refused
before anything is decoded: a few kilobytes can claim gigabytes.

Decoding takes tens of milliseconds: call it in a thread.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, ImageOps

from streamd.errors import InvalidError

FORMATS = ("JPEG", "PNG", "WEBP")
UPLOAD_LIMIT_BYTES = 8 * 1024 * 1024
PIXEL_LIMIT_COUNT = 40_000_000
SIDE_LIMIT_PX = 1_600
_QUALITY = 86


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A JPEG of ours."""

    jpeg: bytes
    width: int
    height: int


def recode(data: bytes, *, side_px: int = SIDE_LIMIT_PX) -> Picture:
    """The picture, at most `side_px` on its longer side. Raises InvalidError."""
    if len(data) > UPLOAD_LIMIT_BYTES:
        raise _unfit(f"it is larger than {UPLOAD_LIMIT_BYTES // 1024 // 1024} MiB")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > PIXEL_LIMIT_COUNT:
                raise _unfit(f"it has more than {PIXEL_LIMIT_COUNT // 1_000_000} million pixels")
            # A JPEG can be decoded at a fraction of its size; the others ignore it.
            image.draft("RGB", (side_px, side_px))
            upright = ImageOps.exif_transpose(image)
            flat = _on_white(upright)
            flat.thumbnail((side_px, side_px))
            return _encoded(flat)
    except InvalidError:
        raise
    except Exception as error:
        # Decoders fail in their own ways (OSError, SyntaxError, struct.error, ValueError …): all mean the same here.
        raise _unfit("it is damaged, or neither JPEG, PNG nor WebP") from error


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGB", layer.size, "white")
        ground.paste(layer, mask=layer.getchannel("A"))
        return ground
    return image.convert("RGB")


def _encoded(image: Image.Image) -> Picture:
    image.info.clear()  # a JPEG's comment would be written again
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY, optimize=True, progressive=True)
    return Picture(jpeg=out.getvalue(), width=image.width, height=image.height)


def _unfit(why: str) -> InvalidError:
    return InvalidError("this picture cannot be used", why=why, fix="send a JPEG, PNG or WebP", code="picture")
