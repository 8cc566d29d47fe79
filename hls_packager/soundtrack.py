"""The sound beside pictures: what came, handed out part by part, with silence where nothing came.

In: audio frames of one configuration (appended to `frames` by whoever has them), and the ends of parts. Out: the frames
that belong to each part, contiguous but for holes of less than two frames, which every player bridges.

Sound may come later than the pictures of its time: that is waited for, a second at first, longer where an encoder has
shown to need it; then silence takes its place, and sound that comes for a time that is already silent is left out.
Configurations that no silent frame is known for are handed out as they come.
"""

from __future__ import annotations

from hls_packager.silence import STAND_IN, silent_payload
from streamd.media.frames import EncodedFrame
from streamd.media.tracks import AudioTrack

_PATIENCE_MS = 1_000
_SLACK_MS = 500
_BRIDGED_FRAMES = 2


class Soundtrack:
    """See the module's promise. Times in ticks of the track."""

    __slots__ = (
        "_next",
        "_patience",
        "_payload",
        "_silent_until",
        "_standing_in",
        "_step",
        "_track",
        "frames",
        "heard",
    )

    def __init__(self, track: AudioTrack, *, start: int, with_pictures: bool) -> None:
        self.frames: list[EncodedFrame] = []  # that came and belong to no part yet
        self.heard = start  # when the last frame that came began
        self._track = track
        self._step = track.samples_per_frame
        self._payload = silent_payload(track) if with_pictures else None
        self._patience = track.timescale_hz * _PATIENCE_MS // 1_000
        self._standing_in = track is STAND_IN  # and nothing has come yet
        self._next = start  # where what was handed out ends
        self._silent_until = 0

    @property
    def end(self) -> int:
        """Where the sound at hand ends; 0 if there is none."""
        return self.frames[-1].dts + self._step if self.frames else 0

    @property
    def fills(self) -> bool:
        """Whether there is silence for this configuration."""
        return self._payload is not None

    def take(self, end: int, *, needed: bool) -> list[EncodedFrame]:
        """The frames that begin before `end`. `needed`: there must be one if there can be."""
        frames = self.frames
        count = len(frames)
        while count and frames[count - 1].dts >= end:
            count -= 1
        taken = frames[:count]
        del frames[:count]
        if taken:
            self.heard = taken[-1].dts
            self._standing_in = False
            if taken[0].dts < self._silent_until:
                taken = self._leave_out(taken, end)
        if self._payload is None:
            return taken
        if not taken:
            missing = end - self._next
            return self._silence(end) if needed or self._standing_in or missing >= self._patience else taken
        hole = _BRIDGED_FRAMES * self._step
        first, last = taken[0].dts, taken[-1].dts
        if first - self._next > hole or last - first > len(taken) * self._step + hole:
            taken = self._bridge(taken)
        self._next = taken[-1].dts + self._step
        return taken

    def _leave_out(self, taken: list[EncodedFrame], end: int) -> list[EncodedFrame]:
        """Sound for a time that is silent already; it takes longer to come than it was given."""
        lag = end - taken[-1].dts + self._track.timescale_hz * _SLACK_MS // 1_000
        self._patience = max(self._patience, lag)
        earliest = self._silent_until - self._step // 2
        return [frame for frame in taken if frame.dts >= earliest]

    def _bridge(self, taken: list[EncodedFrame]) -> list[EncodedFrame]:
        whole: list[EncodedFrame] = []
        for frame in taken:
            if frame.dts - self._next > _BRIDGED_FRAMES * self._step:
                whole += self._silence(frame.dts)
            whole.append(frame)
            self._next = frame.dts + self._step
        return whole

    def _silence(self, end: int) -> list[EncodedFrame]:
        """Whole silent frames up to `end`; at least one."""
        payload, step = self._payload, self._step
        assert payload is not None
        count = max(1, (end - self._next) // step)
        silence = [EncodedFrame(self._track, self._next + index * step, 0, True, payload) for index in range(count)]
        self._next = self._silent_until = self._next + count * step
        return silence
