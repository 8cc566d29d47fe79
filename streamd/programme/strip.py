"""The clock that machines read: 48 bits of Unix milliseconds and a CRC as a strip of black and white cells.

A reader needs only a picture's luma and its size, whatever scaler or bitrate the picture went through: the strip has
fixed relative coordinates, each cell covers whole macroblocks at 1280×720, and only the middle of a cell is looked at.
The CRC tells a strip from anything else and a clean reading from a smeared one.

Pure: no I/O, no clock, no third party. The same reader in JavaScript is `loadtest/strip.js`.
"""

from __future__ import annotations

from collections.abc import Sequence

CLOCK_BITS = 48
CRC_BITS = 16
CELL_COUNT = CLOCK_BITS + CRC_BITS

# The strip's rectangle in a picture of 1280×720; other sizes scale it. 64 cells of 16×32.
REFERENCE_WIDTH, REFERENCE_HEIGHT = 1280, 720
LEFT, TOP, WIDTH, HEIGHT = 128, 672, 1024, 32

# Between the darkest and the brightest cell. Limited-range video has 219; less than this is not a strip.
_LEAST_CONTRAST = 64


def crc16(data: bytes) -> int:
    """CRC-16/IBM-3740 (polynomial 0x1021, start 0xFFFF): neither an all-black nor an all-white strip passes it."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def encode(utc_ms: int) -> bytes:
    """The cells for a moment: `CELL_COUNT` bytes from left to right, 1 for white, most significant bit first."""
    clock = utc_ms.to_bytes(CLOCK_BITS // 8, "big")
    word = utc_ms << CRC_BITS | crc16(clock)
    return bytes(word >> shift & 1 for shift in range(CELL_COUNT - 1, -1, -1))


def decode(levels: Sequence[float]) -> int | None:
    """The moment that `CELL_COUNT` brightness levels stand for, or None when they are not a clean strip.

    Levels may be on any scale of about 0 to 255: white is what is nearer to the brightest cell than to the darkest.
    """
    darkest, brightest = min(levels), max(levels)
    if brightest - darkest < _LEAST_CONTRAST:
        return None
    middle = (darkest + brightest) / 2
    word = 0
    for level in levels:
        word = word << 1 | (level > middle)
    utc_ms = word >> CRC_BITS
    if crc16(utc_ms.to_bytes(CLOCK_BITS // 8, "big")) != word & ((1 << CRC_BITS) - 1):
        return None
    return utc_ms


def rectangle(width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the strip in a picture of this size, in pixels."""
    return (
        round(LEFT * width / REFERENCE_WIDTH),
        round(TOP * height / REFERENCE_HEIGHT),
        round((LEFT + WIDTH) * width / REFERENCE_WIDTH),
        round((TOP + HEIGHT) * height / REFERENCE_HEIGHT),
    )


def read_luma(luma: bytes | bytearray | memoryview, *, width: int, height: int, stride: int) -> int | None:
    """The moment shown by a picture, or None.

    `luma`: one byte a pixel, rows of `stride` bytes, at least `height` rows (plane 0 of a decoded yuv420p frame).
    """
    top = TOP * height / REFERENCE_HEIGHT
    rows = range(round(top + 0.25 * HEIGHT * height / REFERENCE_HEIGHT), _end(top, HEIGHT * height / REFERENCE_HEIGHT))
    cell_width = WIDTH * width / REFERENCE_WIDTH / CELL_COUNT
    levels = []
    for cell in range(CELL_COUNT):
        left = LEFT * width / REFERENCE_WIDTH + cell * cell_width
        first, end = round(left + 0.25 * cell_width), _end(left, cell_width)
        total = sum(sum(luma[row * stride + first : row * stride + end]) for row in rows)
        levels.append(total / (len(rows) * (end - first)))
    return decode(levels)


def _end(start: float, length: float) -> int:
    """Where the middle half of `start` to `start + length` ends; at least one pixel after its beginning."""
    return max(round(start + 0.75 * length), round(start + 0.25 * length) + 1)
