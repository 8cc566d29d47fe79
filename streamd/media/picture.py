"""What H.264 and HEVC say about a picture in the same words: sample aspect, transfer function, clock, size.

Source: H.264 Annex E and H.265 Annex E (video usability information); ITU-T H.273 for the code points.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamd.media.bits import BitReader, BitstreamError

EXTENDED_SAR = 255
# Table E-1, by aspect_ratio_idc.
PIXEL_ASPECTS = (
    *((1, 1), (1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11)),
    *((80, 33), (18, 11), (15, 11), (64, 33), (160, 99), (4, 3), (3, 2), (2, 1)),
)
# transfer_characteristics -> VIDEO-RANGE of RFC 8216bis 4.4.6.2.
VIDEO_RANGES = {16: "PQ", 18: "HLG"}
LARGEST_SIDE = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Usability:
    """The part of the VUI that a track needs."""

    pixel_aspect: tuple[int, int] = (1, 1)
    video_range: str = "SDR"
    nominal_fps: float | None = None


def pixel_aspect(bits: BitReader) -> tuple[int, int]:
    """aspect_ratio_info: a table entry or two numbers; what is unknown or zero is square."""
    if not bits.flag():
        return (1, 1)
    code = bits.u(8)
    if code == EXTENDED_SAR:
        width, height = bits.u(16), bits.u(16)
        return (width, height) if width and height else (1, 1)
    return PIXEL_ASPECTS[code] if code < len(PIXEL_ASPECTS) else (1, 1)


def video_range(bits: BitReader) -> str:
    """overscan_info and video_signal_type: only the transfer characteristics matter to players."""
    if bits.flag():
        bits.skip(1)
    if not bits.flag():
        return "SDR"
    bits.skip(4)  # video_format, video_full_range_flag
    if not bits.flag():
        return "SDR"
    bits.skip(8)  # colour_primaries
    transfer = bits.u(8)
    bits.skip(8)  # matrix_coefficients
    return VIDEO_RANGES.get(transfer, "SDR")


def frame_rate(bits: BitReader, *, ticks_per_frame: int) -> float | None:
    """timing_info: H.264 counts fields (two ticks a frame), HEVC pictures. None where it is absent or absurd."""
    if not bits.flag():
        return None
    units, scale = bits.u(32), bits.u(32)
    if not units or not scale:
        return None
    fps = scale / (units * ticks_per_frame)
    return round(fps, 3) if 1 <= fps <= 480 else None


def checked_size(width: int, height: int) -> tuple[int, int]:
    """The size after cropping. Raises BitstreamError where nothing is left or no decoder would follow."""
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise BitstreamError(f"a picture of {width}x{height}")
    return width, height
