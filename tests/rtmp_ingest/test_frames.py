"""Messages to tracks and frames: every codec and form that goes on air, and what survives being wrong."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmp_ingest import amf0
from rtmp_ingest.frames import Dropped, FrameReader, Hint, Output
from rtmp_ingest.messages import Message
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import AudioTrack, Codec, VideoTrack
from tests.rtmp_ingest.stage import CAPTURES, LIMITS

SPS = bytes.fromhex("6742c01eda0280bfe5c05a808080a000000300200000079 1e2c5d4".replace(" ", ""))
PPS = bytes.fromhex("68ce3c80")
OTHER_SPS = bytes.fromhex("67f4000d90d9640506 7e37016a0c0c0c8000000300800000 1e478a1524".replace(" ", ""))
OTHER_PPS = bytes.fromhex("68ebcc448440")


def avcc(sps: bytes, pps: bytes, length_size: int = 4) -> bytes:
    head = b"\x01" + sps[1:4] + bytes([0xFC | (length_size - 1), 0xE1])
    return head + len(sps).to_bytes(2, "big") + sps + b"\x01" + len(pps).to_bytes(2, "big") + pps


def units(*nals: bytes, length_size: int = 4) -> bytes:
    return b"".join(len(nal).to_bytes(length_size, "big") + nal for nal in nals)


AVC_HEADER = b"\x17\x00\x00\x00\x00" + avcc(SPS, PPS)
AAC_HEADER = b"\xaf\x00\x11\x90"
IDR, SLICE = b"\x65" + b"\x88" * 20, b"\x41" + b"\x9a" * 20


class Feed:
    """A publication's messages, one after another."""

    def __init__(self) -> None:
        self.reader = FrameReader(limits=LIMITS)

    def video(self, payload: bytes, time: int = 0) -> list[Output]:
        return self._receive(9, payload, time)

    def audio(self, payload: bytes, time: int = 0) -> list[Output]:
        return self._receive(8, payload, time)

    def _receive(self, kind: int, payload: bytes, time: int) -> list[Output]:
        outputs: list[Output] = []
        self.reader.receive(Message(kind, 1, time, payload), outputs)
        return outputs

    def started(self) -> Feed:
        self.video(AVC_HEADER)
        self.audio(AAC_HEADER)
        return self


def avc(*nals: bytes, cts: int = 0, first: int = 0x27, length_size: int = 4) -> bytes:
    offset = (cts & 0xFFFFFF).to_bytes(3, "big")
    return bytes([first, 1]) + offset + units(*nals, length_size=length_size)


def frame_of(outputs: list[Output]) -> EncodedFrame:
    (frame,) = outputs
    assert isinstance(frame, EncodedFrame)
    return frame


def flv_messages(path: Path) -> list[Message]:
    """The tags of an FLV file as messages."""
    data = path.read_bytes()
    at, found = 13, []
    while at + 11 <= len(data):
        length = int.from_bytes(data[at + 1 : at + 4], "big")
        time = int.from_bytes(data[at + 4 : at + 7], "big") | data[at + 7] << 24
        found.append(Message(data[at], 1, time, data[at + 11 : at + 11 + length]))
        at += 15 + length
    return found


def read_flv(name: str) -> list[Output]:
    reader, outputs = FrameReader(limits=LIMITS), list[Output]()
    for message in flv_messages(CAPTURES / name):
        if message.type_id in (8, 9):
            reader.receive(message, outputs)
    return outputs


def by_track(outputs: list[Output]) -> Counter[tuple[str, int]]:
    return Counter((str(o.track.codec), o.track.track_id) for o in outputs if isinstance(o, EncodedFrame))


# Legacy


def test_a_track_is_announced_before_its_first_frame() -> None:
    feed = Feed()
    (track,) = feed.video(AVC_HEADER)
    assert isinstance(track, VideoTrack)
    assert (track.codec, track.width, track.height, track.codec_string) == (Codec.H264, 640, 360, "avc1.42C01E")
    frame = frame_of(feed.video(avc(IDR, first=0x17), 1000))
    assert frame == EncodedFrame(track, 90_000, 0, True, units(IDR))
    (audio,) = feed.audio(AAC_HEADER)
    assert isinstance(audio, AudioTrack)
    assert frame_of(feed.audio(b"\xaf\x01sound", 1000)) == EncodedFrame(audio, 48_000, 0, True, b"sound")


@pytest.mark.parametrize(("cts", "ticks"), [(0, 0), (66, 5940), (-33, -2970), (-8_388_608, -754_974_720)])
def test_composition_offsets_are_signed(cts: int, ticks: int) -> None:
    assert frame_of(Feed().started().video(avc(SLICE, cts=cts))).cts == ticks


def test_the_bitstream_says_what_a_key_frame_is_not_the_encoder() -> None:
    feed = Feed().started()
    assert not frame_of(feed.video(avc(SLICE, first=0x17))).is_sync
    assert frame_of(feed.video(avc(IDR, first=0x27))).is_sync


@pytest.mark.parametrize("length_size", [1, 2, 3, 4])
def test_lengths_of_nal_units_come_in_any_size(length_size: int) -> None:
    feed = Feed()
    feed.video(b"\x17\x00\x00\x00\x00" + avcc(SPS, PPS, length_size))
    frame = frame_of(feed.video(avc(IDR, SLICE, length_size=length_size)))
    assert frame.payload == units(IDR, SLICE)


def test_repeated_headers_change_nothing() -> None:
    feed = Feed().started()
    assert feed.video(AVC_HEADER, 5000) == []
    assert feed.audio(AAC_HEADER, 5000) == []


def test_a_header_that_says_the_same_in_other_bytes_changes_nothing() -> None:
    feed = Feed().started()
    assert feed.video(AVC_HEADER + b"\xff\xff") == []


def test_a_changed_header_is_a_new_revision() -> None:
    feed = Feed().started()
    (track,) = feed.video(b"\x17\x00\x00\x00\x00" + avcc(OTHER_SPS, OTHER_PPS))
    assert isinstance(track, VideoTrack)
    assert (track.width, track.height) == (320, 180)
    assert frame_of(feed.video(avc(IDR))).track is track
    (audio,) = feed.audio(b"\xaf\x00\x12\x10")
    assert isinstance(audio, AudioTrack)
    assert audio.sample_rate_hz == 44_100
    assert frame_of(feed.audio(b"\xaf\x01sound", 1000)).dts == 44_100


def test_parameter_sets_inside_frames_are_taken_out_and_noticed_only_when_new() -> None:
    feed = Feed().started()
    same = frame_of(feed.video(avc(SPS, PPS, IDR)))
    assert same.payload == units(IDR)
    track, frame = feed.video(avc(OTHER_SPS, OTHER_PPS, IDR))
    assert isinstance(track, VideoTrack)
    assert isinstance(frame, EncodedFrame)
    assert (track.width, frame.track is track) == (320, True)
    assert frame_of(feed.video(avc(SLICE))).track is track
    assert feed.video(AVC_HEADER) == [], "the header of the start says nothing new and takes nothing back"


def test_parameter_sets_that_come_only_inside_frames_are_enough() -> None:
    track, frame = Feed().video(avc(SPS, PPS, IDR))
    assert isinstance(track, VideoTrack)
    assert isinstance(frame, EncodedFrame)
    assert track.width == 640


def test_a_header_without_parameter_sets_waits_for_those_inside_frames() -> None:
    feed = Feed()
    assert feed.video(b"\x17\x00\x00\x00\x00\x01\x42\xc0\x1e\xfd\xe0\x00") == []
    track, _ = feed.video(avc(SPS, PPS, IDR, length_size=2))
    assert isinstance(track, VideoTrack)


def test_a_message_of_parameter_sets_alone_is_no_frame() -> None:
    assert Feed().started().video(avc(SPS, PPS)) == []


def test_access_unit_delimiters_are_taken_out() -> None:
    assert frame_of(Feed().started().video(avc(b"\x09\xf0", IDR))).payload == units(IDR)


def test_the_end_of_a_sequence_and_command_frames_are_no_frames() -> None:
    feed = Feed().started()
    assert feed.video(b"\x17\x02\x00\x00\x00") == []
    assert feed.video(b"\x57\x00") == []
    assert feed.video(b"") == []
    assert feed.audio(b"") == []
    assert feed.audio(b"\xaf\x01") == []


# What is wrong and survives


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        (b"\x22screen", "unsupported_video_h263"),
        (b"\x2dsomething", "unsupported_video_av1_legacy"),
        (b"\x2fsomething", "unsupported_video_id_15"),
        (b"\xa1vp09frame", "unsupported_video_vp09"),
        (b"\xa1\xff\x00\n!frame", "unsupported_video_unknown"),
        (b"\x27\x01\x00", "video_unreadable"),
        (b"\x27\x01\x00\x00\x00\x00\x00\x00\xffshort", "video_unreadable"),
        (b"\x17\x00\x00\x00\x00garbage", "video_header_unreadable"),
        (b"\xa1hv", "video_unreadable"),
        (b"\x95avc1", "video_unreadable"),
        (b"\xa1hvc1\x00\x00\x00frame", "video_before_header"),
        (b"\x2c\x01\x00\x00\x00frame", "video_before_header"),
    ],
)
def test_video_that_gives_nothing_is_one_word(payload: bytes, word: str) -> None:
    feed = Feed().started()
    assert feed.video(payload) == [Dropped(word)]
    assert frame_of(feed.video(avc(IDR))), "and the stream goes on"


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        (b"\x2fmp3", "unsupported_audio_mp3"),
        (b"\x7fa-law", "unsupported_audio_g711a"),
        (b"\xbfspeex", "unsupported_audio_speex"),
        (b"\xcfsomething", "unsupported_audio_id_12"),
        (b"\x91fLaCframe", "unsupported_audio_flac"),
        (b"\xaf\x07wat", "audio_unreadable"),
        (b"\xaf\x00\xff\xff\xff", "audio_header_unreadable"),
        (b"\x91Op", "audio_unreadable"),
        (b"\x91Opusframe", "audio_before_header"),
        (b"\x90Opusgarbage", "audio_header_unreadable"),
    ],
)
def test_audio_that_gives_nothing_is_one_word(payload: bytes, word: str) -> None:
    feed = Feed().started()
    assert feed.audio(payload) == [Dropped(word)]
    assert frame_of(feed.audio(b"\xaf\x01sound"))


def test_frames_before_any_header_are_dropped_and_counted() -> None:
    feed = Feed()
    assert feed.video(avc(IDR)) == [Dropped("video_before_header")]
    assert feed.audio(b"\xaf\x01sound") == [Dropped("audio_before_header")]


def test_another_codec_makes_the_old_header_void() -> None:
    feed = Feed().started()
    head = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00"
    (opus,) = feed.audio(b"\x90Opus" + head)
    assert isinstance(opus, AudioTrack)
    assert feed.audio(b"\xaf\x01sound") == [Dropped("audio_before_header")]
    assert frame_of(feed.audio(b"\x91Opus\xfcpacket", 20)).dts == 960
    (aac,) = feed.audio(AAC_HEADER)
    assert isinstance(aac, AudioTrack)
    assert aac.codec is Codec.AAC


@given(st.lists(st.tuples(st.sampled_from([8, 9]), st.binary(max_size=60)), max_size=8))
@settings(max_examples=300, deadline=None)
def test_any_messages_give_outputs_and_never_raise(sent: list[tuple[int, bytes]]) -> None:
    feed = Feed().started()
    for kind, payload in sent:
        for output in feed._receive(kind, payload, 0):
            if isinstance(output, EncodedFrame):
                assert output.payload


# Time


def test_time_wraps_for_audio_and_video_together() -> None:
    feed = Feed().started()
    start = 0xFFFFFF00
    times = [frame_of(feed.video(avc(SLICE), (start + at) % 2**32)).dts for at in (0, 200, 400)]
    assert times == [90 * (start + at) for at in (0, 200, 400)]
    assert frame_of(feed.audio(b"\xaf\x01sound", (start + 420) % 2**32)).dts == 48 * (start + 420)
    assert frame_of(feed.audio(b"\xaf\x01sound", start)).dts == 48 * start, "audio behind the wrap stays behind"


def test_time_that_goes_back_stays_back() -> None:
    feed = Feed().started()
    assert [frame_of(feed.video(avc(SLICE), at)).dts for at in (5000, 4990, 5030)] == [450_000, 449_100, 452_700]


def test_headers_at_time_zero_do_not_disturb_the_line() -> None:
    """OBS sends headers with time 0; some encoders repeat them so in mid-stream."""
    feed = Feed().started()
    first = frame_of(feed.video(avc(SLICE), 0xF0000000)).dts
    feed.video(AVC_HEADER, 0)
    assert frame_of(feed.video(avc(SLICE), 0xF0000021)).dts == first + 33 * 90


# Enhanced


def test_nanoseconds_move_the_presentation() -> None:
    feed = Feed()
    feed.video(b"\x90avc1" + avcc(SPS, PPS))
    plain = frame_of(feed.video(b"\xa1avc1\x00\x00\x21" + units(SLICE), 100))
    assert (plain.dts, plain.cts) == (9000, 2970)
    shifted = b"\xa7\x02" + (500_000).to_bytes(3, "big") + b"\x01avc1\x00\x00\x21" + units(SLICE)
    assert (frame_of(feed.video(shifted, 100)).dts, frame_of(feed.video(shifted, 100)).cts) == (9000, 3015)
    feed.audio(b"\x90mp4a\x11\x90")
    late = b"\x97\x02" + (250_000).to_bytes(3, "big") + b"\x01mp4asound"
    assert frame_of(feed.audio(late, 100)).dts == 4812


def test_an_empty_audio_frame_is_silence_and_an_end_is_no_frame() -> None:
    feed = Feed()
    feed.audio(b"\x90mp4a\x11\x90")
    for payload in (b"\x91mp4a", b"\x92mp4a", b"\x94mp4a\x01\x02\x00\x00\x00\x03"):
        assert feed.audio(payload) == []


def test_colour_information_is_a_hint() -> None:
    info = amf0.encode("colorInfo", {"colorConfig": {"bitDepth": 10}})
    expected = [Hint({"colorInfo": {"colorConfig": {"bitDepth": 10.0}}})]
    assert Feed().video(b"\x84hvc1" + info) == expected
    assert Feed().video(b"\x84vvc1" + info) == expected
    assert Feed().video(b"\x84hvc1garbage") == []


def test_many_tracks_in_one_message_are_many_frames() -> None:
    feed = Feed()
    first, second = avcc(SPS, PPS), avcc(OTHER_SPS, OTHER_PPS)
    start = b"\x96\x10avc1" + b"".join(
        bytes([n]) + len(c).to_bytes(3, "big") + c for n, c in enumerate((first, second))
    )
    tracks = feed.video(start)
    assert [(t.track_id, t.width) for t in tracks if isinstance(t, VideoTrack)] == [(0, 640), (1, 320)]
    body = units(IDR)
    frames = feed.video(
        b"\x96\x13avc1" + b"".join(bytes([n]) + len(body).to_bytes(3, "big") + body for n in range(2)), 40
    )
    assert [(f.track.track_id, f.dts) for f in frames if isinstance(f, EncodedFrame)] == [(0, 3600), (1, 3600)]


def test_tracks_are_limited() -> None:
    feed = Feed()
    words = [feed.video(b"\x96\x00avc1" + bytes([n]) + avcc(SPS, PPS))[0] for n in range(10)]
    assert [isinstance(word, VideoTrack) for word in words] == [True] * 8 + [False] * 2
    assert words[-1] == Dropped("too_many_tracks")


def test_hevc_and_opus_as_ffmpeg_writes_them() -> None:
    outputs = read_flv("enhanced-hevc-opus.flv")
    video, audio = (o for o in outputs if isinstance(o, (VideoTrack, AudioTrack)))
    assert isinstance(video, VideoTrack)
    assert isinstance(audio, AudioTrack)
    assert (video.codec, video.width, video.height) == (Codec.HEVC, 320, 180)
    assert (audio.codec, audio.sample_rate_hz, audio.channel_count) == (Codec.OPUS, 48_000, 2)
    frames = [o for o in outputs if isinstance(o, EncodedFrame)]
    pictures = [frame for frame in frames if frame.track is video]
    assert len(pictures) == 20
    assert [frame.is_sync for frame in pictures].count(True) == 2
    assert {frame.cts for frame in pictures} != {0}, "B-frames"
    shown = sorted(frame.dts + frame.cts for frame in pictures)
    assert all(2_900 <= after - before <= 3_100 for before, after in pairwise(shown))
    assert len(frames) - len(pictures) == 33
    assert sum(isinstance(o, Hint) for o in outputs) == 1
    assert not [o for o in outputs if isinstance(o, Dropped)]


def test_av1_as_ffmpeg_writes_it() -> None:
    outputs = read_flv("enhanced-av1-aac.flv")
    assert by_track(outputs) == {("av1", 0): 20, ("aac", 0): 31}
    assert not [o for o in outputs if isinstance(o, Dropped)]
    first = next(o for o in outputs if isinstance(o, EncodedFrame) and o.track.codec is Codec.AV1)
    assert first.is_sync
    assert first.payload[0] >> 3 & 15 != 2, "no temporal delimiter"


def test_a_second_track_is_kept_beside_the_one_on_air() -> None:
    outputs = read_flv("enhanced-h264x2-aac.flv")
    assert by_track(outputs) == {("h264", 0): 20, ("h264", 1): 20, ("aac", 0): 31}
    sizes = {o.track_id: (o.width, o.height) for o in outputs if isinstance(o, VideoTrack)}
    assert sizes == {0: (320, 180), 1: (160, 90)}
    on_air, beside = (
        [o for o in outputs if isinstance(o, EncodedFrame) and o.track.is_video and o.track.track_id == n]
        for n in (0, 1)
    )
    assert [(f.dts, f.is_sync) for f in on_air] == [(f.dts, f.is_sync) for f in beside], "one grid of key frames"


def test_two_codecs_at_once() -> None:
    assert by_track(read_flv("enhanced-hevc-av1.flv")) == {("hevc", 0): 20, ("av1", 1): 20}
