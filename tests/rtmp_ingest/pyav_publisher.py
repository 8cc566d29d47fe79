"""A publisher of Enhanced RTMP that is not ours: FFmpeg's muxer, by way of PyAV, in a process of its own.

    python pyav_publisher.py URL VIDEO_CODEC[+VIDEO_CODEC…] AUDIO_CODEC|none FRAMES

PyAV holds the interpreter's lock while it writes to the network: never import this into a process that serves.
"""

from __future__ import annotations

import array
import math
import sys
from fractions import Fraction

import av

OPTIONS = {
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:bframes=2:keyint=15"},
    "libsvtav1": {"preset": "12", "svtav1-params": "keyint=15"},
    "libx264": {"preset": "ultrafast", "bf": "2"},
}


def picture(width: int, height: int, number: int) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane in frame.planes:
        row = bytes((x // 8 + number * 3) % 256 for x in range(plane.line_size))
        plane.update(row * plane.height)
    frame.pts, frame.time_base = number, Fraction(1, 30)
    return frame


def tone(samples: int, number: int, *, interleaved: bool) -> av.AudioFrame:
    frame = av.AudioFrame(format="flt" if interleaved else "fltp", layout="stereo", samples=samples)
    wave = [0.2 * math.sin(2 * math.pi * 440 * (number * samples + at) / 48_000) for at in range(samples)]
    if interleaved:
        frame.planes[0].update(array.array("f", (value for value in wave for _ in range(2))).tobytes())
    else:
        for plane in frame.planes:
            plane.update(array.array("f", wave).tobytes())
    frame.sample_rate, frame.pts, frame.time_base = 48_000, number * samples, Fraction(1, 48_000)
    return frame


def main(url: str, video_codecs: str, audio_codec: str, frames: int) -> None:
    with av.open(url, "w", format="flv") as out:
        videos = []
        for index, name in enumerate(video_codecs.split("+")):
            video = out.add_stream(name, rate=30)
            video.width, video.height, video.pix_fmt = 320 >> index, 180 >> index, "yuv420p"
            video.codec_context.gop_size = 15
            video.options = OPTIONS[name]
            videos.append(video)
        audio = out.add_stream(audio_codec, rate=48_000, layout="stereo") if audio_codec != "none" else None
        samples = 960 if audio_codec == "libopus" else 1024
        sounded = 0
        for number in range(frames):
            for video in videos:
                out.mux(video.encode(picture(video.width, video.height, number)))
            while audio is not None and sounded * samples * 30 <= number * 48_000:
                out.mux(audio.encode(tone(samples, sounded, interleaved=audio_codec == "libopus")))
                sounded += 1
        for stream in (*videos, *([audio] if audio else [])):
            out.mux(stream.encode(None))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
