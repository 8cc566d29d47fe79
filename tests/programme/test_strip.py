"""The clock that machines read survives what happens to a picture on its way, and never lies."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.programme import strip

MOMENTS = st.integers(min_value=0, max_value=2**48 - 1)
READER = Path(__file__).parents[2] / "loadtest" / "strip.js"


def levels(utc_ms: int, *, black: int = 16, white: int = 235) -> list[int]:
    return [white if cell else black for cell in strip.encode(utc_ms)]


@given(MOMENTS)
def test_decoding_what_was_encoded_gives_the_moment(utc_ms: int) -> None:
    assert strip.decode(levels(utc_ms)) == utc_ms


@given(MOMENTS, st.integers(min_value=0, max_value=63))
def test_one_cell_read_wrongly_is_noticed(utc_ms: int, cell: int) -> None:
    wrong = levels(utc_ms)
    wrong[cell] = 251 - wrong[cell]
    assert strip.decode(wrong) is None


@pytest.mark.parametrize("level", [0, 16, 128, 235, 255])
def test_an_even_picture_is_no_strip(level: int) -> None:
    assert strip.decode([level] * strip.CELL_COUNT) is None


def test_a_faded_strip_is_read_and_one_without_contrast_is_not() -> None:
    assert strip.decode(levels(1_795_209_269_000, black=60, white=150)) == 1_795_209_269_000
    assert strip.decode(levels(1_795_209_269_000, black=100, white=150)) is None


def test_the_check_is_the_published_crc() -> None:
    # CRC-16/IBM-3740 of the standard check string (Williams' catalogue).
    assert strip.crc16(b"123456789") == 0x29B1


@given(
    MOMENTS,
    st.sampled_from([(1280, 720), (1920, 1080), (854, 480), (640, 360), (426, 240), (320, 180)]),
    st.integers(min_value=0, max_value=40),
)
@settings(max_examples=40, deadline=None)
def test_a_luma_plane_of_any_size_and_stride_is_read(utc_ms: int, size: tuple[int, int], padding: int) -> None:
    width, height = size
    stride = width + padding
    left, top, right, bottom = strip.rectangle(width, height)
    cells = levels(utc_ms)
    row = bytearray(b"\x40" * stride)
    row[left:right] = bytes(cells[(x - left) * strip.CELL_COUNT // (right - left)] for x in range(left, right))
    plane = b"\x40" * stride * top + bytes(row) * (bottom - top) + b"\x40" * stride * (height - bottom)
    assert strip.read_luma(plane, width=width, height=height, stride=stride) == utc_ms


def test_the_reader_for_browsers_agrees() -> None:
    moments = [0, 1, 1_795_209_269_033, 2**48 - 1]
    width, height = 256, 8
    pictures = []
    for utc_ms in moments:
        row = [level for cell in levels(utc_ms) for _ in range(width // strip.CELL_COUNT) for level in (cell,) * 4]
        pictures.append(row * height)
    script = READER.read_text(encoding="utf-8") + (
        f"\nconst pictures = {json.dumps([*pictures, [90] * (width * height * 4)])};"
        f"\nconsole.log(JSON.stringify(pictures.map((p) => stripReadRgba(p, {width}, {height}))));"
    )
    said = subprocess.run(["node", "-"], input=script, capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == [*moments, None]
