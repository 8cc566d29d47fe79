"""Picture and sound to encoded frames, by x264 and FFmpeg's AAC encoder through PyAV. No network, no clock, no loop.

Both encoders speak the programme's timeline: tick 0 is the moment that `Studio` was made for. Frames come out in the
form of `streamd.media`: H.264 as NAL units behind lengths, AAC as raw access units.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av
from av.codec.context import Flags
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from streamd.media import aac, h264
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import VIDEO_TIMESCALE_HZ, AudioTrack, VideoTrack
from streamd.programme.card import TestCard
from streamd.programme.planes import Planes, fill
from streamd.programme.tone import SAMPLE_RATE_HZ, Tone

AAC_FRAME_SAMPLES = 1024
# The AAC encoder holds back up to two frames; the sound is ours, so it is fed that much early and comes out in time.
_SOUND_LEAD_SAMPLES = 3 * AAC_FRAME_SAMPLES
_AUDIO_BPS = 96_000


class VideoEncoder:
    """H.264 without B-frames, one frame in, one frame out; key frames exactly where the caller wants them."""

    def __init__(self, *, width: int, height: int, fps: int, most_bps: int) -> None:
        context = av.CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base = Fraction(1, VIDEO_TIMESCALE_HZ)
        context.framerate = Fraction(fps)
        context.thread_count = 1  # slices on several cores save no time at this size, and cost bits
        context.gop_size = 1 << 16
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        context.flags |= Flags.global_header
        context.options = {
            "preset": "superfast",
            "tune": "zerolatency",
            "crf": "20",
            "maxrate": str(most_bps),
            "bufsize": str(most_bps),
            "forced-idr": "1",
            "sc_threshold": "0",
        }
        context.open()
        self._context = context
        self._frame = av.VideoFrame(width, height, "yuv420p")
        self.track: VideoTrack = h264.revise(None, _parameter_sets(context.extradata))

    def encode(self, picture: Planes, *, pts: int, is_key: bool) -> Iterator[EncodedFrame]:
        """`pts` in ticks of the video timescale."""
        frame = self._frame
        fill(frame, picture)
        frame.pts = pts
        frame.pict_type = PictureType.I if is_key else PictureType.NONE
        for packet in self._context.encode(frame):
            unit = h264.annexb_to_access_unit(bytes(packet))
            if packet.dts is not None and packet.pts is not None:
                cts = packet.pts - packet.dts
                yield EncodedFrame(self.track, packet.dts, cts, unit.is_sync, unit.payload)


class AudioEncoder:
    """AAC-LC, mono."""

    def __init__(self) -> None:
        context = av.CodecContext.create("aac", "w")
        context.format, context.layout = "fltp", "mono"
        context.sample_rate = SAMPLE_RATE_HZ
        context.time_base = Fraction(1, SAMPLE_RATE_HZ)
        context.bit_rate = _AUDIO_BPS
        context.flags |= Flags.global_header
        context.open()
        self._context = context
        self.track: AudioTrack = aac.track_from_config(context.extradata or b"")

    def encode(self, samples: bytes, *, pts: int) -> Iterator[EncodedFrame]:
        """`AAC_FRAME_SAMPLES` samples of mono float. The encoder's priming frame, before tick 0, is left out."""
        frame = av.AudioFrame("fltp", "mono", AAC_FRAME_SAMPLES)
        frame.planes[0].update(samples)
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
        frame.pts = pts
        for packet in self._context.encode(frame):
            if packet.pts is not None and packet.pts >= 0:
                yield EncodedFrame(self.track, packet.pts, 0, True, bytes(packet))


class Studio:
    """Card, tone and both encoders on one timeline that starts with frame `first` of the endless programme."""

    def __init__(self, *, card: TestCard, gop_s: int, most_bps: int, first: int) -> None:
        self._card = card
        fps = card.fps
        self._video = VideoEncoder(width=card.width, height=card.height, fps=fps, most_bps=most_bps)
        self._audio = AudioEncoder()
        self._tone = Tone(most_samples=AAC_FRAME_SAMPLES)
        self._fps, self._gop_frames = fps, gop_s * fps
        self._first, self._previous = first, first - 1
        self._key = first  # groups of pictures are counted from here, so that the first one is a whole one
        self._first_sample = self._next_sample = self._sample_at(first)
        self._sound: deque[EncodedFrame] = deque()  # encoded and not yet due
        self.tracks: tuple[VideoTrack, AudioTrack] = (self._video.track, self._audio.track)

    def produce(self, number: int) -> list[EncodedFrame]:
        """Frame `number` of the programme behind all sound up to it, in order of time.

        Numbers go up; those left out leave a gap in picture and sound alike, and a key frame follows.
        """
        sample = self._sample_at(number)
        gap = number != self._previous + 1
        if gap:
            self._next_sample = max(self._next_sample, sample)
            self._key = number
        self._previous = number
        self._encode_sound(sample + _SOUND_LEAD_SAMPLES)
        frames: list[EncodedFrame] = []
        while self._sound and self._sound[0].dts <= sample - self._first_sample:
            frames.append(self._sound.popleft())
        pts = (number - self._first) * VIDEO_TIMESCALE_HZ // self._fps
        is_key = (number - self._key) % self._gop_frames == 0
        frames.extend(self._video.encode(self._card.draw(number), pts=pts, is_key=is_key))
        return frames

    def _encode_sound(self, until: int) -> None:
        while self._next_sample < until:
            samples = self._tone.samples(self._next_sample, AAC_FRAME_SAMPLES)
            self._sound.extend(self._audio.encode(samples, pts=self._next_sample - self._first_sample))
            self._next_sample += AAC_FRAME_SAMPLES

    def _sample_at(self, number: int) -> int:
        return number * SAMPLE_RATE_HZ // self._fps


def _parameter_sets(extradata: bytes | None) -> tuple[bytes, ...]:
    return h264.annexb_to_access_unit(extradata or b"").parameter_sets or ()
