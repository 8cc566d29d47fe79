"""The test card: what is on air before the first encoder comes.

A title, a clock to the millisecond, a ring whose disc lights up with the beep on every full second, translucent waves
drifting below, a row of reference colours, and the strip that machines read. `TestCard.draw` returns one picture that
it keeps and changes in place: take from it what you need before the next call.

Text is set in the face that Pillow carries, so that the card looks the same on a machine without fonts.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from PIL import Image, ImageDraw, ImageFont

from streamd.programme import strip
from streamd.programme.planes import Box, Planes, Tint, even

Colour = tuple[int, int, int]

_NIGHT, _DUSK = (9, 13, 32), (38, 30, 84)  # the background, from top to bottom
_PANEL, _PANEL_EDGE = (14, 19, 42), (52, 60, 104)
_WHITE, _MUTED, _FAINT = (244, 246, 255), (164, 172, 208), (94, 102, 146)
_BLACK = (0, 0, 0)
_CORAL, _AMBER, _MINT = (255, 107, 107), (255, 190, 92), (82, 224, 196)
_WAVES: tuple[tuple[Colour, float, float, float, int], ...] = (
    # colour, opacity, waves across the picture, height of the crest in the band, pixels a second at 1280
    ((74, 92, 214), 0.55, 2, 0.30, 120),
    ((138, 84, 222), 0.45, 3, 0.24, -180),
    ((52, 196, 204), 0.35, 2, 0.34, 300),
)
_SWATCHES: tuple[Colour, ...] = (
    (191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191),
    (16, 16, 16), (54, 54, 54), (92, 92, 92), (130, 130, 130), (168, 168, 168), (206, 206, 206), (244, 244, 244),
)  # fmt: skip
_FLASH_MS = 100  # as long as the beep
_AFTERGLOW_MS = 300
_SMOOTHING = 2  # shapes are drawn this much larger and scaled down


class TestCard:
    """Draws frame `number` of an endless programme at `fps`; frame 0 is the Unix epoch.

    `width` and `height` are even; the layout is made for 16:9 and scales.
    """

    __test__ = False  # not a test, whatever pytest thinks of the name

    def __init__(self, *, width: int, height: int, fps: int) -> None:
        self.fps, self.width, self.height = fps, width, height
        self._scale_x, self._scale_y = width / strip.REFERENCE_WIDTH, height / strip.REFERENCE_HEIGHT
        self._clock_shown = ""
        self._date_shown = ""
        self._strip_box = strip.rectangle(width, height)
        self._draw_still_parts()
        self._draw_moving_parts()

    def utc_ms(self, number: int) -> int:
        """The moment that frame `number` belongs to, and that its strip says."""
        return number * 1000 // self.fps

    def draw(self, number: int) -> Planes:
        """The picture of frame `number`."""
        utc_ms = self.utc_ms(number)
        moment = datetime.fromtimestamp(utc_ms // 1000, UTC)
        self._show_date(f"{moment:%A} {moment.day} {moment:%B %Y}   ·   UTC")
        self._show_clock(f"{moment:%H:%M:%S}.{utc_ms % 1000:03d}")
        self._picture.paste(self._ring_tiles[number % self.fps], self._ring_box[0], self._ring_box[1])
        self._show_waves(utc_ms)
        self._show_strip(utc_ms)
        return self._picture

    # -- drawn once ----------------------------------------------------------------------------------------------------

    def _draw_still_parts(self) -> None:
        still = self._background()
        pen = ImageDraw.Draw(still)
        self._draw_heading(still, pen)
        panel = self._box(64, 184, 1216, 428)
        self._round(still, panel, radius=28 * self._scale_y, edge=_PANEL_EDGE, fill=_PANEL)
        for index, colour in enumerate(_SWATCHES):
            left = 64 + index * (1152 / len(_SWATCHES))
            pen.rectangle(self._box(left, 620, left + 1152 / len(_SWATCHES), 634), fill=colour)
        quiet = self._box(strip.LEFT - 16, strip.TOP - 8, strip.LEFT + strip.WIDTH + 16, strip.TOP + strip.HEIGHT + 8)
        self._round(still, quiet, radius=8 * self._scale_y, edge=_BLACK, fill=_BLACK)
        self._wave_box = self._box(0, 448, 1280, 604)
        self._ring_box = self._box(980, 206, 1180, 406)
        self._date_box = self._box(112, 360, 912, 404)
        self._still = still
        self._picture = Planes.from_rgb(still)
        self._wave_background = self._picture.crop(self._wave_box)

    def _draw_moving_parts(self) -> None:
        self._glyph_height = even(150 * self._scale_y)
        self._glyph_top = even(204 * self._scale_y)
        self._digit_width, self._point_width = even(82 * self._scale_x), even(38 * self._scale_x)
        font = self._font(140)
        self._glyphs = {
            glyph: self._glyph_tile(glyph, font, self._digit_width if glyph.isdigit() else self._point_width)
            for glyph in "0123456789:."
        }
        self._ring_tiles = self._draw_ring()
        self._wave_masks = [self._wave_mask(opacity, count, crest) for _, opacity, count, crest, _ in _WAVES]
        self._wave_tints = [Tint.from_rgb(colour) for colour, *_ in _WAVES]

    def _background(self) -> Image.Image:
        column = Image.new("RGB", (1, self.height))
        for row in range(self.height):
            share = row / (self.height - 1)
            column.putpixel((0, row), _mix(_NIGHT, _DUSK, share * share))
        return column.resize((self.width, self.height))

    def _draw_heading(self, still: Image.Image, pen: ImageDraw.ImageDraw) -> None:
        x, y = 64 * self._scale_x, 44 * self._scale_y
        mark = even(76 * self._scale_y)
        still.paste(self._logo(mark), (even(x), even(y)))
        pen.text((x + mark + 22 * self._scale_x, y - 10 * self._scale_y), "streamd", _WHITE, self._font(72))
        line = "Synthetic programme: push with your encoder and this picture gives way to yours"
        pen.text((x, 156 * self._scale_y), line, _MUTED, self._font(23), anchor="ls")
        self._draw_capsule(still, pen, "TEST SIGNAL")

    def _draw_capsule(self, still: Image.Image, pen: ImageDraw.ImageDraw, label: str) -> None:
        right, middle, pad = 1216 * self._scale_x, 82 * self._scale_y, 22 * self._scale_y
        font = self._font(22)
        left = right - pen.textlength(label, font) - 3 * pad
        self._round(still, (left, middle - pad, right, middle + pad), radius=pad, edge=_PANEL_EDGE, fill=_PANEL)
        dot = (left + 0.8 * pad, middle - 0.3 * pad, left + 1.4 * pad, middle + 0.3 * pad)
        self._round(still, dot, radius=0.3 * pad, edge=_CORAL, fill=_CORAL)
        pen.text((right - pad, middle), label, _WHITE, font, anchor="rm")

    def _round(
        self,
        still: Image.Image,
        box: tuple[float, float, float, float],
        *,
        radius: float,
        edge: Colour,
        fill: Colour,
    ) -> None:
        """A rounded rectangle, drawn large over what is there and scaled down: Pillow's own edges are jagged."""
        left, top, right, bottom = (round(side) for side in box)
        size = (right - left, bottom - top)
        large = still.crop((left, top, right, bottom)).resize((size[0] * _SMOOTHING, size[1] * _SMOOTHING))
        ImageDraw.Draw(large).rounded_rectangle(
            (0, 0, large.width - 1, large.height - 1), radius * _SMOOTHING, fill, edge, 2 * _SMOOTHING
        )
        still.paste(large.resize(size, Image.Resampling.LANCZOS), (left, top))

    def _logo(self, size: int) -> Image.Image:
        """A play mark in a rounded square."""
        large = Image.new("RGB", (size * 4, size * 4), _NIGHT)
        pen = ImageDraw.Draw(large)
        side = size * 4 - 1
        pen.rounded_rectangle((0, 0, side, side), radius=side * 0.26, fill=_CORAL)
        pen.polygon([(side * 0.38, side * 0.27), (side * 0.38, side * 0.73), (side * 0.76, side * 0.5)], fill=_WHITE)
        return large.resize((size, size), Image.Resampling.LANCZOS)

    def _glyph_tile(self, glyph: str, font: ImageFont.FreeTypeFont, width: int) -> Planes:
        tile = Image.new("RGB", (width, self._glyph_height), _PANEL)
        baseline = self._glyph_height * 0.82
        ImageDraw.Draw(tile).text((width / 2, baseline), glyph, _WHITE, font, anchor="ms")
        return Planes.from_rgb(tile)

    def _draw_ring(self) -> list[Planes]:
        """One tile for every frame of a second: the hand goes round once, the disc is lit at the start."""
        width, height = self._ring_box[2] - self._ring_box[0], self._ring_box[3] - self._ring_box[1]
        side = 2 * max(width, height)
        comet = Image.new("L", (side, side))
        pen = ImageDraw.Draw(comet)
        edge, thickness = side * 0.05, round(side * 0.055)
        ring = (edge, edge, side - edge, side - edge)
        for degrees in range(270):
            pen.arc(ring, degrees - 360, degrees - 358, round(255 * (degrees / 269) ** 2), thickness)
        tiles = []
        for phase in range(self.fps):
            tile = Image.new("RGB", (side, side), _PANEL)
            paint = ImageDraw.Draw(tile)
            paint.arc(ring, 0, 360, _mix(_PANEL, _PANEL_EDGE, 0.6), thickness)
            # The comet's head is at 269° clockwise from three o'clock, which is twelve o'clock.
            turned = comet.rotate(-360 * phase / self.fps, Image.Resampling.BICUBIC)
            tile.paste(Image.new("RGB", tile.size, _MINT), (0, 0), turned)
            disc = side * 0.2
            glow = _glow(phase * 1000 / self.fps)
            paint.ellipse((disc, disc, side - disc, side - disc), _mix(_mix(_PANEL, _PANEL_EDGE, 0.5), _AMBER, glow))
            tiles.append(Planes.from_rgb(tile.resize((width, height), Image.Resampling.BOX)))
        return tiles

    def _wave_mask(self, opacity: float, count: float, crest: float) -> tuple[Image.Image, Image.Image]:
        """A wave twice as wide as the picture, so that any stretch of it is one crop; and the same at half size."""
        width, height = self.width, self._wave_box[3] - self._wave_box[1]
        tall = 4 * height  # lines have whole pixels; scaling down makes the wave's edge soft
        period = Image.new("L", (width, tall))
        pen = ImageDraw.Draw(period)
        for x in range(width):
            turn = 2 * math.pi * x / width
            level = 0.5 + crest * (0.7 * math.sin(count * turn) + 0.3 * math.sin((count + 2) * turn + 1))
            half = tall * (0.08 + 0.06 * math.sin(turn))
            pen.line((x, level * tall - half, x, level * tall + half), round(255 * opacity))
        period = period.resize((width, height), Image.Resampling.BOX)
        double = Image.new("L", (2 * width, height))
        double.paste(period, (0, 0))
        double.paste(period, (width, 0))
        return double, double.resize((width, height // 2), Image.Resampling.BOX)

    # -- drawn for every frame -----------------------------------------------------------------------------------------

    def _show_clock(self, text: str) -> None:
        left = even(104 * self._scale_x)
        for index, glyph in enumerate(text):
            tile = self._glyphs[glyph]
            if glyph != self._clock_shown[index : index + 1]:
                self._picture.paste(tile, left, self._glyph_top)
            left += tile.y.width
        self._clock_shown = text

    def _show_date(self, text: str) -> None:
        if text == self._date_shown:
            return
        box = self._date_box
        tile = Image.new("RGB", (box[2] - box[0], box[3] - box[1]), _PANEL)
        ImageDraw.Draw(tile).text((0, tile.height / 2), text, _MUTED, self._font(28), anchor="lm")
        self._picture.paste(Planes.from_rgb(tile), box[0], box[1])
        self._date_shown = text

    def _show_waves(self, utc_ms: int) -> None:
        band = self._wave_background.copy()
        width, height = self.width, band.y.height
        for (*_, speed), tint, (mask, half_mask) in zip(_WAVES, self._wave_tints, self._wave_masks, strict=True):
            shift = even(utc_ms * speed * self._scale_x / 1000) % width
            tint.lay(
                band,
                (0, 0, width, height),
                mask.crop((shift, 0, shift + width, height)),
                half_mask.crop((shift // 2, 0, (shift + width) // 2, height // 2)),
            )
        self._picture.paste(band, self._wave_box[0], self._wave_box[1])

    def _show_strip(self, utc_ms: int) -> None:
        left, top, right, bottom = self._strip_box
        levels = bytes(235 if cell else 16 for cell in strip.encode(utc_ms))
        cells = Image.frombytes("L", (strip.CELL_COUNT, 1), levels)
        self._picture.y.paste(cells.resize((right - left, bottom - top), Image.Resampling.NEAREST), (left, top))

    # -- measures ------------------------------------------------------------------------------------------------------

    def _box(self, left: float, top: float, right: float, bottom: float) -> Box:
        x, y = self._scale_x, self._scale_y
        return even(left * x), even(top * y), even(right * x), even(bottom * y)

    def _font(self, size: float) -> ImageFont.FreeTypeFont:
        font = ImageFont.load_default(size * min(self._scale_x, self._scale_y))
        if not isinstance(font, ImageFont.FreeTypeFont):
            raise RuntimeError("this Pillow was built without FreeType")
        return font


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    """`share` of 0 is `one`, of 1 is `other`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _glow(ms: float) -> float:
    """How bright the disc is, `ms` after the full second: full while the beep sounds, then fading."""
    if ms < _FLASH_MS:
        return 1.0
    return 0.5 * max(0.0, 1 - (ms - _FLASH_MS) / _AFTERGLOW_MS)
