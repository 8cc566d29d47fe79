"""A picture as the encoder wants it: three planes of yuv420p, kept as Pillow images so that C does the copying.

Everything is drawn once as RGB and converted once (BT.709, limited range); from then on a frame costs only the pastes
of what changed. All positions and sizes are even, because chroma has half the resolution.
"""

from __future__ import annotations

from typing import NamedTuple

import av
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

Box = tuple[int, int, int, int]  # left, top, right, bottom; even


def even(value: float) -> int:
    """The nearest even integer, so that chroma samples are whole."""
    return 2 * round(value / 2)


class Planes(NamedTuple):
    """Luma at full size, both chroma planes at half."""

    y: Image.Image
    u: Image.Image
    v: Image.Image

    @classmethod
    def from_rgb(cls, picture: Image.Image) -> Planes:
        """Convert an RGB picture of even size."""
        source: av.VideoFrame = av.VideoFrame.from_image(picture.convert("RGB"))  # type: ignore[no-untyped-call]  # upstream
        frame = source.reformat(
            format="yuv420p",
            src_color_range=ColorRange.JPEG,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        return cls(*(
            Image.frombytes("L", (plane.width, plane.height), bytes(plane), "raw", "L", plane.line_size, 1)
            for plane in frame.planes
        ))  # fmt: skip

    def copy(self) -> Planes:
        """An independent picture."""
        return Planes(self.y.copy(), self.u.copy(), self.v.copy())

    def crop(self, box: Box) -> Planes:
        """An independent piece of the picture."""
        half = halved(box)
        return Planes(self.y.crop(box), self.u.crop(half), self.v.crop(half))

    def paste(self, tile: Planes, left: int, top: int) -> None:
        """Put an opaque tile."""
        self.y.paste(tile.y, (left, top))
        self.u.paste(tile.u, (left // 2, top // 2))
        self.v.paste(tile.v, (left // 2, top // 2))


class Tint(NamedTuple):
    """One colour in three planes, laid over a picture through a mask."""

    y: int
    u: int
    v: int

    @classmethod
    def from_rgb(cls, colour: tuple[int, int, int]) -> Tint:
        """Convert a colour the way `Planes.from_rgb` does."""
        planes = Planes.from_rgb(Image.new("RGB", (16, 16), colour))
        return cls(*(int.from_bytes(plane.crop((0, 0, 1, 1)).tobytes(), "big") for plane in planes))

    def lay(self, picture: Planes, box: Box, mask: Image.Image, half_mask: Image.Image) -> None:
        """Blend the colour into `box` by the masks (255 covers), which have the size of the box and half of it."""
        half = halved(box)
        picture.y.paste(self.y, box, mask)
        picture.u.paste(self.u, half, half_mask)
        picture.v.paste(self.v, half, half_mask)


def halved(box: Box) -> Box:
    """The same box in a chroma plane."""
    left, top, right, bottom = box
    return left // 2, top // 2, right // 2, bottom // 2


def fill(frame: av.VideoFrame, picture: Planes) -> None:
    """Copy the picture into a frame of the same size."""
    for plane, image in zip(frame.planes, picture, strict=True):
        data = image.tobytes()
        if plane.line_size == plane.width:
            plane.update(data)
            continue
        rows = memoryview(plane)
        for row in range(plane.height):
            start = row * plane.line_size
            rows[start : start + plane.width] = data[row * plane.width : (row + 1) * plane.width]
