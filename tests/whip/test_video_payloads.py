"""H.264, HEVC and AV1 payloads put together again: what a sender cut up comes out whole, whatever it cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.media import av1, hevc
from streamd.media.access_unit import joined
from streamd.media.bits import BitstreamError
from streamd.whip.av1_rtp import Av1Assembler
from streamd.whip.h264_rtp import H264Assembler
from streamd.whip.hevc_rtp import HevcAssembler
from tests.support import rtp

h264_nals = st.lists(
    st.tuples(st.sampled_from((1, 5, 6, 7, 8)), st.binary(min_size=1, max_size=400)).map(
        lambda each: bytes((0x60 | each[0],)) + each[1]
    ),
    min_size=1,
    max_size=6,
)
hevc_nals = st.lists(
    st.tuples(st.sampled_from((1, 19, 32, 33, 34, 39)), st.binary(min_size=1, max_size=400)).map(
        lambda each: bytes((each[0] << 1, 1)) + each[1]
    ),
    min_size=1,
    max_size=6,
)
# Frames, sequence headers and metadata, with and without extension byte.
obus = st.lists(
    st.tuples(st.sampled_from((0x30, 0x08, 0x28, 0x34)), st.binary(min_size=1, max_size=400)).map(
        lambda each: bytes((each[0],)) + (b"\x08" if each[0] & 4 else b"") + each[1]
    ),
    min_size=1,
    max_size=6,
)


def whole(assembler: H264Assembler | HevcAssembler | Av1Assembler, payloads: list[bytes]) -> bytes:
    for payload in payloads:
        assert assembler.add(payload)
    return assembler.take()


@given(h264_nals, st.integers(4, 200))
@settings(max_examples=80)
def test_h264_single_units_and_fragments_come_out_whole(nals: list[bytes], most: int) -> None:
    assert whole(H264Assembler(), rtp.h264_payloads(nals, most=most)) == joined(nals)


@given(h264_nals, h264_nals)
@settings(max_examples=40)
def test_h264_aggregates_come_out_as_units(first: list[bytes], second: list[bytes]) -> None:
    payloads = [rtp.h264_aggregate(first), *rtp.h264_payloads(second, most=50)]
    assert whole(H264Assembler(), payloads) == joined([*first, *second])


@given(hevc_nals, st.integers(5, 200))
@settings(max_examples=80)
def test_hevc_single_units_and_fragments_come_out_whole(nals: list[bytes], most: int) -> None:
    assert whole(HevcAssembler(), rtp.hevc_payloads(nals, most=most)) == joined(nals)


@given(hevc_nals, hevc_nals)
@settings(max_examples=40)
def test_hevc_aggregates_come_out_as_units(first: list[bytes], second: list[bytes]) -> None:
    payloads = [rtp.hevc_aggregate(first), *rtp.hevc_payloads(second, most=50)]
    assert whole(HevcAssembler(), payloads) == joined([*first, *second])


@given(obus, st.integers(8, 200), st.booleans())
@settings(max_examples=120)
def test_av1_obus_come_out_whole_however_they_were_spread(units: list[bytes], most: int, counted: bool) -> None:
    unit = whole(Av1Assembler(), rtp.av1_payloads(units, most=most, counted=counted, starts=False))
    assert rtp.obus_of(unit) == units


def test_av1_obus_that_have_a_size_already_stay_as_they_are() -> None:
    sized = b"\x32\x03abc"
    assert whole(Av1Assembler(), [b"\x10" + sized]) == sized
    assert av1.temporal_unit(sized, 0).payload == sized


@pytest.mark.parametrize(
    ("payloads", "is_refused"),
    [
        ([b"\x7c\x05rest"], True),  # goes on with a fragment that never began
        ([b"\x7c\x85start", b"\x7c\x85start"], True),  # begins twice
        ([b"\x7c\xc5both"], True),  # begins and ends at once
        ([b"\x7c\x85start", b"\x65other"], True),  # another unit inside a fragment
        ([b"\x7c\x85"], True),
        ([b"\x78\x00\x05abc"], True),  # an aggregate whose length lies
        ([b"\x78\x00\x00"], True),
        ([b"\x78"], True),
        ([b"\x79abcdef"], True),  # STAP-B, MTAP and FU-B belong to another mode
        ([b"\x7dabcdef"], True),
        ([b"\x00abcdef"], True),
        ([b"\x7c\x85start", b"\x7c\x05rest"], False),  # never ends
    ],
)
def test_h264_that_cannot_be_is_refused(payloads: list[bytes], is_refused: bool) -> None:
    refused_or_torn(H264Assembler(), payloads, is_refused)


@pytest.mark.parametrize(
    ("payloads", "is_refused"),
    [
        ([b"\x62\x01\x13rest"], True),
        ([b"\x62\x01\x93start", b"\x62\x01\x93start"], True),
        ([b"\x62\x01\xd3both"], True),
        ([b"\x62\x01\x93start", b"\x26\x01other"], True),
        ([b"\x62\x01\x93"], True),
        ([b"\x26\x01"], True),
        ([b"\x60\x01\x00\x09abc"], True),
        ([b"\x60\x01\x00\x01a"], True),
        ([b"\x60\x01"], True),
        ([b"\x64\x01abcd"], True),  # PACI
        ([b"\x62\x01\x93start"], False),
    ],
)
def test_hevc_that_cannot_be_is_refused(payloads: list[bytes], is_refused: bool) -> None:
    refused_or_torn(HevcAssembler(), payloads, is_refused)


@pytest.mark.parametrize(
    ("payloads", "is_refused"),
    [
        ([b"\x90rest"], True),  # goes on with nothing
        ([b"\x50start", b"\x10other"], True),  # should go on and does not
        ([b"\x00\x09abc"], True),  # a length beyond the packet
        ([b"\x20\x09abc"], True),
        ([b"\x30\x01a"], True),  # three elements announced, one there
        ([b"\x00" + b"\xff" * 12], True),  # a length without end
        ([b"\x10"], True),
        ([b"\x50start"], False),
    ],
)
def test_av1_that_cannot_be_is_refused(payloads: list[bytes], is_refused: bool) -> None:
    refused_or_torn(Av1Assembler(), payloads, is_refused)


def refused_or_torn(
    assembler: H264Assembler | HevcAssembler | Av1Assembler, payloads: list[bytes], is_refused: bool
) -> None:
    for payload in payloads[:-1]:
        assert assembler.add(payload)
    assert assembler.add(payloads[-1]) is not is_refused
    if not is_refused:
        with pytest.raises(BitstreamError):
            assembler.take()
        assert assembler.take() == b""


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=20))
@settings(max_examples=150)
def test_any_payloads_are_taken_or_refused(payloads: list[bytes]) -> None:
    for assembler, unit in (
        (H264Assembler(), lambda data: data),
        (HevcAssembler(), lambda data: hevc.access_unit(data, 0, 4)),
        (Av1Assembler(), lambda data: av1.temporal_unit(data, 0)),
    ):
        for payload in payloads:
            assembler.begins_key_unit(payload)
            if not assembler.add(payload):
                assembler.reset()
        assert assembler.size_bytes <= sum(len(each) + 200 * 64 for each in payloads)
        try:
            unit(assembler.take())
        except BitstreamError:
            assert assembler.size_bytes == 0


def test_beginnings_of_key_units_are_known() -> None:
    h264, hevc_, av1_ = H264Assembler(), HevcAssembler(), Av1Assembler()
    assert all(h264.begins_key_unit(each) for each in (b"\x67sps", b"\x09\xf0", b"\x78\x00\x03\x67ab"))
    assert not any(
        h264.begins_key_unit(each) for each in (b"\x65idr", b"\x41p", b"\x7c\x85a", b"\x78", b"\x78\0\3\x65a")
    )
    assert all(hevc_.begins_key_unit(each) for each in (b"\x40\x01vps", b"\x46\x01\x50", b"\x60\x01\0\3\x40\x01v"))
    assert not any(hevc_.begins_key_unit(each) for each in (b"\x26\x01idr", b"\x62\x01\x93a", b"\x60\x01"))
    assert av1_.begins_key_unit(b"\x18a")
    assert not any(av1_.begins_key_unit(each) for each in (b"\x10a", b"\x98a"))
