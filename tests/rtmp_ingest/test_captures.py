"""The captures of OBS, ffmpeg and GStreamer, replayed whole and in slices: the same frames every time."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import pytest

from rtmp_ingest import messages
from rtmp_ingest.chunk_writer import ChunkWriter
from rtmp_ingest.events import MetadataReceived, PublishRequested, Unpublished
from rtmp_ingest.frames import FrameReader, Output
from rtmp_ingest.messages import Message
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import AudioTrack, VideoTrack
from tests.rtmp_ingest.stage import CAPTURES, LIMITS, Replay, plain_chunk_reader, read_chunks, replay, slices


class Expected(NamedTuple):
    frames: dict[str, int]
    size: tuple[int, int]
    codec_strings: tuple[str, str]
    metadata_count: int
    is_ended: bool
    key_frames: int
    b_frames: bool
    digest: str


EXPECTED = {
    "obs-29.0.2": Expected(
        {"h264": 810, "aac": 1266}, (640, 360), ("avc1.42C01E", "mp4a.40.2"), 1, False, 4, False, "3c36cab3808a1bad"
    ),
    "ffmpeg-5.1.9-bframes": Expected(
        {"h264": 179, "aac": 283}, (320, 180), ("avc1.64000D", "mp4a.40.2"), 1, True, 3, True, "c157db1c6d0c1d18"
    ),
    "gstreamer-1.22-rtmpsink": Expected(
        {"h264": 150, "aac": 230}, (320, 180), ("avc1.F4000D", "mp4a.40.2"), 18, True, 3, False, "a90cbae59479d012"
    ),
    "gstreamer-1.22-rtmp2sink": Expected(
        {"h264": 180, "aac": 280}, (320, 180), ("avc1.F4000D", "mp4a.40.2"), 22, True, 3, False, "8f1bb0b89b242833"
    ),
}


def capture(name: str) -> bytes:
    return (CAPTURES / f"{name}.c2s.bin").read_bytes()


def summary(played: Replay) -> Expected:
    video, audio = sorted(played.tracks, key=lambda track: isinstance(track, AudioTrack))
    assert isinstance(video, VideoTrack)
    assert isinstance(audio, AudioTrack)
    pictures = [frame for frame in played.frames if frame.track.is_video]
    kinds = Counter(type(event) for event in played.events)
    assert kinds[PublishRequested] == 1
    return Expected(
        dict(played.counts()),
        (video.width, video.height),
        (video.codec_string, audio.codec_string),
        kinds[MetadataReceived],
        kinds[Unpublished] == 1,
        sum(frame.is_sync for frame in pictures),
        any(frame.cts for frame in pictures),
        played.digest(),
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_a_capture_gives_these_frames(name: str) -> None:
    played = replay([capture(name)])
    assert summary(played) == EXPECTED[name]
    assert not played.session.counts
    (request,) = (event for event in played.events if isinstance(event, PublishRequested))
    assert (request.app, request.name) == ("live", "demo-key")


@pytest.mark.parametrize("size", [1, 7, 1448, 4099, 65_537])
@pytest.mark.parametrize("name", EXPECTED)
def test_slicing_does_not_matter(name: str, size: int) -> None:
    assert replay(slices(capture(name), size)).digest() == EXPECTED[name].digest


@pytest.mark.parametrize("name", EXPECTED)
def test_the_chunk_reader_agrees_with_one_that_is_plain(name: str) -> None:
    data = capture(name)[3073:]
    assert read_chunks([data]) == plain_chunk_reader(data)


@pytest.mark.parametrize("name", EXPECTED)
def test_time_in_a_capture_is_steady(name: str) -> None:
    played = replay([capture(name)])
    for is_video in (True, False):
        times = [frame.dts / frame.track.timescale_hz for frame in played.frames if frame.track.is_video is is_video]
        steps = [after - before for before, after in pairwise(times)]
        assert min(steps) > 0
        assert max(steps) < 0.1


def test_a_capture_that_was_cut_off_gives_the_frames_before_the_cut() -> None:
    data = capture("ffmpeg-5.1.9-bframes")
    whole = replay([data]).frames
    cut = replay([data[: len(data) // 2]]).frames
    assert 0 < len(cut) < len(whole)
    assert [frame.payload for frame in cut] == [frame.payload for frame in whole[: len(cut)]]


@pytest.mark.parametrize("chunk_bytes", [128, 4096, 60_000])
def test_the_same_programme_in_other_chunks_gives_the_same_frames(chunk_bytes: int) -> None:
    """OBS's programme as an encoder with other chunk sizes would have sent it."""
    media = [m for m in read_chunks([capture("obs-29.0.2")[3073:]]) if m.type_id in (8, 9)]
    writer = ChunkWriter(chunk_bytes=128)
    data = writer.write(messages.control(messages.SET_CHUNK_SIZE, chunk_bytes), csid=2)
    writer.chunk_bytes = chunk_bytes
    data += b"".join(writer.write(message, csid=4 if message.type_id == 8 else 6) for message in media)
    outputs: list[Output] = []
    reader = FrameReader(limits=LIMITS)
    for message in read_chunks(slices(data, 1448)):
        assert isinstance(message, Message)
        reader.receive(message, outputs)
    frames = [output for output in outputs if isinstance(output, EncodedFrame)]
    assert frames == replay([capture("obs-29.0.2")]).frames
