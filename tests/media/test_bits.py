from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.media.bits import BitReader, BitstreamError, unescaped
from tests.support.bit_writer import BitWriter, escaped


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 1 << 40)), max_size=20))
@settings(deadline=None)
def test_fields_are_read_back_whatever_their_widths(fields: list[tuple[int, int]]) -> None:
    writer = BitWriter()
    wanted = [(width, value % (1 << width)) for width, value in fields]
    for width, value in wanted:
        writer.u(width, value)
    reader = BitReader(writer.padded())
    assert [(width, reader.u(width)) for width, _ in wanted] == wanted


@given(st.lists(st.integers(0, 2**32 - 2), max_size=20))
@settings(deadline=None)
def test_exp_golomb_codes_are_read_back(values: list[int]) -> None:
    reader = BitReader(BitWriter().ue(*values).padded())
    assert [reader.ue() for _ in values] == values


@given(st.lists(st.integers(-(2**30), 2**30), max_size=20))
@settings(deadline=None)
def test_signed_exp_golomb_codes_are_read_back(values: list[int]) -> None:
    reader = BitReader(BitWriter().se(*values).padded())
    assert [reader.se() for _ in values] == values


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_emulation_prevention_is_undone(rbsp: bytes) -> None:
    assert unescaped(escaped(rbsp)) == rbsp


@pytest.mark.parametrize(
    ("nal", "rbsp"),
    [
        ("000003000003", "00000000"),
        ("00000303", "000003"),
        ("0000030003", "00000003"),
        ("000300", "000300"),
    ],
)
def test_emulation_prevention_of_neighbours(nal: str, rbsp: str) -> None:
    assert unescaped(bytes.fromhex(nal)).hex() == rbsp


def test_reading_beyond_the_end_is_a_bitstream_error() -> None:
    reader = BitReader(b"\xff")
    with pytest.raises(BitstreamError):
        reader.u(9)
    assert reader.u(8) == 255
    for read in (reader.flag, reader.ue, reader.se, reader.uvlc):
        with pytest.raises(BitstreamError):
            read()
    with pytest.raises(BitstreamError):
        reader.skip(1)


def test_a_code_of_too_many_zeros_is_refused_and_not_counted_to_the_end() -> None:
    with pytest.raises(BitstreamError):
        BitReader(bytes(100_000)).ue()


def test_peek_leaves_the_place() -> None:
    reader = BitReader(b"\xa5")
    assert (reader.peek(4), reader.u(4), reader.left) == (0xA, 0xA, 4)


def test_uvlc_of_32_zeros_is_its_greatest_value() -> None:
    assert BitReader(b"\x00\x00\x00\x00\x80").uvlc() == 2**32 - 1
