"""A recording is replayed by many publishers for ever, so its end must meet its start."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest import rtmp_wire
from loadtest.recording import Recording, from_flv
from rtmp_ingest.chunks import ChunkReader
from rtmp_ingest.limits import RtmpLimits
from rtmp_ingest.messages import Message
from streamd.ffmpeg import ClipSpec, clip_argv

LOOP_MS = 8_000  # 240 pictures at 30 fps, 375 AAC frames at 48 kHz: exactly


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    clip = tmp_path_factory.mktemp("clip") / "clip.flv"
    spec = ClipSpec(seconds=LOOP_MS // 1000, width=320, height=180, video_bps=300_000)
    subprocess.run(clip_argv(Path(clip), spec), check=True)
    return from_flv(clip.read_bytes(), loop_ms=LOOP_MS)


def heard(recording: Recording, loops: int) -> Iterator[Message]:
    """What a server reads, by our own chunk reader."""
    reader = ChunkReader(RtmpLimits())
    yield from reader.receive(recording.opening)
    for _ in range(loops):
        for message in recording.messages:
            yield from reader.receive(message.header + message.body)


def test_the_opening_describes_both_tracks_before_their_first_frames(recording: Recording) -> None:
    first = [message.type_id for message in itertools.islice(heard(recording, 1), 3)]
    assert first == [rtmp_wire.AMF0_DATA, rtmp_wire.AUDIO, rtmp_wire.VIDEO]


@pytest.mark.parametrize(
    ("kind", "count", "steps"), [(rtmp_wire.VIDEO, 240, {33, 34}), (rtmp_wire.AUDIO, 375, {21, 22})]
)
def test_loops_follow_each_other_without_a_seam(recording: Recording, kind: int, count: int, steps: set[int]) -> None:
    times = [message.timestamp for message in heard(recording, 3) if message.type_id == kind]
    assert len(times) == 1 + 3 * count
    assert {late - early for early, late in itertools.pairwise(times)} == steps
    assert times[1 + count] - times[1] == LOOP_MS


def test_messages_are_due_in_order_and_within_the_loop(recording: Recording) -> None:
    dues = [message.due_ms for message in recording.messages]
    assert dues == sorted(dues)
    assert dues[0] == 0
    assert dues[-1] <= LOOP_MS
