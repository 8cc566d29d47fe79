"""Timeline repair: from the times that an encoder claims to the one timeline of its stream.

In: frames of every track in ticks of the source's own (unwrapped) timeline, and when they arrived. Out: the same frames
on the stream's timeline, whose zero is the Unix epoch. One object lives as long as its room, across publications.

Promises, for any input:
- decode time is strictly increasing for each track, and goes on where the publication before it ended;
- tracks share one origin: what the encoder sent as simultaneous stays so, also for a track that appears late, also when
  the source's clock jumps and the tracks notice one after the other;
- sound is timed by counting samples, and follows its timestamps slowly where the two disagree;
- a real gap stays a gap, a jump of the clock does not become one: the wall clock tells them apart;
- presentation time is kept where decode time had to move.
Nothing ends a stream. Every repair is counted in `repairs`, under the words of `REPAIRS`.

Pure: arrival times are handed in. Not here: wrapping counters (`streamd.media.ticks`), dropping of undecodable frames.
"""

from __future__ import annotations

from collections.abc import Iterator

from streamd.live.cadence import TOLERANCE_TICKS, Cadence
from streamd.live.wall_time import WallTime
from streamd.media.frames import EncodedFrame
from streamd.media.opus import packet_samples
from streamd.media.ticks import rescale
from streamd.media.tracks import VIDEO_TIMESCALE_HZ, Codec, Track, VideoTrack

REPAIRS = {
    "timestamp_jump_forward": "the source's clock leapt ahead of the wall clock: continued without a gap",
    "timestamp_jump_back": "the source's clock fell back by more than half a second: continued without a gap",
    "source_gap": "the source sent nothing for more than a second: the gap was kept",
    "track_realigned": "a track appeared on a clock of its own: put beside the others",
    "dts_not_increasing": "a video frame was not later than the one before it: moved, its presentation time kept",
    "audio_resync": "timestamps and samples of the sound parted by more than two frames: followed the timestamps",
    "audio_overlap": "sound that would have overlapped what was there: left out",
    "audio_slew": "the sound's sample clock and its timestamps parted slowly: stretched by a sample a frame",
    "cts_out_of_range": "a composition offset of more than five seconds: taken as zero",
}

_US = 1_000_000
_LONGEST_STEP_US = 1_000_000  # more than this between two frames of a track wants an explanation
_FALL_BACK_US = 500_000  # less than this backwards is reordering and rounding, more is another clock
_SLACK_MS = 500  # how much faster than any before it a frame may have travelled
_TOGETHER_US = 1_000_000  # how far apart tracks are that belong together
_STRAGGLER_US = 3_000_000  # sound that late, while pictures keep their clock, was mixed in out of order
_LATE_START_US = 3_000_000  # how far behind the others a new track may start
_LONGEST_CTS_TICKS = 5 * VIDEO_TIMESCALE_HZ
_RESYNC_FRAMES = 2
_SLEW_FROM_MS, _SLEW_TO_MS = 10, 1
_SMOOTHING_BITS = 6  # errors are averaged over 64 frames: ms rounding and jitter cancel out
_VIDEO_STEP_TICKS = 3_000  # a frame's length until two have been seen

_frame = tuple.__new__  # skips the Python frame of a NamedTuple's own __new__: 0.13 µs against 0.22 µs


class _Clock:
    """Where one track stands. Times in ticks of the track, on the stream's timeline; `offset` leads there."""

    __slots__ = (
        "cadence",
        "error",
        "expected",
        "fall_back",
        "hz",
        "is_opus",
        "last",
        "left_out",
        "longest_step",
        "offset",
        "offset_us",
        "resync",
        "running",
        "slew",
        "slew_from",
        "source",
        "step",
        "track",
    )

    def __init__(self, track: Track) -> None:
        self.track = track
        self.hz = track.timescale_hz
        self.is_opus = False
        self.cadence = Cadence() if track.is_video else None
        self.running = False  # has sent a frame in this publication
        self.offset = self.offset_us = 0
        self.last = -(1 << 62)
        self.step = _VIDEO_STEP_TICKS  # length of a frame
        self.expected = self.last  # audio: where the samples so far end
        self.source: int | None = None  # audio: the timestamp before this one
        self.error = 0  # audio: smoothed timestamp minus expectation, shifted by _SMOOTHING_BITS
        self.slew = 0
        self.left_out = 0  # audio: samples left out since the last frame that was not
        self.resync = self.longest_step = self.fall_back = self.slew_from = 0

    def take(self, track: Track) -> None:
        """A new revision; the place on the timeline is kept, in its ticks."""
        hz = track.timescale_hz
        if hz != self.hz and self.started:
            self.last = -(-self.last * hz // self.hz)
            self.expected = -(-self.expected * hz // self.hz)
            self.error = self.slew = 0
            self.source = None
        self.hz = hz
        self.track = track
        self.is_opus = track.codec is Codec.OPUS
        self.longest_step = hz * _LONGEST_STEP_US // _US
        self.fall_back = hz * _FALL_BACK_US // _US
        self.slew_from = hz * _SLEW_FROM_MS // 1_000 << _SMOOTHING_BITS
        if isinstance(track, VideoTrack):
            return
        self.step = track.samples_per_frame
        self.resync = _RESYNC_FRAMES * track.samples_per_frame
        self.use(self.offset_us)

    def use(self, offset_us: int) -> None:
        """Map source times by this offset from now on."""
        self.offset_us = offset_us
        self.offset = rescale(offset_us, _US, self.hz)

    @property
    def started(self) -> bool:
        """Whether the track ever sent a frame."""
        return self.last > -(1 << 61)

    @property
    def end_us(self) -> int:
        """Where the track's last frame ends."""
        return (self.last + self.step) * _US // self.hz


class TimelineRepair:
    """Puts the frames of one room on its timeline. See the module's promises."""

    __slots__ = ("_begun_ms", "_clocks", "_offset_us", "_wall", "repairs")

    def __init__(self) -> None:
        self.repairs: dict[str, int] = dict.fromkeys(REPAIRS, 0)
        self._begun_ms = 0
        self._clocks: dict[int, _Clock] = {}
        self._offset_us: int | None = None  # the newest mapping: source time plus this is stream time
        self._wall = WallTime()

    def begin(self, now_utc_ms: int) -> None:
        """A publication starts: its first frame goes where the wall clock is, or right after the one before."""
        self._begun_ms = now_utc_ms
        self._offset_us = None
        for clock in self._clocks.values():
            clock.running = False

    def repair(self, frame: EncodedFrame, now_utc_ms: int) -> EncodedFrame | None:
        """The frame on the stream's timeline; None where it must be left out (overlapping sound).

        `now_utc_ms` is when it arrived. About 1.3 µs a frame.
        """
        track, dts, cts, is_sync, payload = frame
        clock = self._clocks.get(track.track_id << 1 | track.is_video)
        if clock is None or clock.track is not track or not clock.running:
            clock = self._enter(track, dts, now_utc_ms)
        cadence = clock.cadence
        if cadence is None:
            at = self._time_audio(clock, dts, payload, now_utc_ms)
            if at is None:
                return None
            self._wall.observe(at * 1_000 // clock.hz, now_utc_ms)
            return _frame(EncodedFrame, (track, at, 0, is_sync, payload))
        raw = dts + clock.offset
        last = clock.last
        if not 0 < raw - last <= clock.longest_step:
            self._mend_video(clock, dts, now_utc_ms)
            raw = dts + clock.offset
        at = cadence.snap(raw) if raw > last else last + 1
        if at <= last:
            at = last + 1
        if cts or raw <= last:
            cts = self._presentation(cadence, cts, raw - at)
        step = at - last
        if 450 <= step <= 90_000:
            clock.step = step
        clock.last = at
        self._wall.observe(at // 90, now_utc_ms)
        return _frame(EncodedFrame, (track, at, cts, is_sync, payload))

    @property
    def drift_ms(self) -> int:
        """How far the encoder's clock has run away from the wall clock in this publication; positive: it is fast."""
        return self._wall.drift_ms

    def utc_ms(self, timeline_ms: int) -> int:
        """UTC of a place on the timeline: the timeline itself, corrected for the drift of the encoder's clock.

        Grows with `timeline_ms`; moves by 5 ms in a second of programme at most, except where a publication begins.
        """
        return self._wall.utc_ms(timeline_ms)

    def _enter(self, track: Track, dts: int, now_utc_ms: int) -> _Clock:
        """The clock of a track that begins, comes back or was revised."""
        key = track.track_id << 1 | track.is_video
        clock = self._clocks.get(key)
        if clock is None:
            clock = self._clocks[key] = _Clock(track)
        before = clock.track
        clock.take(track)
        cadence = clock.cadence
        if cadence is not None and isinstance(track, VideoTrack):
            is_same_rate = isinstance(before, VideoTrack) and before.nominal_fps == track.nominal_fps
            cadence.start(track.nominal_fps, keep=clock.running and is_same_rate)
        if not clock.running:
            self._start(clock, dts, now_utc_ms)
        return clock

    def _start(self, clock: _Clock, dts: int, now_utc_ms: int) -> None:
        """The first frame of a track in this publication."""
        source_us = rescale(dts, clock.hz, _US)
        if self._offset_us is None:
            self._offset_us = self._anchor(source_us, now_utc_ms)
        clock.use(self._offset_us)
        clock.source = None
        clock.error = clock.slew = clock.left_out = 0
        head_us = max((other.end_us for other in self._clocks.values() if other.running), default=None)
        if head_us is not None:
            at_us = source_us + self._offset_us
            is_late = at_us < head_us - _LATE_START_US
            if is_late or (
                at_us > head_us + _LONGEST_STEP_US
                and not self._wall.explains(at_us // 1_000, now_utc_ms, slack_ms=_SLACK_MS)
            ):
                self._rejoin(clock, source_us, now_utc_ms)
                self.repairs["track_realigned"] += 1
        clock.running = True
        at = dts + clock.offset
        if clock.cadence is not None:
            clock.last = max(clock.last, at - 1)
        else:
            clock.expected = max(clock.expected, at)

    def _anchor(self, source_us: int, now_utc_ms: int) -> int:
        """Where the publication's first frame goes: now, or a frame after all that went before."""
        ended = [clock for clock in self._clocks.values() if clock.started]
        free_us = max((clock.end_us + clock.step * _US // clock.hz for clock in ended), default=0)
        at_ms = max(now_utc_ms, self._begun_ms, -(-free_us // 1_000))
        last_end_ms = max((clock.end_us // 1_000 for clock in ended), default=None)
        self._wall.anchor(at_ms, now_utc_ms, last_end_ms=last_end_ms)
        return at_ms * 1_000 - source_us

    def _rejoin(self, clock: _Clock, source_us: int, now_utc_ms: int) -> bool:
        """Find a mapping for a track whose own does not hold any more. Whether a new one had to be made.

        When the source's clock jumps, tracks notice one after the other: the first makes the mapping, at the end of all
        that is there; the others find that it puts them beside the first, and take it, so nothing slides against
        anything. A track that jumps alone, and back, finds its old mapping in use by the others.
        """
        head_us = max((other.end_us for other in self._clocks.values() if other.running), default=now_utc_ms * 1_000)
        earliest_us = clock.last * _US // clock.hz - _FALL_BACK_US
        for offset_us in self._mappings(clock):
            at_us = source_us + offset_us
            if abs(at_us - head_us) <= _TOGETHER_US and at_us >= earliest_us:
                clock.use(offset_us)
                return False
        wall_us = (now_utc_ms + self._wall.lead_ms) * 1_000
        at_us = wall_us if wall_us - head_us > _TOGETHER_US else head_us
        self._offset_us = at_us - source_us
        clock.use(self._offset_us)
        return True

    def _mappings(self, clock: _Clock) -> Iterator[int]:
        """Those in use besides the track's own, the newest first."""
        if self._offset_us is not None and self._offset_us != clock.offset_us:
            yield self._offset_us
        for other in self._clocks.values():
            if other.running and other.offset_us != clock.offset_us:
                yield other.offset_us

    def _mend_video(self, clock: _Clock, dts: int, now_utc_ms: int) -> None:
        """A step that is not one frame forward. Leaves the clock with the mapping that holds for this frame."""
        step = dts + clock.offset - clock.last
        if step > 0 and self._wall.explains((dts + clock.offset) // 90, now_utc_ms, slack_ms=_SLACK_MS):
            self.repairs["source_gap"] += 1
            return
        if step > 0 or step < -clock.fall_back:
            if self._rejoin(clock, rescale(dts, clock.hz, _US), now_utc_ms):
                self.repairs["timestamp_jump_forward" if step > 0 else "timestamp_jump_back"] += 1
            if clock.cadence is not None:
                clock.cadence.shift()
        if dts + clock.offset <= clock.last:
            self.repairs["dts_not_increasing"] += 1

    def _presentation(self, cadence: Cadence, cts: int, moved: int) -> int:
        """The composition offset of a frame whose decode time moved back by `moved` ticks (forward: negative)."""
        if not -_LONGEST_CTS_TICKS <= cts <= _LONGEST_CTS_TICKS:
            self.repairs["cts_out_of_range"] += 1
            cts = 0
        if -TOLERANCE_TICKS <= moved <= TOLERANCE_TICKS:
            exact = cadence.offset(cts)
            return cts if exact is None else exact
        return cts + moved

    def _time_audio(self, clock: _Clock, dts: int, payload: bytes, now_utc_ms: int) -> int | None:
        """Where a frame of sound goes: where the samples before it end, as long as its timestamp does not object."""
        at = clock.expected
        # Some encoders stamp several frames alike: only the first of them tells the time.
        if dts != clock.source:
            clock.source = dts
            error = dts + clock.offset - at
            if -clock.resync <= error <= clock.resync:
                smoothed = clock.error = clock.error + error - (clock.error >> _SMOOTHING_BITS)
                if clock.slew or not -clock.slew_from <= smoothed <= clock.slew_from:
                    at += self._slew(clock)
            else:
                mended = self._mend_audio(clock, dts, now_utc_ms)
                if mended is None:
                    return None
                at = mended
        clock.left_out = 0
        clock.last = at
        clock.expected = at + ((packet_samples(payload) or clock.step) if clock.is_opus else clock.step)
        return at

    def _slew(self, clock: _Clock) -> int:
        """One sample in the direction of the timestamps, until they are met: 20 ms of difference take 20 s."""
        if not clock.slew:
            clock.slew = 1 if clock.error > 0 else -1
            self.repairs["audio_slew"] += 1
        elif clock.error * clock.slew <= clock.slew_from * _SLEW_TO_MS // _SLEW_FROM_MS:
            clock.slew = 0
        return clock.slew

    def _mend_audio(self, clock: _Clock, dts: int, now_utc_ms: int) -> int | None:
        """A timestamp more than two frames from what the samples say."""
        expected = clock.expected
        ahead = dts + clock.offset - expected
        if ahead < -clock.fall_back or ahead > clock.longest_step:
            at_ms = (dts + clock.offset) * 1_000 // clock.hz
            if ahead > 0 and self._wall.explains(at_ms, now_utc_ms, slack_ms=_SLACK_MS):
                self.repairs["source_gap"] += 1
            elif self._is_straggler(clock, ahead):
                clock.left_out += clock.step
                self.repairs["audio_overlap"] += 1
                return None
            elif self._rejoin(clock, rescale(dts, clock.hz, _US), now_utc_ms):
                self.repairs["timestamp_jump_forward" if ahead > 0 else "timestamp_jump_back"] += 1
        elif ahead > 0:
            self.repairs["audio_resync"] += 1
        clock.error = clock.slew = 0
        at = dts + clock.offset
        if at >= expected - clock.resync:
            return max(at, expected)
        clock.left_out += clock.step
        if clock.left_out <= clock.fall_back:
            self.repairs["audio_overlap"] += 1
            return None
        # Timestamps that do not catch up by leaving sound out are no timestamps: count samples alone.
        clock.use(clock.offset_us + (expected - at) * _US // clock.hz)
        self.repairs["audio_resync"] += 1
        return expected

    def _is_straggler(self, clock: _Clock, ahead: int) -> bool:
        """Whether sound that fell back did so alone: another track goes on under the same mapping.

        Where late and punctual sound alternate, each of the late frames would be a jump to a mapping of its own, and
        each of the punctual ones a gap after it: the sound would run away from the pictures. When it was the source's
        clock that fell back, the other track notices within a frame, and has another mapping by then.
        """
        if not -_STRAGGLER_US * clock.hz <= ahead * _US < 0 or clock.left_out + clock.step > clock.fall_back:
            return False
        head_us = clock.end_us - _TOGETHER_US
        return any(
            other is not clock and other.running and other.offset_us == clock.offset_us and other.end_us > head_us
            for other in self._clocks.values()
        )
