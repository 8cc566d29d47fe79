from __future__ import annotations

import struct
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.media import h264
from streamd.media.access_unit import NALS_PER_UNIT, InBandParameterSetsError
from streamd.media.bits import BitstreamError
from streamd.media.tracks import Codec
from tests.support.bit_writer import BitWriter, escaped
from tests.support.coded import flv_of, messages

CAPTURES = Path(__file__).parents[1] / "vectors" / "rtmp"
SLICE, IDR, SEI, AUD = b"\x41\x9a\x01\x02", b"\x65\x88\x84\x00", b"\x06\x05\x01\xaa\x80", b"\x09\xf0"


def lengths(*nals: bytes, size: int = 4) -> bytes:
    return b"".join(len(nal).to_bytes(size, "big") + nal for nal in nals)


def avcc_in(capture: str) -> bytes:
    """The first AVC sequence header in a capture; it is shorter than a chunk, so it lies there in one piece."""
    data = (CAPTURES / capture).read_bytes()
    at = data.index(b"\x17\x00\x00\x00\x00\x01") + 5
    return data[at : at + 100]


def sps(
    *,
    profile: int = 66,
    chroma: int = 1,
    depth: int = 8,
    units: tuple[int, int] = (20, 12),
    interlaced: bool = False,
    crop: tuple[int, int, int, int] | None = None,
    order: int = 2,
    scaling: bool = False,
    vui: BitWriter | None = None,
    set_id: int = 0,
) -> bytes:
    bits = BitWriter().u(8, profile).u(8, 0).u(8, 31).ue(set_id)
    if profile not in (66, 77, 88):
        bits.ue(chroma)
        if chroma == 3:
            bits.u(1, 0)
        bits.ue(depth - 8, depth - 8).u(1, 0).u(1, int(scaling))
        if scaling:
            bits.u(1, 1).se(*[1] * 16)  # one list in full,
            bits.u(1, 1).se(-8)  # one that falls back at once,
            for _ in range(6 if chroma != 3 else 10):
                bits.u(1, 0)  # the rest absent
    bits.ue(0, order)
    if order == 0:
        bits.ue(4)
    elif order == 1:
        bits.u(1, 0).se(-1, 2).ue(3).se(1, -2, 3)
    bits.ue(1).u(1, 0).ue(units[0] - 1, units[1] - 1).u(1, int(not interlaced))
    if interlaced:
        bits.u(1, 1)
    bits.u(1, 1)
    bits.u(1, int(crop is not None))
    if crop is not None:
        bits.ue(*crop)
    bits.u(1, int(vui is not None))
    if vui is not None:
        bits._bits += vui._bits
    return b"\x67" + escaped(bits.trailing())


def vui(
    *, aspect: int | tuple[int, int] | None = None, transfer: int | None = None, timing: tuple[int, int] | None = None
):
    bits = BitWriter()
    if aspect is None:
        bits.u(1, 0)
    elif isinstance(aspect, int):
        bits.u(1, 1).u(8, aspect)
    else:
        bits.u(1, 1).u(8, 255).u(16, aspect[0]).u(16, aspect[1])
    bits.u(1, 1).u(1, 0)  # overscan
    if transfer is None:
        bits.u(1, 0)
    else:
        bits.u(1, 1).u(3, 5).u(1, 0).u(1, 1).u(8, 9).u(8, transfer).u(8, 9)
    bits.u(1, 1).ue(1, 1)  # chroma location
    if timing is None:
        bits.u(1, 0)
    else:
        bits.u(1, 1).u(32, timing[0]).u(32, timing[1]).u(1, 1)
    return bits.u(1, 0).u(1, 0).u(1, 0).u(1, 0)


PPS = b"\x68\xce\x0f\xc8"


# Configuration.


@pytest.mark.parametrize(
    ("capture", "size", "profile", "fps"),
    [
        ("obs-29.0.2.c2s.bin", (640, 360), "avc1.42C01E", 30.0),
        ("ffmpeg-5.1.9-bframes.c2s.bin", (320, 180), "avc1.64000D", 30.0),
        ("gstreamer-1.22-rtmpsink.c2s.bin", (320, 180), "avc1.", 30.0),
        ("gstreamer-1.22-rtmp2sink.c2s.bin", (320, 180), "avc1.", 30.0),
    ],
)
def test_sequence_headers_of_real_encoders_are_read(
    capture: str, size: tuple[int, int], profile: str, fps: float
) -> None:
    track, length_size = h264.track_from_avcc(avcc_in(capture))
    assert (track.width, track.height, length_size) == (*size, 4)
    assert track.codec_string.startswith(profile)
    assert track.nominal_fps == fps
    assert track.video_range == "SDR"


def test_canonical_config_reads_back_as_the_same_track() -> None:
    track, _ = h264.track_from_avcc(avcc_in("obs-29.0.2.c2s.bin"))
    assert h264.track_from_avcc(track.config) == (track, 4)


def test_config_of_a_high_profile_ends_with_chroma_format_and_bit_depths() -> None:
    track = h264.track_from_parameter_sets([sps(profile=110, depth=10)], [PPS])
    assert track.config[-4:].hex() == "fdfafa00"
    bare = track.config[:-4]
    assert h264.track_from_avcc(bare)[0] == track, "the extension is often missing"
    assert h264.track_from_parameter_sets([sps(profile=77)], [PPS]).config.endswith(PPS)


@pytest.mark.parametrize("length_size", [1, 2, 3, 4])
def test_length_size_is_told_and_config_always_says_four(length_size: int) -> None:
    avcc = bytearray(h264.track_from_parameter_sets([sps()], [PPS]).config)
    avcc[4] = 0xFC | length_size - 1
    track, told = h264.track_from_avcc(bytes(avcc))
    assert told == length_size
    assert track.config[4] == 0xFF


def test_several_parameter_sets_keep_their_order_and_lose_their_padding() -> None:
    first, second = sps(), sps(set_id=1, units=(40, 23))
    other = b"\x68\x5a\x88"
    track = h264.track_from_parameter_sets([first, second], [PPS, other])
    assert h264.parameter_sets(track) == ([first, second], [PPS, other])
    padded = h264.track_from_avcc(
        b"\x01\x42\x00\x1f\xff\xe1" + struct.pack(">H", len(first) + 2) + first + b"\0\0\x01\x00\x04" + PPS
    )[0]
    assert h264.parameter_sets(padded)[0] == [first]
    assert (track.width, track.height) == (320, 192), "the first sequence parameter set is the one"


def test_record_without_parameter_sets_announces_them_in_band() -> None:
    with pytest.raises(InBandParameterSetsError) as caught:
        h264.track_from_avcc(bytes.fromhex("0142c01efde000"))
    assert caught.value.length_size == 2


@pytest.mark.parametrize("cut", [0, 1, 6, 7, 10, 20])
def test_record_cut_short_is_a_bitstream_error(cut: int) -> None:
    avcc = h264.track_from_parameter_sets([sps()], [PPS]).config
    with pytest.raises(BitstreamError):
        h264.track_from_avcc(avcc[:cut])


# The picture.


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        ({"units": (120, 68), "crop": (0, 0, 0, 4)}, (1920, 1080)),
        ({"units": (120, 34), "interlaced": True, "crop": (0, 0, 0, 2)}, (1920, 1080)),
        ({"profile": 122, "chroma": 2, "units": (20, 12), "crop": (1, 1, 2, 2)}, (316, 188)),
        ({"profile": 244, "chroma": 3, "units": (20, 12), "crop": (1, 1, 2, 2), "scaling": True}, (318, 188)),
        ({"profile": 100, "chroma": 0, "units": (20, 12), "crop": (1, 0, 1, 0)}, (319, 191)),
        ({"profile": 100, "scaling": True, "order": 0}, (320, 192)),
        ({"order": 1}, (320, 192)),
    ],
)
def test_size_is_that_of_the_picture_after_cropping(arguments: dict[str, object], size: tuple[int, int]) -> None:
    track = h264.track_from_parameter_sets([sps(**arguments)], [PPS])  # type: ignore[arg-type]
    assert (track.width, track.height) == size


@pytest.mark.parametrize("aspect", [0, 1, 255, 17, 200])
def test_pixels_are_square_where_nothing_else_is_said(aspect: int) -> None:
    given = (0, 5) if aspect == 255 else aspect
    assert h264.track_from_parameter_sets([sps(vui=vui(aspect=given))], [PPS]).pixel_aspect == (1, 1)


def test_usability_information_gives_aspect_range_and_rate() -> None:
    track = h264.track_from_parameter_sets([sps(vui=vui(aspect=14, transfer=16, timing=(1001, 60_000)))], [PPS])
    assert (track.pixel_aspect, track.video_range, track.nominal_fps) == ((4, 3), "PQ", 29.97)
    track = h264.track_from_parameter_sets([sps(vui=vui(aspect=(64, 45), transfer=18, timing=(1, 100)))], [PPS])
    assert (track.pixel_aspect, track.video_range, track.nominal_fps) == ((64, 45), "HLG", 50.0)


@pytest.mark.parametrize("timing", [(0, 60), (1, 0), (1, 2_000_000), (4_000_000_000, 1)])
def test_absurd_timing_is_no_frame_rate(timing: tuple[int, int]) -> None:
    assert h264.track_from_parameter_sets([sps(vui=vui(timing=timing))], [PPS]).nominal_fps is None


def test_usability_information_cut_short_does_not_lose_the_track() -> None:
    whole = sps(vui=vui(aspect=14, transfer=16, timing=(1, 60)))
    track = h264.track_from_parameter_sets([whole[:-9]], [PPS])
    assert (track.width, track.height, track.pixel_aspect, track.nominal_fps) == (320, 192, (4, 3), None)


@pytest.mark.parametrize(
    "broken",
    [
        {"crop": (200, 0, 0, 0)},
        {"units": (2_000, 12)},
        {"profile": 100, "chroma": 4},
        {"profile": 100, "depth": 20},
        {"order": 3},
    ],
)
def test_sequence_parameter_set_that_makes_no_sense_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(BitstreamError):
        h264.track_from_parameter_sets([sps(**broken)], [PPS])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "fps", "pixels", "profile"),
    [
        ((322, 182), Fraction(30), "yuv420p", "avc1.42C0"),
        ((320, 180), Fraction(30_000, 1_001), "yuv422p", "avc1.7A00"),
        ((322, 182), Fraction(25), "yuv444p", "avc1.F400"),
        ((176, 144), Fraction(60_000, 1_001), "yuv420p10le", "avc1.6E00"),
    ],
)
def test_what_x264_writes_is_told_as_it_was_asked_for(
    size: tuple[int, int], fps: Fraction, pixels: str, profile: str
) -> None:
    flv = flv_of("libx264", fps=fps, size=size, pixels=pixels, seconds=0.2)
    header = next(m.body for m in messages(flv) if m.kind == 9)
    track, _ = h264.track_from_avcc(header[5:])
    assert (track.width, track.height) == size
    assert track.codec_string.startswith(profile)
    assert track.nominal_fps == round(float(fps), 3)
    assert track.codec is Codec.H264


# Access units.


def test_single_slice_is_the_message_without_its_header() -> None:
    message = b"\x27\x01\x00\x00\x00" + lengths(SLICE)
    assert h264.access_unit(message, 5, 4) == (lengths(SLICE), False, None)
    message = b"\x17\x01\x00\x00\x00" + lengths(IDR)
    assert h264.access_unit(message, 5, 4) == (lengths(IDR), True, None)


def test_key_frame_claim_of_the_container_is_not_believed() -> None:
    assert not h264.access_unit(b"\x17\x01\x00\x00\x00" + lengths(SLICE), 5, 4).is_sync
    assert h264.access_unit(b"\x27\x01\x00\x00\x00" + lengths(SEI, IDR), 5, 4).is_sync


def test_slices_of_one_picture_stay_together() -> None:
    message = lengths(SLICE, SLICE, SLICE)
    assert h264.access_unit(message, 0, 4) == (message, False, None)
    message = lengths(SEI, IDR, IDR)
    assert h264.access_unit(message, 0, 4) == (message, True, None)


def test_delimiters_filler_and_parameter_sets_are_taken_out_and_messages_kept() -> None:
    filler = b"\x0c\xff\xff\x80"
    unit = h264.access_unit(lengths(AUD, sps(), PPS, SEI, IDR, filler, b"\x0a", b"\x0b"), 0, 4)
    assert unit == (lengths(SEI, IDR), True, (sps(), PPS))
    assert h264.access_unit(lengths(AUD, SLICE), 0, 4) == (lengths(SLICE), False, None)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_short_lengths_become_long_ones(size: int) -> None:
    assert h264.access_unit(lengths(SEI, SLICE, size=size), 0, size) == (lengths(SEI, SLICE), False, None)


def test_empty_nal_units_are_left_out() -> None:
    assert h264.access_unit(lengths(b"", SLICE, b""), 0, 4).payload == lengths(SLICE)


@pytest.mark.parametrize("nals", [(), (AUD,), (SEI,), (b"",)])
def test_message_without_picture_has_no_payload(nals: tuple[bytes, ...]) -> None:
    assert h264.access_unit(b"\x17\x01\0\0\0" + lengths(*nals), 5, 4) == (b"", False, None)


def test_parameter_sets_alone_are_told() -> None:
    assert h264.access_unit(lengths(sps(), PPS), 0, 4) == (b"", False, (sps(), PPS))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("change", [-1, 1, 100])
def test_lengths_that_do_not_add_up_are_refused(size: int, change: int) -> None:
    message = bytearray(lengths(SEI, SLICE, size=size))
    message[size - 1] += change
    with pytest.raises(BitstreamError):
        h264.access_unit(bytes(message), 0, size)


def test_message_of_countless_nal_units_is_refused() -> None:
    with pytest.raises(BitstreamError):
        h264.access_unit(lengths(SLICE) * (NALS_PER_UNIT + 1), 0, 4)
    with pytest.raises(BitstreamError):
        h264.access_unit(bytes(4 * 1_000_000), 0, 4)


@pytest.mark.parametrize("code", [b"\x00\x00\x01", b"\x00\x00\x00\x01"])
def test_start_codes_where_lengths_should_be_are_understood(code: bytes) -> None:
    message = b"\x17\x01\x00\x00\x00" + b"".join(code + nal for nal in (sps(), PPS, SEI, IDR[:3]))
    unit = h264.access_unit(message, 5, 4)
    assert unit == (lengths(SEI, IDR[:3]), True, (sps(), PPS))
    assert unit == h264.annexb_to_access_unit(message, 5)


def recovery_point(frames: int) -> bytes:
    payload = BitWriter().ue(frames).u(4, 0).trailing()
    return b"\x06\x05\x02\xaa\xbb\x06" + bytes((len(payload),)) + payload + b"\x80"


def test_recovery_point_that_needs_no_frames_is_a_sync_point() -> None:
    intra = b"\x41" + BitWriter().ue(0, 7).trailing()
    inter = b"\x41" + BitWriter().ue(0, 5).trailing()
    assert h264.access_unit(lengths(recovery_point(0), intra), 0, 4) == (
        lengths(recovery_point(0), intra),
        True,
        None,
    )
    assert not h264.access_unit(lengths(recovery_point(0), inter), 0, 4).is_sync
    assert not h264.access_unit(lengths(recovery_point(12), intra), 0, 4).is_sync
    assert not h264.access_unit(lengths(SEI, intra), 0, 4).is_sync
    assert not h264.access_unit(lengths(b"\x06" + b"\xff" * 3_000, intra), 0, 4).is_sync


def test_open_gop_of_x264_has_sync_points_without_idr() -> None:
    flv = flv_of(
        "libx264", seconds=1.5, options=(("x264-params", "open-gop=1:keyint=10:bframes=2:scenecut=0"),), size=(160, 96)
    )
    units = [h264.access_unit(m.body, 5, 4) for m in messages(flv) if m.kind == 9 and m.body[1] == 1]
    assert sum(unit.is_sync for unit in units) >= 3
    assert sum(b"\x65" in unit.payload[4:5] for unit in units) < 3


# Changed parameter sets.


def test_repeated_parameter_sets_are_the_same_track() -> None:
    track = h264.track_from_parameter_sets([sps()], [PPS])
    assert h264.revise(track, (sps(), PPS)) is track
    assert h264.revise(track, (PPS + b"\x00\x00",)) is track


def test_changed_parameter_set_replaces_the_one_with_its_id() -> None:
    track = h264.track_from_parameter_sets([sps(), sps(set_id=1)], [PPS], track_id=3)
    larger = sps(units=(40, 24))
    revised = h264.revise(track, (larger,))
    assert h264.parameter_sets(revised) == ([larger, sps(set_id=1)], [PPS])
    assert (revised.width, revised.height, revised.track_id) == (640, 384, 3)


def test_flood_of_parameter_sets_is_refused() -> None:
    track = h264.track_from_parameter_sets([sps()], [PPS])
    with pytest.raises(BitstreamError):
        h264.revise(track, [b"\x67\x42\x00\x1f" + bytes((128, n & 255, n >> 8, 1)) for n in range(2_000)])


def test_first_track_can_come_from_in_band_sets() -> None:
    with pytest.raises(InBandParameterSetsError):
        h264.revise(None, (sps(),))
    assert h264.revise(None, (sps(), PPS), track_id=1) == h264.track_from_parameter_sets([sps()], [PPS], track_id=1)


# Laws.


def allowed(call: object, *arguments: object) -> None:
    """A value or a BitstreamError, nothing else."""
    with suppress(BitstreamError):
        call(*arguments)  # type: ignore[operator]


@given(st.binary(max_size=300), st.integers(1, 4))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_an_access_unit_or_a_bitstream_error(data: bytes, size: int) -> None:
    allowed(h264.access_unit, data, 0, size)
    allowed(h264.annexb_to_access_unit, data)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(1, 4))
@settings(deadline=None)
def test_payload_always_consists_of_whole_nal_units(nals: list[bytes], size: int) -> None:
    unit = h264.access_unit(lengths(*nals, size=size), 0, size)
    at = 0
    while at < len(unit.payload):
        at += 4 + int.from_bytes(unit.payload[at : at + 4], "big")
    assert at == len(unit.payload)
    if unit.payload:
        assert h264.access_unit(unit.payload, 0, 4) == (unit.payload, unit.is_sync, None)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_records_are_a_track_or_a_bitstream_error(data: st.DataObject) -> None:
    avcc = bytearray(avcc_in("ffmpeg-5.1.9-bframes.c2s.bin")[:60])
    for _ in range(data.draw(st.integers(0, 6))):
        avcc[data.draw(st.integers(0, len(avcc) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(avcc[: data.draw(st.integers(0, len(avcc)))])
    allowed(h264.track_from_avcc, damaged)
    allowed(h264.revise, None, [damaged])
    allowed(h264.revise, h264.track_from_parameter_sets([sps()], [PPS]), [b"\x67" + damaged, b"\x68" + damaged])
