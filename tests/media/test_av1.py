from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.media import av1
from streamd.media.access_unit import InBandParameterSetsError
from streamd.media.bits import BitstreamError
from tests.support.bit_writer import BitWriter
from tests.support.coded import flv_of, messages


def leb128(value: int) -> bytes:
    coded = b""
    while value > 127:
        coded += bytes((value & 127 | 128,))
        value >>= 7
    return coded + bytes((value,))


def obu(kind: int, body: bytes = b"", *, sized: bool = True, extension: int | None = None) -> bytes:
    head = bytes((kind << 3 | (extension is not None) << 2 | sized << 1,))
    head += b"" if extension is None else bytes((extension,))
    return head + (leb128(len(body)) if sized else b"") + body


def sequence_header(
    *,
    profile: int = 0,
    reduced: bool = False,
    level: int = 8,
    tier: int = 0,
    points: int = 1,
    size: tuple[int, int] = (1920, 1080),
    timing: tuple[int, int, int] | None = None,
    everything: bool = False,
    depth: int = 8,
    mono: bool = False,
    described: tuple[int, int, int] | None = None,
    full_range: bool = False,
    position: int = 0,
    subsampling: tuple[int, int] = (1, 1),
) -> bytes:
    bits = BitWriter().u(3, profile).u(1, 0).u(1, int(reduced))
    if reduced:
        bits.u(5, level)
    else:
        _operating_points(bits, timing, everything, points, level, tier)
    bits.u(4, 11).u(4, 10).u(12, size[0] - 1).u(11, size[1] - 1)
    if not reduced:
        bits.u(1, int(everything))
        if everything:
            bits.u(4, 3).u(3, 2)
    bits.u(3, 7)
    if not reduced:
        bits.u(4, 15).u(1, 1).u(2, 3)
        if everything:
            bits.u(1, 0).u(1, 1).u(1, 0).u(1, 1)  # both choices written out
        else:
            bits.u(1, 1).u(1, 1)
        bits.u(3, 6)
    bits.u(3, 3)
    bits.u(1, int(depth > 8))
    if profile == 2 and depth > 8:
        bits.u(1, int(depth == 12))
    if profile != 1:
        bits.u(1, int(mono))
    bits.u(1, int(described is not None))
    if described:
        bits.u(8, described[0]).u(8, described[1]).u(8, described[2])
    if described != (1, 13, 0) or mono:
        bits.u(1, int(full_range))
        if profile == 2 and depth == 12 and not mono:
            bits.u(1, subsampling[0])
            if subsampling[0]:
                bits.u(1, subsampling[1])
        if not mono and subsampling == (1, 1):
            bits.u(2, position)
    bits.u(1, 0).u(1, 0)
    return obu(1, bits.trailing())


def _operating_points(
    bits: BitWriter, timing: tuple[int, int, int] | None, everything: bool, points: int, level: int, tier: int
) -> None:
    bits.u(1, int(timing is not None))
    if timing:
        bits.u(32, timing[0]).u(32, timing[1]).u(1, 1).uvlc(timing[2] - 1)
        bits.u(1, int(everything))
        if everything:
            bits.u(5, 9).u(32, 5).u(5, 1).u(5, 1)
    bits.u(1, int(everything)).u(5, points - 1)
    for index in range(points):
        bits.u(12, 0).u(5, level if not index else 2)
        if not index and level > 7:
            bits.u(1, tier)
        if timing and everything:
            bits.u(1, 1).u(10, 3).u(10, 3).u(1, 0)
        if everything:
            bits.u(1, 1).u(4, 5)


DELIMITER, PADDING = obu(2), obu(15, b"\x00\x80")
KEY, INTER, SHOWN = obu(6, b"\x10abc"), obu(6, b"\x30abc"), obu(3, b"\x88")


@pytest.mark.parametrize(
    ("arguments", "codec"),
    [
        ({}, "av01.0.08M.08"),
        ({"level": 5}, "av01.0.05M.08"),
        ({"level": 13, "tier": 1, "depth": 10}, "av01.0.13H.10"),
        ({"described": (1, 1, 1)}, "av01.0.08M.08"),
        (
            {"level": 13, "depth": 10, "described": (9, 16, 9), "position": 2},
            "av01.0.13M.10.0.112.09.16.09.0",
        ),
        ({"profile": 1, "subsampling": (0, 0)}, "av01.1.08M.08.0.000.02.02.02.0"),
        ({"profile": 2, "depth": 10, "subsampling": (1, 0)}, "av01.2.08M.10.0.100.02.02.02.0"),
        ({"profile": 2, "depth": 12, "subsampling": (1, 0)}, "av01.2.08M.12.0.100.02.02.02.0"),
        ({"profile": 2, "depth": 12, "subsampling": (1, 1)}, "av01.2.08M.12"),
        ({"mono": True}, "av01.0.08M.08.1.110.02.02.02.0"),
        ({"full_range": True}, "av01.0.08M.08.0.110.02.02.02.1"),
        ({"profile": 1, "described": (1, 13, 0), "subsampling": (0, 0)}, "av01.1.08M.08.0.000.01.13.00.1"),
    ],
)
def test_codec_string_follows_the_sequence_header(arguments: dict[str, object], codec: str) -> None:
    assert av1.track_from_sequence_header(sequence_header(**arguments)).codec_string == codec  # type: ignore[arg-type]


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("points", [1, 3])
def test_size_and_rate_are_found_whatever_else_is_coded(everything: bool, points: int) -> None:
    header = sequence_header(everything=everything, points=points, timing=(1001, 120_000, 2), size=(1280, 720))
    track = av1.track_from_sequence_header(header)
    assert (track.width, track.height, track.nominal_fps) == (1280, 720, 59.94)


def test_still_picture_header_is_read() -> None:
    assert av1.track_from_sequence_header(sequence_header(reduced=True, size=(640, 480))).width == 640


@pytest.mark.parametrize(("transfer", "told"), [(1, "SDR"), (16, "PQ"), (18, "HLG")])
def test_transfer_characteristics_give_the_range(transfer: int, told: str) -> None:
    track = av1.track_from_sequence_header(sequence_header(described=(9, transfer, 9), depth=10))
    assert track.video_range == told


def test_config_is_canonical_and_reads_back() -> None:
    header = sequence_header(level=13, tier=1, depth=10, position=2, described=(9, 16, 9))
    track = av1.track_from_sequence_header(header, track_id=4)
    assert track.config == bytes.fromhex("810dce00") + header
    assert av1.track_from_av1c(track.config, track_id=4) == track
    assert av1.sequence_header(track) == header


def test_record_with_other_obus_or_without_size_gives_the_canonical_config() -> None:
    header = sequence_header()
    track = av1.track_from_sequence_header(header)
    assert av1.track_from_av1c(track.config[:4] + header + obu(5, b"\x01abc")) == track
    body = header[2:]
    assert av1.track_from_av1c(track.config[:4] + obu(1, body, sized=False)) == track


def test_record_without_sequence_header_takes_it_from_the_first_key_frame() -> None:
    with pytest.raises(InBandParameterSetsError) as caught:
        av1.track_from_av1c(bytes.fromhex("81080c00"))
    assert caught.value.length_size == 4
    unit = av1.temporal_unit(sequence_header() + KEY, 0)
    assert unit.is_sync
    assert unit.parameter_sets is not None
    assert av1.revise(None, unit.parameter_sets).width == 1920


def test_repeated_sequence_header_is_the_same_track_and_a_changed_one_is_not() -> None:
    track = av1.track_from_sequence_header(sequence_header(), track_id=1)
    assert av1.revise(track, (sequence_header(),)) is track
    revised = av1.revise(track, (sequence_header(size=(640, 360)),))
    assert (revised.width, revised.track_id) == (640, 1)
    assert av1.revise(track, ()) is track
    with pytest.raises(InBandParameterSetsError):
        av1.revise(None, ())


@pytest.mark.parametrize("av1c", ["", "81", "01080c00", "81080c000a", "81080c000a01ff", "81080c000a0b60"])
def test_broken_record_is_a_bitstream_error(av1c: str) -> None:
    with pytest.raises(BitstreamError):
        av1.track_from_av1c(bytes.fromhex(av1c))


# Temporal units.


def test_unit_of_frames_is_the_message_without_its_header() -> None:
    assert av1.temporal_unit(b"\xa1av01" + INTER, 5) == (INTER, False, None)
    header = sequence_header()
    assert av1.temporal_unit(b"\x91av01" + header + KEY, 5) == (header + KEY, True, (header,))


def test_delimiters_and_padding_are_taken_out() -> None:
    metadata = obu(5, b"\x01abc")
    assert av1.temporal_unit(DELIMITER + metadata + INTER + PADDING, 0) == (metadata + INTER, False, None)


def test_last_obu_without_size_is_given_one() -> None:
    big = b"\x30" + bytes(300)
    assert av1.temporal_unit(DELIMITER + obu(6, big, sized=False), 0).payload == obu(6, big)
    assert av1.temporal_unit(obu(6, big, sized=False, extension=8), 0).payload == obu(6, big, extension=8)
    assert av1.temporal_unit(obu(6, big, extension=8), 0).payload == obu(6, big, extension=8)


@pytest.mark.parametrize(
    ("frame", "is_sync"),
    [(b"\x10", True), (b"\x00", False), (b"\x30", False), (b"\x50", False), (b"\x80", False), (b"", False)],
)
def test_only_a_shown_key_frame_is_a_sync_point(frame: bytes, is_sync: bool) -> None:
    assert av1.temporal_unit(sequence_header() + obu(3, frame), 0).is_sync is is_sync


def test_key_frame_behind_a_shown_frame_is_no_sync_point() -> None:
    assert not av1.temporal_unit(SHOWN + KEY, 0).is_sync


@pytest.mark.parametrize("parts", [(), (DELIMITER,), (PADDING,), (obu(5, b"\x01"),)])
def test_unit_without_frame_has_no_payload(parts: tuple[bytes, ...]) -> None:
    assert av1.temporal_unit(b"\x91av01" + b"".join(parts), 5) == (b"", False, None)


@pytest.mark.parametrize("data", [INTER[:-1], b"\x32", b"\x32\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x36"])
def test_sizes_that_do_not_add_up_are_refused(data: bytes) -> None:
    with pytest.raises(BitstreamError):
        av1.temporal_unit(data, 0)


def test_message_of_countless_obus_is_refused() -> None:
    with pytest.raises(BitstreamError):
        av1.temporal_unit(obu(5) * 100_000, 0)
    with pytest.raises(BitstreamError):
        av1.temporal_unit(DELIMITER * 100_000, 0)


def test_what_svt_writes_is_told_as_it_was_asked_for() -> None:
    flv = flv_of("libsvtav1", seconds=0.5, size=(322, 182), fps=Fraction(25))
    bodies = [m.body for m in messages(flv) if m.kind == 9 and m.body[1:5] == b"av01"]
    track = av1.track_from_av1c(next(body for body in bodies if body[0] == 0x90)[5:])
    units = [av1.temporal_unit(body, 5) for body in bodies if body[0] & 15 in (1, 3)]
    assert [unit.is_sync for unit in units] == [True] + [False] * (len(units) - 1)
    assert units[0].parameter_sets is not None
    told = av1.revise(track, units[0].parameter_sets)
    assert (told.width, told.height) == (track.width, track.height) == (322, 182)
    assert told.codec_string == "av01.0.00M.08"


# Laws.


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_unit_and_a_track_or_a_bitstream_error(data: bytes) -> None:
    with suppress(BitstreamError):
        unit = av1.temporal_unit(data, 0)
        if unit.payload:
            assert av1.temporal_unit(unit.payload, 0) == unit
    with suppress(BitstreamError):
        av1.track_from_av1c(b"\x81\x08\x0c\x00" + data)
    with suppress(BitstreamError):
        av1.revise(None, (obu(1, data),))
    with suppress(BitstreamError):
        av1.track_from_sequence_header(data)
