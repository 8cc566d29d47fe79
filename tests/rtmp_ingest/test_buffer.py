"""The cursor: network order, and never past the end."""

from __future__ import annotations

import pytest

from rtmp_ingest.buffer import Cursor
from streamd.errors import ProtocolError


def test_numbers_are_read_in_network_order() -> None:
    cursor = Cursor(bytes.fromhex("01 0203 040506 07080910 ffffdf fffe 3ff0000000000000 aabb"))
    assert (cursor.u8(), cursor.u16(), cursor.u24(), cursor.u32()) == (1, 0x0203, 0x040506, 0x07080910)
    assert (cursor.i24(), cursor.i16(), cursor.f64()) == (-33, -2, 1.0)
    assert cursor.rest() == b"\xaa\xbb"
    assert cursor.remaining == 0


def test_reading_past_the_end_is_refused_and_moves_nothing() -> None:
    cursor = Cursor(b"\x01\x02\x03", 1)
    with pytest.raises(ProtocolError) as refused:
        cursor.u32()
    assert refused.value.code == "truncated"
    assert cursor.position == 1
    assert cursor.u16() == 0x0203


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ProtocolError):
        Cursor(b"abc").take(-1)
