from __future__ import annotations

import io
import json
import struct
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.media import aac, av1, flv, h264, hevc, opus
from streamd.media.frames import EncodedFrame
from streamd.media.ticks import rescale
from streamd.media.tracks import AudioTrack, Codec, Track, VideoTrack
from tests.support.coded import Message, flv_of, messages

H264 = VideoTrack(codec=Codec.H264, config=b"\x01avcC", codec_string="avc1.640028", width=1920, height=1080)
HEVC = VideoTrack(codec=Codec.HEVC, config=b"\x01hvcC", codec_string="hvc1.1.6.L93", width=1920, height=1080)
AV1 = VideoTrack(codec=Codec.AV1, config=b"\x81av1C", codec_string="av01.0.08M.08", width=1920, height=1080)
AAC = AudioTrack(
    codec=Codec.AAC,
    config=b"\x11\x90",
    codec_string="mp4a.40.2",
    sample_rate_hz=48_000,
    channel_count=2,
    samples_per_frame=1024,
)
OPUS = opus.track_from_head(b"OpusHead" + bytes.fromhex("01 02 3801 80bb0000 0000 00"))


def video(track: VideoTrack, *, dts_ms: int = 0, cts_ms: int = 0, is_sync: bool = False) -> EncodedFrame:
    return EncodedFrame(track, dts_ms * 90, cts_ms * 90, is_sync, b"payload")


@pytest.mark.parametrize(("audio", "video", "flags"), [(True, True, 5), (True, False, 4), (False, True, 1)])
def test_header_tells_the_truth_about_tracks(audio: bool, video: bool, flags: int) -> None:
    assert flv.file_header(audio, video) == b"FLV\x01" + bytes((flags,)) + bytes.fromhex("00000009 00000000")


@pytest.mark.parametrize(
    ("frame", "prefix"),
    [
        (video(H264, is_sync=True), "17 01 000000"),
        (video(H264, cts_ms=67), "27 01 000043"),
        (video(H264, cts_ms=-33), "27 01 ffffdf"),
        (video(HEVC, is_sync=True), "93 68766331"),
        (video(HEVC, cts_ms=67), "a1 68766331 000043"),
        (video(HEVC, is_sync=True, cts_ms=-33), "91 68766331 ffffdf"),
        (video(AV1, is_sync=True), "91 61763031"),
        (video(AV1, cts_ms=67), "a1 61763031"),
        (EncodedFrame(AAC, 0, 0, True, b"payload"), "af 01"),
        (EncodedFrame(OPUS, 0, 0, True, b"payload"), "91 4f707573"),
    ],
)
def test_body_of_a_frame_begins_as_its_codec_asks(frame: EncodedFrame, prefix: str) -> None:
    assert flv.frame_prefix(frame) == bytes.fromhex(prefix)
    assert flv.frame_body(frame) == bytes.fromhex(prefix) + b"payload"


@pytest.mark.parametrize(
    ("track", "body"),
    [
        (H264, b"\x17\x00\x00\x00\x00\x01avcC"),
        (HEVC, b"\x90hvc1\x01hvcC"),
        (AV1, b"\x90av01\x81av1C"),
        (AAC, b"\xaf\x00\x11\x90"),
        (OPUS, b"\x90OpusOpusHead" + bytes.fromhex("01 02 3801 80bb0000 0000 00")),
    ],
)
def test_sequence_header_carries_the_configuration(track: Track, body: bytes) -> None:
    assert flv.sequence_header_body(track) == body


def test_tag_is_header_body_and_length() -> None:
    assert flv.tag(9, 0x12345678, b"body").hex(" ", 1) == ("09 00 00 04 34 56 78 12 00 00 00 62 6f 64 79 00 00 00 0f")
    assert flv.tag(8, 1 << 32 | 5, b"")[4:8] == b"\x00\x00\x05\x00", "the timestamp wraps"


@given(
    st.sampled_from([H264, HEVC, AV1, AAC, OPUS]),
    st.integers(0, 1 << 48),
    st.integers(-900_000, 900_000),
    st.booleans(),
    st.integers(0, 1 << 33),
    st.binary(max_size=50),
)
@settings(deadline=None)
def test_frame_tag_is_the_tag_of_the_frame_body(
    track: Track, dts: int, cts: int, is_sync: bool, timestamp_ms: int, payload: bytes
) -> None:
    frame = EncodedFrame(track, dts, cts if track.is_video else 0, is_sync or not track.is_video, payload)
    assert flv.frame_tag(frame, timestamp_ms) == flv.tag(flv.tag_type(track), timestamp_ms, flv.frame_body(frame))


@given(st.integers(0, 1 << 44), st.integers(-(1 << 20), 1 << 20))
@settings(deadline=None)
def test_rounded_presentation_time_is_decode_time_plus_offset(dts: int, cts: int) -> None:
    frame = EncodedFrame(H264, dts, cts, False, b"")
    assert flv.dts_ms(frame) == rescale(dts, 90_000, 1_000)
    assert flv.dts_ms(frame) + flv.cts_ms(frame) == rescale(dts + cts, 90_000, 1_000)


# Metadata.


def metadata(tracks: list[Track]) -> dict[str, object]:
    """A decoder of the little AMF0 that is written here."""
    body = flv.metadata_body(tracks)
    assert body.startswith(b"\x02\x00\x0aonMetaData\x08")
    count = struct.unpack_from(">I", body, 14)[0]
    at, values = 18, {}
    while body[at : at + 3] != b"\x00\x00\x09":
        size = struct.unpack_from(">H", body, at)[0]
        name = body[at + 2 : at + 2 + size].decode()
        at += 2 + size
        kind = body[at]
        if kind == 0:
            values[name] = struct.unpack_from(">d", body, at + 1)[0]
            at += 9
        elif kind == 1:
            values[name] = body[at + 1] == 1
            at += 2
        else:
            assert kind == 2
            size = struct.unpack_from(">H", body, at + 1)[0]
            values[name] = body[at + 3 : at + 3 + size].decode()
            at += 3 + size
    assert at + 3 == len(body)
    assert count == len(values)
    return values


def test_metadata_describes_both_tracks() -> None:
    told = metadata([H264, AAC])
    assert (told["width"], told["height"], told["videocodecid"], told["audiocodecid"]) == (1920, 1080, 7, 10)
    assert (told["audiosamplerate"], told["stereo"], told["hasVideo"], told["hasAudio"]) == (48_000, True, True, True)
    assert (told["duration"], told["encoder"]) == (0, "streamd")
    assert "framerate" not in told


@pytest.mark.parametrize(
    ("tracks", "has_video", "has_audio"), [([AAC], False, True), ([AV1], True, False), ([], False, False)]
)
def test_metadata_never_claims_a_track_that_is_not_there(tracks: list[Track], has_video: bool, has_audio: bool) -> None:
    told = metadata(tracks)
    assert (told["hasVideo"], told["hasAudio"]) == (has_video, has_audio)
    assert ("width" in told, "audiocodecid" in told) == (has_video, has_audio)


def test_enhanced_codecs_are_named_by_their_fourcc() -> None:
    told = metadata([HEVC, OPUS])
    assert (told["videocodecid"], told["audiocodecid"]) == (1_752_589_105, 1_332_770_163)


# Against real readers.


def frames_of(source: bytes) -> list[EncodedFrame]:
    """An encoder's FLV as frames: what ingest does, without its care."""
    tracks: dict[int, Track] = {}
    frames: list[EncodedFrame] = []
    for message in messages(source):
        frames += _take(message, tracks)
    return frames


def _take(message: Message, tracks: dict[int, Track]) -> Iterator[EncodedFrame]:
    body, kind = message.body, message.kind
    is_enhanced = body[1:5] in (b"hvc1", b"av01", b"Opus")
    packet = body[0] & 15 if is_enhanced else body[1]  # 0 configuration, 1 and 3 frames, others nothing to us
    if kind == 18 or packet not in (0, 1, 3):
        return
    if packet == 0:
        tracks[kind] = _track(body)
        return
    track = tracks[kind]
    dts = rescale(message.timestamp_ms, 1_000, track.timescale_hz)
    if isinstance(track, AudioTrack):
        yield EncodedFrame(track, dts, 0, True, body[5 if is_enhanced else 2 :])
        return
    start, cts = 5, 0
    if packet == 1 and track.codec is not Codec.AV1:
        at = 5 if is_enhanced else 2
        start, cts = at + 3, int.from_bytes(body[at : at + 3], "big", signed=True) * 90
    if track.codec is Codec.AV1:
        unit = av1.temporal_unit(body, start)
        if unit.parameter_sets:
            track = tracks[kind] = av1.revise(track, unit.parameter_sets)
    else:
        unit = (hevc if is_enhanced else h264).access_unit(body, start, 4)
    yield EncodedFrame(track, dts, cts, unit.is_sync, unit.payload)


def _track(body: bytes) -> Track:
    if body[:2] == b"\x17\x00":
        return h264.track_from_avcc(body[5:])[0]
    if body[:2] == b"\xaf\x00":
        return aac.track_from_config(body[2:])
    readers = {
        b"hvc1": lambda config: hevc.track_from_hvcc(config)[0],
        b"av01": av1.track_from_av1c,
        b"Opus": opus.track_from_head,
    }
    return readers[body[1:5]](body[5:])


def written(frames: list[EncodedFrame]) -> bytes:
    tracks = list({frame.track.is_video: frame.track for frame in frames}.values())
    parts = [
        flv.file_header(any(not t.is_video for t in tracks), any(t.is_video for t in tracks)),
        flv.tag(flv.SCRIPT_TAG, 0, flv.metadata_body(tracks)),
        *(flv.tag(flv.tag_type(track), 0, flv.sequence_header_body(track)) for track in tracks),
        *(flv.frame_tag(frame, flv.dts_ms(frame)) for frame in frames),
    ]
    return b"".join(parts)


B_FRAMES = (("x264-params", "bframes=2:b-adapt=0:scenecut=0"),)


@pytest.mark.parametrize(
    ("picture", "sound", "options"),
    [
        ("libx264", "aac", ()),
        ("libx264", "aac", B_FRAMES),
        ("libx264", None, ()),
        (None, "aac", ()),
        ("libx265", "aac", ()),
        ("libsvtav1", "libopus", ()),
        (None, "libopus", ()),
    ],
)
def test_what_is_written_is_read_and_decoded_frame_for_frame(
    picture: str | None, sound: str | None, options: tuple[tuple[str, str], ...]
) -> None:
    frames = frames_of(flv_of(picture, sound, options=options))
    assert frames
    if options:
        assert any(frame.cts for frame in frames)
    read: dict[str, list[tuple[int, int, bool, bytes]]] = {"video": [], "audio": []}
    decoded = 0
    with av.open(io.BytesIO(written(frames)), format="flv") as container:
        for packet in container.demux():
            if packet.size:
                read[packet.stream.type].append((packet.dts, packet.pts, packet.is_keyframe, bytes(packet)))
            decoded += len(packet.decode()) if packet.stream.type == "video" else 0
    for kind, is_video in (("video", True), ("audio", False)):
        assert read[kind] == [
            (flv.dts_ms(f), flv.dts_ms(f) + flv.cts_ms(f), f.is_sync, f.payload)
            for f in frames
            if f.track.is_video is is_video
        ]
    if picture == "libx264":
        assert decoded == len(read["video"])


@pytest.mark.parametrize("options", [(), B_FRAMES])
def test_ffprobe_sees_the_same_streams_and_timestamps(tmp_path: Path, options: tuple[tuple[str, str], ...]) -> None:
    frames = frames_of(flv_of("libx264", "aac", fps=Fraction(30_000, 1_001), options=options))
    path = tmp_path / "written.flv"
    path.write_bytes(written(frames))
    command = ["ffprobe", "-v", "warning", "-show_streams", "-show_packets", "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=30)
    assert done.stderr == b""
    found = json.loads(done.stdout)
    streams = {stream["codec_type"]: stream for stream in found["streams"]}
    assert (streams["video"]["codec_name"], streams["audio"]["codec_name"]) == ("h264", "aac")
    assert (streams["video"]["width"], streams["video"]["height"]) == (322, 182)
    assert (streams["audio"]["sample_rate"], streams["audio"]["channels"]) == ("48000", 2)
    assert [(p["dts"], p["pts"], "K" in p["flags"]) for p in found["packets"] if p["codec_type"] == "video"] == [
        (flv.dts_ms(f), flv.dts_ms(f) + flv.cts_ms(f), f.is_sync) for f in frames if f.track.is_video
    ]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.binary(max_size=30)), max_size=20))
@settings(max_examples=50, deadline=None)
def test_any_frames_give_tags_that_are_cut_apart_again(steps: list[tuple[bool, int, bytes]]) -> None:
    at, frames = 0, []
    for is_video, step, payload in steps:
        at += step
        frames.append(
            EncodedFrame(H264, at * 90, 0, False, payload) if is_video else EncodedFrame(AAC, at * 48, 0, True, payload)
        )
    tags = list(messages(flv.file_header(True, True) + b"".join(flv.frame_tag(f, flv.dts_ms(f)) for f in frames)))
    assert [(t.kind, t.timestamp_ms, t.body) for t in tags] == [
        (9 if f.track.is_video else 8, flv.dts_ms(f), flv.frame_body(f)) for f in frames
    ]
