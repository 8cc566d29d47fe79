"""Frames that cross to another worker: viewers there see what viewers here see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from streamd.live.fanout import FanOut
from streamd.live.hub import Hub
from streamd.live.playable import Playable
from streamd.live.relay import FrameTap, Kind, MirroredStream
from streamd.media.ports import PlayRequest
from streamd.media.records import RecordError, RecordReader
from tests.live.stage import PaperEncoder, PaperSink, PaperViewer, ReadableWire, Stage, frames_of


class Other:
    """Another worker that mirrors `demo` of a stage, over bytes in odd slices."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.mirror = MirroredStream("demo")
        self.records = 0
        self._reader = RecordReader()
        self.fanout = FanOut(
            hub=Hub(clock=stage.clock, directory=stage.directory, log=stage.log),
            check=stage.rooms,
            clock=stage.clock,
            log=stage.log,
            timers=stage.timers,
            mirrors=self,
        )
        self.connect()

    def connect(self) -> None:
        self._reader = RecordReader()
        self.tap = FrameTap(self.stage.stream(), self.send)
        self.tap.open()

    async def stream(self, room: str) -> Playable | None:
        return self.mirror if room == "demo" else None

    def send(self, pieces: Iterable[bytes]) -> None:
        data = b"".join(pieces)
        for at in range(0, len(data), 331):
            for kind, body in self._reader.feed(data[at : at + 331]):
                self.records += 1
                self.mirror.apply(kind, body)

    async def viewer(self) -> PaperViewer:
        viewer = PaperViewer()
        await self.fanout.play(PlayRequest(room="demo"), ReadableWire(), viewer)
        return viewer


async def mirrored(ms: int = 2_200) -> tuple[Stage, PaperEncoder, Other]:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce()
    encoder.run(ms)
    return stage, encoder, Other(stage)


async def test_viewers_of_a_mirror_are_written_the_owners_bytes() -> None:
    stage, encoder, other = await mirrored()
    here, there = await stage.viewer(), await other.viewer()
    encoder.run(3_000)
    one, two = here.take(), there.take()
    assert len(one) > 500
    assert two == one


async def test_mirror_before_the_tracks_have_settled_begins_when_the_owner_does() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce()
    other = Other(stage)
    here, there = await stage.viewer(), await other.viewer()
    encoder.run(2_500)
    assert there.take() == here.take() != ""


async def test_sound_alone_is_mirrored_too() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce(encoder.audio)
    encoder.run(3_000, video=False)
    other = Other(stage)
    here, there = await stage.viewer(), await other.viewer()
    encoder.run(1_000, video=False)
    assert there.take() == here.take() != ""


async def test_changed_configuration_reaches_the_mirrors_viewers() -> None:
    stage, encoder, other = await mirrored()
    there = await other.viewer()
    there.take()
    encoder.video = replace(encoder.video, width=640, config=b"other")
    encoder.picture(key=True)
    stage.timers.fire()
    assert "[tracks v]" in there.take()


async def test_mirror_that_connects_again_shows_no_frame_twice() -> None:
    stage, encoder, other = await mirrored()
    sink, original = PaperSink(), PaperSink()
    other.mirror.attach(sink)
    stage.stream().attach(original)
    encoder.run(400)
    other.tap.close()
    encoder.run(200)
    other.connect()
    encoder.run(200)
    assert frames_of(sink) == frames_of(original), "also what was missed, while the owner still had it"
    assert [frame.dts for frame in sink.frames if frame.track.is_video] == [
        frame.dts for frame in original.frames if frame.track.is_video
    ]


async def test_pause_and_end_reach_the_mirrors_viewers() -> None:
    stage, encoder, other = await mirrored()
    there = await other.viewer()
    encoder.publication.close("peer_eof")
    assert not there.take().endswith("[end]")
    stage.seconds(50)
    assert there.take().endswith("[end]")
    assert other.mirror.has_ended
    assert not other.mirror.is_watched


@pytest.mark.parametrize(
    ("kind", "body"), [(Kind.FRAME, b"x"), (Kind.HELLO, b"{}"), (Kind.TRACKS, b'{"tracks":1}'), (99, b"")]
)
def test_nonsense_is_a_record_error(kind: int, body: bytes) -> None:
    with pytest.raises(RecordError):
        MirroredStream("demo").apply(kind, body)
