from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.media import hevc
from streamd.media.access_unit import InBandParameterSetsError
from streamd.media.bits import BitstreamError
from tests.support.bit_writer import BitWriter, escaped
from tests.support.coded import QUIET_X265, flv_of, messages


def nal(kind: int, body: bytes = b"\x80\x12") -> bytes:
    return bytes((kind << 1, 1)) + body


TRAIL, IDR, CRA, AUD, FILLER, SEI = nal(1), nal(19), nal(21), nal(35), nal(38), nal(39)
VPS = nal(32, b"\x0c\x01\xff\xff")
PPS = nal(34, b"\xc0\x73\xc0\x4c\x90")


def lengths(*nals: bytes, size: int = 4) -> bytes:
    return b"".join(len(each).to_bytes(size, "big") + each for each in nals)


def sps(
    *,
    tier_level: str = "016000000090000000000 05d".replace(" ", ""),
    layers: int = 1,
    chroma: int = 1,
    depth: int = 8,
    size: tuple[int, int] = (1920, 1088),
    window: tuple[int, int, int, int] | None = (0, 0, 0, 4),
    tools: str = "plain",
    transfer: int | None = None,
    timing: tuple[int, int] | None = None,
    set_id: int = 0,
) -> bytes:
    bits = BitWriter().u(4, 0).u(3, layers - 1).u(1, 1)
    for byte in bytes.fromhex(tier_level):
        bits.u(8, byte)
    for _ in range(layers - 1):
        bits.u(1, 1).u(1, 1)
    if layers > 1:
        bits.u(2 * (9 - layers), 0)
    for _ in range(layers - 1):
        bits.u(88, 5).u(8, 90)
    bits.ue(set_id, chroma)
    if chroma == 3:
        bits.u(1, 0)
    bits.ue(*size).u(1, int(window is not None))
    if window:
        bits.ue(*window)
    bits.ue(depth - 8, depth - 8, 4)
    bits.u(1, 1)
    for _ in range(layers):
        bits.ue(4, 2, 5)
    bits.ue(0, 3, 0, 3, 0, 0)
    _tools(bits, tools)
    bits.u(1, 1).u(1, 1)  # temporal_mvp, strong_intra
    has_vui = transfer is not None or timing is not None
    bits.u(1, int(has_vui))
    if has_vui:
        _vui(bits, transfer, timing)
    return b"\x42\x01" + escaped(bits.trailing())


def _tools(bits: BitWriter, tools: str) -> None:
    if tools == "plain":
        bits.u(1, 0).u(2, 3).u(1, 0).ue(0).u(1, 0)
        return
    bits.u(1, 1).u(1, 1)  # scaling lists: one in full at every size, the rest predicted
    for size in range(4):
        for matrix in range(2 if size == 3 else 6):
            if matrix:
                bits.u(1, 0).ue(1)
                continue
            bits.u(1, 1)
            if size > 1:
                bits.se(-3)
            bits.se(*[1] * min(64, 1 << (4 + (size << 1))))
    bits.u(2, 3)
    bits.u(1, 1).u(8, 0x77).ue(0, 2).u(1, 1)  # pcm
    bits.ue(3)
    bits.ue(2, 1).ue(0).u(1, 1).ue(1).u(1, 1).ue(0).u(1, 1)  # two before, one after
    bits.u(1, 1).u(1, 0).ue(0)  # predicted from it: four flags, one picture left out
    bits.u(1, 1).u(1, 0).u(1, 1).u(1, 0).u(1, 0).u(1, 1)
    bits.u(1, 1).u(1, 1).ue(1)  # predicted from that one: three pictures and itself
    bits.u(4, 15)
    bits.u(1, 1).ue(2)  # long-term pictures of log2_max_pic_order_cnt_lsb 8
    for _ in range(2):
        bits.u(8, 200).u(1, 1)


def _vui(bits: BitWriter, transfer: int | None, timing: tuple[int, int] | None) -> None:
    bits.u(1, 1).u(8, 255).u(16, 4).u(16, 3)
    bits.u(1, 0)
    bits.u(1, int(transfer is not None))
    if transfer is not None:
        bits.u(3, 5).u(1, 0).u(1, 1).u(8, 9).u(8, transfer).u(8, 9)
    bits.u(1, 1).ue(0, 0).u(3, 0).u(1, 1).ue(0, 0, 0, 0)
    bits.u(1, int(timing is not None))
    if timing:
        bits.u(32, timing[0]).u(32, timing[1]).u(1, 0).u(1, 0)
    bits.u(1, 0)


@pytest.mark.parametrize(
    ("tier_level", "codec"),
    [
        ("01600000009000000000005d", "hvc1.1.6.L93.90"),
        ("0160000000b000000000005d", "hvc1.1.6.L93.B0"),
        ("022000000090000000000099", "hvc1.2.4.L153.90"),
        ("216000000000000000000078", "hvc1.1.6.H120"),
        ("416000000090000800000078", "hvc1.A1.6.L120.90.0.8"),
    ],
)
def test_codec_string_follows_profile_tier_and_level(tier_level: str, codec: str) -> None:
    track = hevc.track_from_parameter_sets([VPS], [sps(tier_level=tier_level)], [PPS])
    assert track.codec_string == codec
    assert track.config[1:13].hex() == tier_level


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("tools", ["plain", "everything"])
def test_usability_information_is_found_behind_all_coding_tools(layers: int, tools: str) -> None:
    track = hevc.track_from_parameter_sets(
        [VPS], [sps(layers=layers, tools=tools, transfer=16, timing=(1001, 60_000))], [PPS]
    )
    assert (track.width, track.height, track.pixel_aspect) == (1920, 1080, (4, 3))
    assert (track.video_range, track.nominal_fps) == ("PQ", 59.94)
    assert track.config[21] >> 3 & 7 == layers


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        ({"window": None}, (1920, 1088)),
        ({"chroma": 2, "window": (1, 1, 2, 2)}, (1916, 1084)),
        ({"chroma": 3, "window": (1, 1, 2, 2)}, (1918, 1084)),
        ({"chroma": 0, "depth": 10, "window": (0, 1, 0, 0)}, (1919, 1088)),
    ],
)
def test_size_is_that_of_the_conformance_window(arguments: dict[str, object], size: tuple[int, int]) -> None:
    track = hevc.track_from_parameter_sets([VPS], [sps(**arguments)], [PPS])  # type: ignore[arg-type]
    assert (track.width, track.height) == size


def test_config_is_canonical_complete_and_reads_back() -> None:
    track = hevc.track_from_parameter_sets([VPS], [sps(depth=10, transfer=18)], [PPS], track_id=2)
    assert track.video_range == "HLG"
    header = track.config[:23]
    assert header[0] == 1
    assert header[13:23].hex() == "f000fcfdfafa00000f03"
    assert [track.config[23], track.config.count(b"\xa1\x00\x01"), track.config.count(b"\xa2\x00\x01")] == [0xA0, 1, 1]
    assert hevc.track_from_hvcc(track.config, track_id=2) == (track, 4)
    assert hevc.parameter_sets(track) == ([VPS], [sps(depth=10, transfer=18)], [PPS])


def test_record_in_any_order_with_messages_and_short_lengths_gives_the_canonical_config() -> None:
    track = hevc.track_from_parameter_sets([VPS], [sps()], [PPS])
    groups = [(39, SEI), (34, PPS), (33, sps()), (32, VPS)]
    arrays = b"".join(bytes((kind, 0, 1)) + len(each).to_bytes(2, "big") + each for kind, each in groups)
    record = track.config[:21] + bytes((0x0D, len(groups))) + arrays
    assert hevc.track_from_hvcc(record) == (track, 2)


def test_record_without_parameter_sets_announces_them_in_band() -> None:
    record = hevc.track_from_parameter_sets([VPS], [sps()], [PPS]).config[:22] + b"\x00"
    with pytest.raises(InBandParameterSetsError) as caught:
        hevc.track_from_hvcc(record)
    assert caught.value.length_size == 4
    assert hevc.revise(None, (VPS, sps(), PPS)).width == 1920


def test_encoder_without_video_parameter_set_is_accepted() -> None:
    track = hevc.track_from_parameter_sets([], [sps()], [PPS])
    assert hevc.track_from_hvcc(track.config)[0] == track


@pytest.mark.parametrize(
    ("size", "fps", "pixels", "codec"),
    [
        ((322, 182), Fraction(30), "yuv420p", "hvc1.1.6.L60."),
        ((176, 144), Fraction(25), "yuv420p10le", "hvc1.2.4.L60."),
        ((640, 360), Fraction(60_000, 1_001), "yuv420p", "hvc1.1.6.L90."),
    ],
)
def test_what_x265_writes_is_told_as_it_was_asked_for(
    size: tuple[int, int], fps: Fraction, pixels: str, codec: str
) -> None:
    flv = flv_of("libx265", fps=fps, size=size, pixels=pixels, seconds=0.2)
    header = next(m.body for m in messages(flv) if m.body[:5] == b"\x90hvc1")
    track, _ = hevc.track_from_hvcc(header[5:])
    assert (track.width, track.height, track.nominal_fps) == (*size, round(float(fps), 3))
    assert track.codec_string.startswith(codec)


def test_hdr_of_x265_is_told() -> None:
    parameters = f"{QUIET_X265}:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:sar=4"
    flv = flv_of("libx265", pixels="yuv420p10le", seconds=0.1, options=(("x265-params", parameters),))
    header = next(m.body for m in messages(flv) if m.body[:5] == b"\x90hvc1")
    track, _ = hevc.track_from_hvcc(header[5:])
    assert (track.video_range, track.pixel_aspect) == ("PQ", (16, 11))


# Access units.


def test_single_slice_is_the_message_without_its_header() -> None:
    message = b"\xa3hvc1" + lengths(TRAIL)
    assert hevc.access_unit(message, 5, 4) == (lengths(TRAIL), False, None)
    for irap in (IDR, CRA, nal(16), nal(20)):
        assert hevc.access_unit(b"\xa3hvc1" + lengths(irap), 5, 4) == (lengths(irap), True, None)


def test_messages_and_slices_stay_and_the_rest_is_taken_out() -> None:
    message = lengths(SEI, IDR, IDR, nal(40), nal(62))
    assert hevc.access_unit(message, 0, 4) == (message, True, None)
    unit = hevc.access_unit(lengths(AUD, VPS, sps(), PPS, SEI, CRA, FILLER), 0, 4)
    assert unit == (lengths(SEI, CRA), True, (VPS, sps(), PPS))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_short_lengths_become_long_ones(size: int) -> None:
    assert hevc.access_unit(lengths(SEI, TRAIL, size=size), 0, size) == (lengths(SEI, TRAIL), False, None)


@pytest.mark.parametrize("nals", [(), (AUD,), (SEI,), (b"",), (b"\x02",)])
def test_message_without_picture_has_no_payload(nals: tuple[bytes, ...]) -> None:
    assert hevc.access_unit(lengths(*nals), 0, 4) == (b"", False, None)


def test_start_codes_where_lengths_should_be_are_understood() -> None:
    message = b"".join(b"\0\0\0\x01" + each for each in (VPS, sps(), PPS, IDR))
    assert hevc.access_unit(message, 0, 4) == (lengths(IDR), True, (VPS, sps(), PPS))


def test_lengths_that_do_not_add_up_are_refused() -> None:
    for message in (lengths(TRAIL) + b"\x00", lengths(TRAIL)[:-1], lengths(SEI, TRAIL)[:-1]):
        with pytest.raises(BitstreamError):
            hevc.access_unit(message, 0, 4)


def test_every_picture_of_x265_is_taken_whole() -> None:
    flv = flv_of("libx265", seconds=0.5)
    pictures = [m.body for m in messages(flv) if m.kind == 9 and m.body[1:5] == b"hvc1" and m.body[0] & 15 in (1, 3)]
    units = [hevc.access_unit(body, 8 if body[0] & 15 == 1 else 5, 4) for body in pictures]
    assert [unit.is_sync for unit in units] == [True] + [False] * (len(units) - 1)
    assert all(unit.payload for unit in units)


# Changed parameter sets.


def test_repeated_parameter_sets_are_the_same_track() -> None:
    track = hevc.track_from_parameter_sets([VPS], [sps()], [PPS])
    assert hevc.revise(track, (VPS, sps(), PPS + b"\0")) is track


def test_changed_parameter_set_replaces_the_one_with_its_id() -> None:
    track = hevc.track_from_parameter_sets([VPS], [sps(), sps(set_id=1)], [PPS])
    smaller = sps(size=(1280, 720), window=None)
    revised = hevc.revise(track, (smaller, nal(32, b"\x0c\x01\xff\xfe"), nal(34, b"\x40\x73")))
    assert hevc.parameter_sets(revised) == (
        [nal(32, b"\x0c\x01\xff\xfe")],
        [smaller, sps(set_id=1)],
        [PPS, nal(34, b"\x40\x73")],
    )
    assert (revised.width, revised.height) == (1280, 720)


# Laws.


@given(st.binary(max_size=300), st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_an_access_unit_or_a_bitstream_error(data: bytes, size: int) -> None:
    with suppress(BitstreamError):
        hevc.access_unit(data, 0, size)
    hevc.annexb_to_access_unit(data)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_parameter_sets_are_a_track_or_a_bitstream_error(data: st.DataObject) -> None:
    whole = hevc.track_from_parameter_sets([VPS], [sps(tools="everything", layers=2, timing=(1, 30))], [PPS])
    record = bytearray(whole.config)
    for _ in range(data.draw(st.integers(0, 8))):
        record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(record[: data.draw(st.integers(0, len(record)))])
    with suppress(BitstreamError):
        hevc.track_from_hvcc(damaged)
    for kind in (32, 33, 34):
        with suppress(BitstreamError):
            hevc.revise(whole, [nal(kind, damaged)])
