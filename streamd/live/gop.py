"""The frames a newcomer is given: everything since the last key frame, or the last moments of sound.

In: every on-air frame, in the order it went on air. Out: `frames`, decodable from its first element, or empty, which
means "wait for the next key frame". Holds the very payload objects that went on air; never a copy.

Bounds and what happens at them:
- with video, `limit_bytes` and `limit_frames`; policy `await_key`: the cache empties and stays so until the next key
  frame (a cut-off beginning would be useless, a cut-off end would be a hole). Counted in `overflows`.
- without video, a window of `audio_frames` to twice as many; policy `slide`: the oldest go.
"""

from __future__ import annotations

from streamd.errors import NotFoundError
from streamd.media.bits import BitstreamError
from streamd.media.elementary import elementary_stream
from streamd.media.frames import EncodedFrame


class GopCache:
    """The last group of pictures of one stream, with the sound between."""

    __slots__ = ("_audio_frames", "_bytes", "_collecting", "_limit_bytes", "_limit_frames", "frames", "overflows")

    def __init__(self, *, limit_bytes: int, limit_frames: int, audio_frames: int) -> None:
        self._limit_bytes = limit_bytes
        self._limit_frames = limit_frames
        self._audio_frames = audio_frames
        self._collecting = False  # between a key frame and an overflow
        self._bytes = 0
        self.frames: list[EncodedFrame] = []
        self.overflows = 0

    def add_video(self, frame: EncodedFrame, size_bytes: int) -> None:
        """One video frame; a key frame starts the cache anew."""
        if frame.is_sync:
            # A new list and not clear(): whoever was handed the old one keeps it whole.
            self.frames = [frame]
            self._bytes = size_bytes
            self._collecting = True
        elif self._collecting:
            self._add(frame, size_bytes)

    def add_audio(self, frame: EncodedFrame, size_bytes: int) -> None:
        """One audio frame of a stream that has pictures."""
        if self._collecting:
            self._add(frame, size_bytes)

    def add_sound_alone(self, frame: EncodedFrame) -> None:
        """One audio frame of a stream without pictures (yet, or any more)."""
        if self._collecting:
            self.reset()
        frames = self.frames
        frames.append(frame)
        if len(frames) > 2 * self._audio_frames:
            self.frames = frames[-self._audio_frames :]

    def reset(self) -> None:
        """What is cached no longer fits what comes: a changed configuration, an encoder that left."""
        self.frames = []
        self._bytes = 0
        self._collecting = False

    def _add(self, frame: EncodedFrame, size_bytes: int) -> None:
        frames = self.frames
        frames.append(frame)
        self._bytes += size_bytes
        if self._bytes > self._limit_bytes or len(frames) > self._limit_frames:
            self.reset()
            self.overflows += 1


def newest_key_frame(gop: GopCache) -> tuple[str, bytes]:
    """What a still is made of, as `elementary_stream` gives it. Raises NotFoundError where there is none yet."""
    try:
        return elementary_stream(gop.frames[0])
    except (IndexError, BitstreamError) as error:
        raise NotFoundError(
            "there is no still of this room",
            why="no whole picture has come yet, or it has only sound",
            fix="try again in a moment",
            code="no_still",
        ) from error
