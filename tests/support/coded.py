"""Real bitstreams, made in memory by PyAV (x264, x265, SVT-AV1, FFmpeg's AAC, Opus) and cut into FLV messages.

Nothing here touches the network; an encode of a second takes some tens of milliseconds.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import av

QUIET_X265 = "log-level=none"


class Message(NamedTuple):
    """What an RTMP message or an FLV tag carries."""

    kind: int
    timestamp_ms: int
    body: bytes


def messages(flv: bytes) -> Iterator[Message]:
    """The tags of an FLV file."""
    assert flv[:4] == b"FLV\x01"
    at = struct.unpack_from(">I", flv, 5)[0] + 4
    while at < len(flv):
        kind, size = flv[at], int.from_bytes(flv[at + 1 : at + 4], "big")
        timestamp = int.from_bytes(flv[at + 4 : at + 7], "big") | flv[at + 7] << 24
        body = flv[at + 11 : at + 11 + size]
        assert len(body) == size
        at += 11 + size
        assert int.from_bytes(flv[at : at + 4], "big") == size + 11
        at += 4
        yield Message(kind, timestamp, body)


def _picture(size: tuple[int, int], pixels: str, index: int) -> av.VideoFrame:
    picture = av.VideoFrame(*size, pixels)
    for plane in picture.planes:
        # Ten-bit samples are two bytes, of which the second may only hold two bits: x264 aborts otherwise.
        high = 0x03 if "10" in pixels else 0xFF
        row = bytes((x + index * 7) & (high if x & 1 else 0xFF) for x in range(plane.line_size))
        plane.update(row * plane.height)
    picture.pts = index
    return picture


def _tone(layout: str, sample_format: str, rate: int, start: int, count: int) -> av.AudioFrame:
    channels = len(av.AudioLayout(layout).channels)
    wave = [math.sin((start + n) * 2 * math.pi * 440 / rate) * 0.4 for n in range(count)]
    frame = av.AudioFrame(sample_format, layout, count)
    if sample_format == "fltp":
        raw = struct.pack(f"<{count}f", *wave)
    else:
        raw = struct.pack(f"<{count * channels}h", *(round(v * 32_000) for v in wave for _ in range(channels)))
    for plane in frame.planes:
        plane.update(raw)
    frame.sample_rate = rate
    frame.pts = start
    return frame


@cache
def flv_of(
    video: str | None = "libx264",
    audio: str | None = None,
    *,
    seconds: float = 1.0,
    fps: Fraction = Fraction(30),
    size: tuple[int, int] = (322, 182),
    pixels: str = "yuv420p",
    options: tuple[tuple[str, str], ...] = (),
    attributes: tuple[tuple[str, int], ...] = (),
    rate: int = 48_000,
    layout: str = "stereo",
) -> bytes:
    """An FLV file as FFmpeg's muxer writes it: legacy for H.264 and AAC, Enhanced RTMP for the others."""
    output = io.BytesIO()
    with av.open(output, "w", format="flv", options={"flvflags": "no_duration_filesize"}) as container:
        if video:
            picture_track = container.add_stream(video, rate=fps)
            picture_track.width, picture_track.height = size
            picture_track.pix_fmt = pixels
            picture_track.time_base = 1 / fps
            picture_track.options = _options(video, dict(options))
            for name, value in attributes:
                setattr(picture_track.codec_context, name, value)
        if audio:
            sound_track = container.add_stream(audio, rate=rate, layout=layout)
        container.start_encoding()
        if video:
            for index in range(round(seconds * fps)):
                for packet in picture_track.encode(_picture(size, pixels, index)):
                    container.mux(packet)
            for packet in picture_track.encode(None):
                container.mux(packet)
        if audio:
            step = sound_track.codec_context.frame_size or 960
            sample_format = sound_track.codec_context.format.name
            for start in range(0, round(seconds * rate), step):
                for packet in sound_track.encode(_tone(layout, sample_format, rate, start, step)):
                    container.mux(packet)
            for packet in sound_track.encode(None):
                container.mux(packet)
    return output.getvalue()


def _options(codec: str, given: Mapping[str, str]) -> dict[str, str]:
    usual = {
        "libx264": {"preset": "ultrafast"},
        "libx265": {"preset": "ultrafast", "x265-params": QUIET_X265},
        "libsvtav1": {"preset": "12", "svtav1-params": "lookahead=0"},
    }[codec]
    return {**usual, **given}
