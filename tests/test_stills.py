"""Stills of what is on air, made by the real ffmpeg from frames of real encoders."""

from __future__ import annotations

import asyncio
import io

import pytest
from PIL import Image

from rtmp_ingest.frames import FrameReader
from rtmp_ingest.limits import RtmpLimits
from rtmp_ingest.messages import Message
from streamd.errors import LimitedError, NotFoundError
from streamd.media.bits import BitstreamError
from streamd.media.elementary import elementary_stream
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import VideoTrack
from streamd.stills import Stills, StillSettings
from tests.live.stage import AUDIO, PaperEncoder, Stage
from tests.support.coded import flv_of, messages


def key_frame(codec: str, *, size: tuple[int, int] = (322, 182)) -> EncodedFrame:
    outputs: list[object] = []
    reader = FrameReader(limits=RtmpLimits())
    for message in messages(flv_of(codec, seconds=0.2, size=size)):
        reader.receive(Message(message.kind, 1, message.timestamp_ms, message.body), outputs)  # type: ignore[arg-type]
    return next(each for each in outputs if isinstance(each, EncodedFrame) and each.is_sync)


async def on_air(stage: Stage, codec: str = "libx264", *, size: tuple[int, int] = (322, 182)) -> PaperEncoder:
    frame = key_frame(codec, size=size)
    encoder = await stage.encoder()
    assert isinstance(frame.track, VideoTrack)
    encoder.video = frame.track
    encoder.announce()
    encoder.picture(key=True, payload=frame.payload)
    return encoder


def stills(stage: Stage, **settings: int) -> Stills:
    return Stills(find=stage.hub.find, clock=stage.clock, settings=StillSettings(**settings))


def size_of(jpeg: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
        image.load()
        return image.size


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
async def test_newest_key_frame_becomes_a_picture(codec: str) -> None:
    stage = Stage()
    await on_air(stage, codec)
    assert size_of(await stills(stage).take("demo")) == (322, 182)


async def test_picture_is_no_larger_than_it_should_be() -> None:
    stage = Stage()
    await on_air(stage, size=(640, 360))
    assert size_of(await stills(stage, side_px=320).take("demo")) == (320, 180)


async def test_room_that_is_not_on_air_has_none() -> None:
    stage = Stage()
    shots = stills(stage)
    with pytest.raises(NotFoundError, match="nothing is on air"):
        await shots.take("demo")
    encoder = await on_air(stage)
    await shots.recent("demo")
    encoder.publication.close("peer_eof")
    for ask in (shots.take, shots.recent):
        with pytest.raises(NotFoundError, match="nothing is on air"):
            await ask("demo")


async def test_sound_alone_has_none() -> None:
    stage = Stage()
    encoder = await stage.encoder()
    encoder.announce(AUDIO)
    for _ in range(3):
        encoder.sound()
    with pytest.raises(NotFoundError, match="no still"):
        await stills(stage).take("demo")


async def test_all_who_ask_within_half_a_minute_are_shown_the_same_one() -> None:
    stage = Stage()
    encoder = await on_air(stage)
    shots = stills(stage)
    first = await asyncio.gather(*(shots.recent("demo") for _ in range(50)))
    assert len({id(jpeg) for jpeg in first}) == 1
    encoder.publication.announce(key_frame("libx264", size=(160, 90)).track)
    other = key_frame("libx264", size=(160, 90))
    assert isinstance(other.track, VideoTrack)
    encoder.video = other.track
    encoder.picture(key=True, payload=other.payload)
    stage.clock.advance(29_999)
    assert size_of(await shots.recent("demo")) == (322, 182)
    stage.clock.advance(1)
    assert size_of(await shots.recent("demo")) == (160, 90)


async def test_frame_that_cannot_be_decoded_is_not_tried_again_and_again() -> None:
    stage = Stage()
    encoder = await on_air(stage)
    shots = stills(stage, within_s=5)
    encoder.picture(key=True, payload=b"\x00\x00\x00\x04nope")
    for _ in range(3):
        with pytest.raises(NotFoundError, match="no still"):
            await shots.recent("demo")
    # Sound again, and still within the half minute: the failure is what is remembered.
    encoder.picture(key=True, payload=key_frame("libx264").payload)
    with pytest.raises(NotFoundError, match="no still"):
        await shots.recent("demo")
    stage.clock.advance(30_000)
    assert size_of(await shots.recent("demo")) == (322, 182)


async def test_who_comes_while_too_many_wait_is_told_so() -> None:
    stage = Stage()
    await on_air(stage)
    shots = stills(stage, waiting_count=1)
    first, second = await asyncio.gather(shots.take("demo"), shots.take("demo"), return_exceptions=True)
    assert isinstance(first, bytes)
    assert isinstance(second, LimitedError)


async def test_who_leaves_takes_the_child_along() -> None:
    stage = Stage()
    await on_air(stage)
    shots = stills(stage)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await shots.take("demo")
    assert size_of(await shots.take("demo")) == (322, 182)


def test_what_is_no_key_frame_makes_no_elementary_stream() -> None:
    frame = key_frame("libx264")
    for other in (frame._replace(is_sync=False), frame._replace(track=AUDIO)):
        with pytest.raises(BitstreamError, match="key frame"):
            elementary_stream(other)
