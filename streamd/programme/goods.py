"""Pictures of the demo's goods, drawn here so that nothing has to be shipped or fetched: six still lifes.

Each is a square RGB picture, drawn larger and scaled down. A shape is a mask with a light that runs across it, so that
round things look round. Some hundred milliseconds each: call them in a thread.
"""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image, ImageChops, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]

SIDE_PX = 720
_SMOOTHING = 2
_UNIT = SIDE_PX * _SMOOTHING / 100  # shapes are laid out on a square of a hundred


class _Still:
    """A picture under way: a wall, a table, and what is put on it from back to front."""

    def __init__(self, wall: Colour, table: Colour) -> None:
        side = SIDE_PX * _SMOOTHING
        self.image = _fall(side, side, _mixed(wall, (255, 255, 255), 0.35), wall)
        self.image.paste(_fall(side, round(26 * _UNIT), table, _mixed(table, (0, 0, 0), 0.12)), (0, round(74 * _UNIT)))

    def shade(self, box: Box, *, strength: int = 110) -> None:
        """A soft shadow on the table."""
        mask = self._mask(lambda draw: draw.ellipse(_scaled(box), fill=strength))
        self.image.paste((24, 18, 14), mask=mask.filter(ImageFilter.GaussianBlur(2.2 * _UNIT)))

    def solid(self, colour: Colour, shape: Callable[[ImageDraw.ImageDraw], None], *, box: Box) -> None:
        """A body in its box, lit from the left."""
        left, top, right, bottom = (round(each) for each in _scaled(box))
        size = (right - left, bottom - top)
        light = Image.linear_gradient("L").rotate(90).resize(size)
        # Brightest a third of the way across, darker towards both edges.
        curve = light.point(lambda value: int(255 - abs(value - 85) * (1.15 if value > 85 else 0.9)))
        bright = Image.new("RGB", size, _mixed(colour, (255, 255, 255), 0.28))
        dark = Image.new("RGB", size, _mixed(colour, (10, 8, 20), 0.38))
        mask = self._mask(shape).crop((left, top, right, bottom))
        self.image.paste(Image.composite(bright, dark, curve), (left, top), mask)

    def flat(self, colour: Colour, shape: Callable[[ImageDraw.ImageDraw], None], *, opacity: float = 1.0) -> None:
        """A shape of one colour."""
        mask = self._mask(shape)
        left, top, right, bottom = mask.getbbox() or (0, 0, 1, 1)
        mask = mask.crop((left, top, right, bottom)).point(lambda value: int(value * opacity))
        self.image.paste(colour, (left, top, right, bottom), mask)

    def glow(self, colour: Colour, box: Box, *, opacity: float) -> None:
        """Light around something."""
        mask = self._mask(lambda draw: draw.ellipse(_scaled(box), fill=255)).filter(ImageFilter.GaussianBlur(5 * _UNIT))
        lit = ImageChops.screen(self.image, Image.new("RGB", self.image.size, colour))
        self.image.paste(lit, mask=mask.point(lambda value: int(value * opacity)))

    def done(self) -> Image.Image:
        """At its real size."""
        return self.image.resize((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)

    def _mask(self, shape: Callable[[ImageDraw.ImageDraw], None]) -> Image.Image:
        mask = Image.new("L", self.image.size)
        shape(ImageDraw.Draw(mask))
        return mask


def tea() -> Image.Image:
    """A tin of green tea and a cup of it."""
    still = _Still((206, 222, 196), (186, 158, 122))
    still.shade((14, 78, 62, 90))
    green = (58, 104, 70)
    still.solid(green, _rounded((20, 28, 54, 84), 3), box=(20, 28, 54, 84))
    still.solid((196, 164, 92), _rounded((19, 22, 55, 34), 2.5), box=(19, 22, 55, 34))
    still.flat((244, 238, 220), _rounded((25, 44, 49, 72), 1.2))
    for number in range(3):
        leaf = (30 + 4.6 * number, 50 - 1.6 * (number % 2), 36.4 + 4.6 * number, 62)
        still.flat((90, 142, 84), _ellipse(leaf))
    still.flat(green, _rounded((30, 66, 44, 67.2), 0.5))
    still.shade((56, 80, 92, 90))
    still.solid((238, 240, 236), _pot((60, 62, 86, 84), 5), box=(60, 62, 86, 84))
    still.flat((214, 220, 214), _ellipse((60, 58.5, 86, 66)))
    still.flat((176, 188, 96), _ellipse((62, 59.6, 84, 65.2)))
    return still.done()


def mug() -> Image.Image:
    """Two stoneware mugs."""
    still = _Still((232, 220, 206), (172, 140, 112))
    for left, colour, speck in ((14, (222, 206, 178), (150, 124, 92)), (50, (112, 140, 170), (60, 82, 112))):
        still.shade((left - 2, 78, left + 40, 90))
        handle = (left + 22, 48, left + 40, 72)
        still.solid(colour, _ring(handle, 4), box=handle)
        body = (left, 38, left + 30, 84)
        still.solid(colour, _pot(body, 6), box=body)
        still.flat(_mixed(colour, (255, 255, 255), 0.25), _ellipse((left, 34, left + 30, 43)))
        still.flat((72, 44, 28), _ellipse((left + 2.2, 35.4, left + 27.8, 42)))
        still.flat(speck, _specks(left), opacity=0.7)
    return still.done()


def scarf() -> Image.Image:
    """A silk scarf, folded so that its border makes a pattern."""
    still = _Still((244, 226, 224), (214, 176, 170))
    still.shade((16, 70, 86, 90))
    folds: tuple[tuple[Colour, tuple[float, ...]], ...] = (
        ((150, 28, 56), (50, 12, 88, 58, 50, 88, 12, 58)),
        ((206, 52, 84), (50, 18, 81, 58, 50, 82, 19, 58)),
        ((246, 206, 150), (50, 27, 73, 57, 50, 75, 27, 57)),
        ((206, 52, 84), (50, 31, 69, 57, 50, 71, 31, 57)),
        ((36, 52, 96), (50, 40, 62, 56, 50, 66, 38, 56)),
        ((246, 206, 150), (50, 46, 57, 56, 50, 61, 43, 56)),
    )
    for colour, points in folds:
        still.solid(colour, _polygon(points), box=(12, 12, 88, 88))
    for number in range(4):
        x = 30 + 12 * number
        still.flat((255, 255, 255), _polygon((x, 34 + number * 3, x + 1.6, 34, x + 7, 80, x + 4, 80)), opacity=0.08)
    return still.done()


def headphones() -> Image.Image:
    """Headphones that stand on their cushions."""
    still = _Still((198, 206, 222), (126, 132, 150))
    still.shade((14, 78, 86, 92))
    still.solid((44, 48, 62), _arch((20, 14, 80, 92), 6), box=(20, 14, 80, 56))
    still.flat((92, 98, 118), _arch((23, 17.4, 77, 92), 1.2), opacity=0.8)
    for left in (12, 68):
        still.solid((30, 33, 44), _rounded((left, 48, left + 20, 84), 9), box=(left, 48, left + 20, 84))
        inner = (left + 4, 53, left + 16, 79)
        still.solid((212, 176, 140), _rounded(inner, 6), box=inner)
        still.flat((240, 214, 184), _ellipse((left + 8, 62, left + 12, 66)), opacity=0.9)
    return still.done()


def candle() -> Image.Image:
    """A scented candle that burns in its glass."""
    still = _Still((74, 62, 84), (54, 40, 44))
    still.glow((255, 186, 92), (22, 2, 78, 62), opacity=0.75)
    still.shade((22, 80, 78, 93), strength=150)
    still.solid((176, 120, 92), _pot((28, 42, 72, 88), 6), box=(28, 42, 72, 88))
    still.flat((246, 226, 196), _ellipse((28, 36, 72, 48)))
    still.flat((255, 240, 208), _ellipse((31, 37.4, 69, 46.6)))
    still.flat((250, 244, 232), _rounded((38, 58, 62, 76), 1.2))
    still.flat((176, 120, 92), _rounded((43, 64, 57, 65), 0.4))
    still.flat((176, 120, 92), _rounded((46, 69, 54, 70), 0.4))
    still.flat((46, 34, 30), _rounded((49.4, 34, 50.6, 43), 0.5))
    still.flat((255, 168, 60), _flame(50, 12, 38, 6.4))
    still.flat((255, 232, 150), _flame(50, 21, 37, 3.6))
    still.glow((255, 206, 120), (36, 6, 64, 44), opacity=0.55)
    return still.done()


def tote() -> Image.Image:
    """A canvas bag with a wave on it."""
    still = _Still((190, 216, 224), (206, 186, 160))
    still.shade((16, 80, 86, 92))
    still.solid((206, 190, 160), _arch((34, 8, 66, 72), 3), box=(34, 8, 66, 40))
    bag = (24, 36, 76, 36, 80, 86, 20, 86)
    still.solid((238, 226, 202), _polygon(bag), box=(20, 36, 80, 86))
    still.flat((214, 198, 168), _polygon((24, 36, 76, 36, 76.3, 39.4, 23.7, 39.4)))
    still.flat((36, 92, 122), _ellipse((35, 48, 65, 78)))
    still.flat((240, 132, 92), _ellipse((43, 52, 57, 66)))
    for number, colour in enumerate(((36, 92, 122), (82, 146, 170), (222, 236, 236))):
        top = 63 + 4 * number
        still.flat(colour, _chord((35, 48, 65, 78), top))
    return still.done()


# --- shapes, on a square of a hundred ---


def _scaled(box: Box) -> Box:
    left, top, right, bottom = (each * _UNIT for each in box)
    return left, top, right, bottom


def _rounded(box: Box, radius: float) -> Callable[[ImageDraw.ImageDraw], None]:
    return lambda draw: draw.rounded_rectangle(_scaled(box), radius=radius * _UNIT, fill=255)


def _ellipse(box: Box) -> Callable[[ImageDraw.ImageDraw], None]:
    return lambda draw: draw.ellipse(_scaled(box), fill=255)


def _ring(box: Box, width: float) -> Callable[[ImageDraw.ImageDraw], None]:
    return lambda draw: draw.ellipse(_scaled(box), outline=255, width=round(width * _UNIT))


def _polygon(points: tuple[float, ...]) -> Callable[[ImageDraw.ImageDraw], None]:
    return lambda draw: draw.polygon([each * _UNIT for each in points], fill=255)


def _arch(box: Box, width: float) -> Callable[[ImageDraw.ImageDraw], None]:
    return lambda draw: draw.arc(_scaled(box), 180, 360, fill=255, width=round(width * _UNIT))


def _pot(box: Box, foot: float) -> Callable[[ImageDraw.ImageDraw], None]:
    """Straight above, round at the foot."""
    left, top, right, bottom = box

    def shape(draw: ImageDraw.ImageDraw) -> None:
        draw.rectangle(_scaled((left, top, right, bottom - 2 * foot)), fill=255)
        draw.rounded_rectangle(_scaled((left, bottom - 5 * foot, right, bottom)), radius=2 * foot * _UNIT, fill=255)

    return shape


def _specks(left: float) -> Callable[[ImageDraw.ImageDraw], None]:
    def shape(draw: ImageDraw.ImageDraw) -> None:
        for number in range(44):
            # Neither in rows nor by chance: multiples of the golden section fall evenly and look strewn.
            x, y = left + 2 + number * 0.618034 % 1 * 26, 47 + 34 * (number + 0.5) / 44
            draw.ellipse(_scaled((x, y, x + 0.7, y + 0.7)), fill=255)

    return shape


def _flame(x: float, top: float, bottom: float, width: float) -> Callable[[ImageDraw.ImageDraw], None]:
    middle = bottom - width

    def shape(draw: ImageDraw.ImageDraw) -> None:
        draw.ellipse(_scaled((x - width, middle - width, x + width, bottom)), fill=255)
        sides = (x - width * 0.96, middle - width * 0.2, x, top, x + width * 0.96, middle - width * 0.2)
        draw.polygon([each * _UNIT for each in sides], fill=255)

    return shape


def _chord(circle: Box, top: float) -> Callable[[ImageDraw.ImageDraw], None]:
    """What of a disc is below a line."""
    left, _, right, bottom = circle

    def shape(draw: ImageDraw.ImageDraw) -> None:
        draw.ellipse(_scaled(circle), fill=255)
        draw.rectangle(_scaled((left - 1, 0, right + 1, top)), fill=0)
        draw.rectangle(_scaled((left - 1, bottom, right + 1, 100)), fill=0)

    return shape


def _fall(width: int, height: int, top: Colour, bottom: Colour) -> Image.Image:
    """From one colour at the top to another at the bottom."""
    light = Image.linear_gradient("L").resize((width, height))
    return Image.composite(Image.new("RGB", (width, height), bottom), Image.new("RGB", (width, height), top), light)


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
