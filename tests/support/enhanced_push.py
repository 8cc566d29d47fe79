"""Pushes a synthetic clip as Enhanced RTMP with PyAV: `python -m tests.support.enhanced_push URL VIDEO AUDIO SECONDS`.

Runs in a process of its own because PyAV holds the interpreter lock while it writes to a socket.
"""

from __future__ import annotations

import sys
import time
from fractions import Fraction

import av

FPS = 25
SIZE = (320, 180)


def main(url: str, video_codec: str, audio_codec: str, seconds: int) -> None:
    rate = 48_000
    with av.open(url, "w", format="flv") as output:
        video = output.add_stream(video_codec, rate=FPS)
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        video.gop_size = FPS
        video.time_base = Fraction(1, FPS)
        if video_codec == "libx265":
            video.options = {"preset": "ultrafast", "x265-params": f"log-level=none:keyint={FPS}:bframes=0"}
        else:
            video.options = {"preset": "12"}
        audio = output.add_stream(audio_codec, rate=rate)
        audio.layout = "stereo"
        sample_format = audio.codec_context.format.name
        started = time.monotonic()
        block, sent = 960, 0
        for index in range(seconds * FPS):
            picture = av.VideoFrame(*SIZE, "yuv420p")
            for plane in picture.planes:
                plane.update(bytes([(index * 5) % 220 + 16]) * plane.buffer_size)
            picture.pts = index
            for packet in video.encode(picture):
                output.mux(packet)
            while sent < (index + 1) * rate // FPS:
                sound = av.AudioFrame(sample_format, "stereo", block)
                sound.sample_rate = rate
                sound.pts = sent
                sound.time_base = Fraction(1, rate)
                for channel in sound.planes:
                    channel.update(bytes(channel.buffer_size))
                for packet in audio.encode(sound):
                    output.mux(packet)
                sent += block
            time.sleep(max(0.0, started + (index + 1) / FPS - time.monotonic()))
        for stream in (video, audio):
            for packet in stream.encode(None):
                output.mux(packet)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
