"""Waits until a stream has shown what it is: which tracks flow, how regularly, how far apart its key frames are.

In: frames, in arrival order. Out: those frames again, from the first point a decoder can start at, and a `Cadence`.
Used before an epoch's promises are made, and, shorter, whenever an encoder comes back to promises already made.

A fresh stream is decided at its second key frame or after `probe_ms` of media, whichever is first; one whose cadence is
remembered as soon as every track it had has shown up, or after a second. Time is media time: no clock. Bounded by
`_MAX_FRAMES`. Not here: what follows from the cadence (planner), cutting (segmenter).
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from hls_packager.model import Cadence, HlsSettings, TrackSet
from hls_packager.planner import frame_duration
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import VIDEO_TIMESCALE_HZ, Track

_PATIENCE_REMEMBERED_MS = 1_000
# A rate cannot be told from two frames: a stream of key frames only is looked at for so long.
_LEAST_LOOK_MS = 500
_MAX_FRAMES = 2_400
_SOUND_KEPT = 64


class Probe:
    """See the module's promise. `frames` and `tracks` are for reading once `add` has returned True."""

    __slots__ = (
        "_announced",
        "_first_ms",
        "_key_awaited",
        "_key_dts",
        "_latest_ms",
        "_memory",
        "_picture_dts",
        "_settings",
        "frames",
    )

    def __init__(self, *, settings: HlsSettings, memory: Cadence | None, announced: TrackSet) -> None:
        self._settings = settings
        self._memory = memory
        self._announced = announced
        self.frames: list[EncodedFrame] = []
        self._key_dts: list[int] = []
        self._picture_dts: list[int] = []
        self._first_ms: int | None = None
        self._latest_ms = 0
        self._key_awaited = False  # pictures come, and none of them is a key frame yet

    def announce(self, track: Track) -> None:
        """Frames of this track may be expected."""
        self._announced = self._announced.having(track)

    def add(self, frame: EncodedFrame) -> bool:
        """Take one frame; True when enough has been seen."""
        track = frame.track
        at_ms = frame.dts * 1_000 // track.timescale_hz
        if track.is_video:
            if frame.is_sync:
                self._key_dts.append(frame.dts)
            elif not self._key_dts:
                self._key_awaited = True
                return False
            self._picture_dts.append(frame.dts)
        self.frames.append(frame)
        if self._first_ms is None:
            self._first_ms = at_ms
        self._latest_ms = max(self._latest_ms, at_ms)
        if self._key_awaited and not self._key_dts:
            # Sound alone is not the programme: keep a little of it for the key frame to start with.
            del self.frames[:-_SOUND_KEPT]
            return False
        return self._decided(self._latest_ms - self._first_ms)

    def _decided(self, elapsed_ms: int) -> bool:
        if len(self.frames) >= _MAX_FRAMES:
            return True
        has_video, has_audio = bool(self._key_dts), self.has_audio
        memory = self._memory
        if memory is not None and memory.has_video >= has_video:
            all_here = has_video >= (memory.has_video or self._announced.video is not None)
            all_here = all_here and has_audio >= (memory.has_audio or self._announced.audio is not None)
            return all_here or elapsed_ms >= _PATIENCE_REMEMBERED_MS
        if elapsed_ms >= self._settings.probe_ms:
            return True
        if len(self._key_dts) < 2 or elapsed_ms < _LEAST_LOOK_MS:
            return False
        return has_audio or self._announced.audio is None

    @property
    def has_audio(self) -> bool:
        """Whether audio frames have come."""
        return len(self.frames) > len(self._picture_dts)

    @property
    def usable(self) -> bool:
        """Whether there is anything a decoder could start with."""
        return bool(self.frames)

    def tracks(self) -> TrackSet:
        """The first revision of each kind that flows; later ones are met again when the frames are cut."""
        tracks = TrackSet()
        for frame in reversed(self.frames):
            tracks = tracks.having(frame.track)
        return tracks

    def cadence(self) -> Cadence:
        """What has been measured, with what is remembered where nothing could be."""
        video, audio, memory = self.tracks().video, self.tracks().audio, self._memory
        gop_ms = self._longest_gop_ms()
        if video is not None and memory is not None and memory.has_video:
            frame, constant = memory.frame, memory.constant
            gop_ms = gop_ms or memory.gop_ms
        elif video is not None:
            frame, constant = frame_duration(self._picture_dts, video.timescale_hz, video.nominal_fps)
        else:
            assert audio is not None, "asked for the cadence of nothing"
            frame, constant = Fraction(audio.samples_per_frame, audio.sample_rate_hz), True
        return Cadence(
            frame=frame, constant=constant, gop_ms=gop_ms, has_video=video is not None, has_audio=audio is not None
        )

    def _longest_gop_ms(self) -> int | None:
        keys = self._key_dts
        if len(keys) < 2 or self.tracks().video is None:
            return None
        return max(after - before for before, after in pairwise(keys)) * 1_000 // VIDEO_TIMESCALE_HZ
