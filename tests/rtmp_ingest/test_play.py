"""A stream as RTMP messages: what a player reads is what went on air, byte for byte the same for everyone."""

from __future__ import annotations

import pytest

from rtmp_ingest import amf0, messages
from rtmp_ingest.chunks import ChunkReader
from rtmp_ingest.frames import FrameReader, Output
from rtmp_ingest.messages import Message, UserEvent
from rtmp_ingest.play import RtmpViewer, RtmpWire
from streamd.media import flv
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import Track
from tests.rtmp_ingest.stage import CAPTURES, LIMITS, replay
from tests.rtmp_ingest.test_frames import flv_messages

ORIGIN_MS = 1_800_000_000_000


def on_stream_time(frames: list[EncodedFrame], offset_ms: int) -> list[EncodedFrame]:
    return [frame._replace(dts=frame.dts + offset_ms * frame.track.timescale_hz // 1000) for frame in frames]


def read(data: bytes) -> list[Message]:
    reader = ChunkReader(LIMITS)
    reader.chunk_bytes = 60_000
    return reader.receive(data)


def enhanced(name: str) -> tuple[list[Track], list[EncodedFrame]]:
    reader, outputs = FrameReader(limits=LIMITS), list[Output]()
    for message in flv_messages(CAPTURES / name):
        if message.type_id in (8, 9):
            reader.receive(message, outputs)
    frames = [o for o in outputs if isinstance(o, EncodedFrame) and o.track.track_id == 0]
    tracks: list[Track] = []
    for frame in frames:
        if frame.track not in tracks:
            tracks.append(frame.track)
    return tracks, frames


def programme(name: str) -> tuple[list[Track], list[EncodedFrame]]:
    if name.startswith("enhanced"):
        return enhanced(name)
    played = replay([(CAPTURES / name).read_bytes()])
    return [track for track in played.tracks if hasattr(track, "codec")], played.frames  # type: ignore[misc]


@pytest.mark.parametrize("name", ["ffmpeg-5.1.9-bframes.c2s.bin", "enhanced-hevc-opus.flv", "enhanced-av1-aac.flv"])
def test_what_a_player_reads_is_what_went_on_air(name: str) -> None:
    tracks, frames = programme(name)
    wire = RtmpWire()
    shifted = on_stream_time(frames, ORIGIN_MS + 5_000)
    data = wire.start(tracks, origin_ms=ORIGIN_MS, at_ms=ORIGIN_MS + 5_000)
    data += wire.frames(shifted, origin_ms=ORIGIN_MS)
    metadata, *media = read(data)
    assert metadata.type_id == 18
    assert {message.stream_id for message in media} == {1}
    outputs: list[Output] = []
    reader = FrameReader(limits=LIMITS)
    for message in media:
        reader.receive(message, outputs)
    assert [o for o in outputs if not isinstance(o, EncodedFrame)] == tracks
    found = [o for o in outputs if isinstance(o, EncodedFrame)]
    assert [(f.track, f.payload, f.is_sync) for f in found] == [(f.track, f.payload, f.is_sync) for f in frames]
    for after, before in zip(found, shifted, strict=True):
        expected_ms = flv.dts_ms(before) - ORIGIN_MS
        assert flv.dts_ms(after) == expected_ms
        assert abs(after.cts - before.cts) <= 90


def test_metadata_says_what_is_there() -> None:
    tracks, _ = programme("ffmpeg-5.1.9-bframes.c2s.bin")
    metadata, *headers = read(RtmpWire().start(tracks, origin_ms=0, at_ms=77))
    name, values = amf0.decode(metadata.payload)
    assert name == "onMetaData"
    assert isinstance(values, dict)
    assert (values["hasVideo"], values["hasAudio"], values["width"]) == (True, True, 320.0)
    assert [(message.type_id, message.timestamp) for message in headers] == [(9, 77), (8, 77)]


@pytest.mark.parametrize("size", [10, 59_990, 59_995, 59_996, 60_001, 500_000])
@pytest.mark.parametrize("dts_ms", [0, 0xFFFFFE, 0xFFFFFF, 0x1000000, 2**32 + 5])
def test_frames_of_any_size_at_any_time_are_read_back(size: int, dts_ms: int) -> None:
    _, frames = programme("ffmpeg-5.1.9-bframes.c2s.bin")
    frame = frames[0]._replace(dts=dts_ms * 90, cts=0, payload=bytes(size))
    (message,) = read(RtmpWire().frames([frame], origin_ms=0))
    assert message.timestamp == dts_ms % 2**32
    assert message.payload[5:] == frame.payload


def test_a_change_is_told_by_headers_alone() -> None:
    tracks, _ = programme("ffmpeg-5.1.9-bframes.c2s.bin")
    found = read(RtmpWire().tracks(tracks[:1], origin_ms=0, at_ms=500))
    assert [(message.type_id, message.timestamp) for message in found] == [(9, 500)]


def test_the_end_is_a_notice_and_an_end_of_stream() -> None:
    notice, end = read(RtmpWire().finish())
    assert messages.parse_command(notice).arguments[1]["code"] == "NetStream.Play.UnpublishNotify"  # type: ignore[index,call-overload]
    assert end == messages.user_control(UserEvent.STREAM_EOF, 1)


def test_players_on_another_stream_have_bytes_of_their_own() -> None:
    assert RtmpWire().name == "rtmp"
    other = RtmpWire(stream_id=5)
    assert other.name == "rtmp-5"
    assert {message.stream_id for message in read(other.finish())} == {5, 0}


class Sink:
    def __init__(self) -> None:
        self.said: list[str | bytes] = []
        self.size = 0

    def write(self, data: bytes) -> None:
        self.said.append(data)
        self.size += len(data)

    def get_write_buffer_size(self) -> int:
        return self.size


def viewer_of(sink: Sink) -> RtmpViewer:
    return RtmpViewer(sink=sink, begin=lambda: sink.said.append("begin"), end=sink.said.append)


def test_a_viewer_is_told_that_it_may_watch_before_its_first_bytes_and_once() -> None:
    sink = Sink()
    viewer = viewer_of(sink)
    viewer.write(b"one")
    viewer.begin()
    viewer.write(b"two")
    assert sink.said == ["begin", b"one", b"two"]
    assert viewer.backlog_bytes() == 6


def test_a_viewer_that_is_closed_takes_nothing_more() -> None:
    sink = Sink()
    viewer = viewer_of(sink)
    viewer.close("slow")
    viewer.close("ended")
    viewer.write(b"late")
    viewer.begin()
    assert sink.said == ["slow"]
    assert viewer.backlog_bytes() == 0
