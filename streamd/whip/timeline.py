"""One clock for the sound and the picture of a session.

In: RTP timestamps (unwrapped) with the times of arrival, and what sender reports say of them. Out: places on the
session's own line, whose zero is that of the server's monotonic clock, in ticks of the track.

RTP timestamps of two tracks have nothing in common but the clock rate's name. What relates them, best first:
 - sender reports of both, each telling which NTP time one RTP time was: the median of the last five;
 - the fastest packets of the last seconds, on the supposition that the way is the same for both. It also tells whether
   a report can be true: one that would part the two by more than half a second is a broken clock's.
Sound is the master: once begun, it never moves against its own timestamps, so its samples can be counted. The picture
follows by at most a fiftieth of the time that passes, hence never goes back; only half a second or more, for longer
than a second, is stepped over. A track is held for its first quarter of a second, until it is known how fast packets
can be.
Source: RFC 3550 6.4.1. Pure. Not here: jumps and gaps of a track's timestamps (`streamd.live` mends them).
"""

from __future__ import annotations

from statistics import median_low

from streamd.media.ticks import rescale

_US = 1_000_000
_HOLD_US = 250_000
_WINDOW_US = 5_000_000
_REPORTS_COUNT = 5
_BROKEN_US = 500_000
_BROKEN_FOR_US = 1_000_000
_SLEW_DIVISOR = 50
_SLEW_FROM_US, _SLEW_TO_US = 5_000, 500
_LONGEST_STEP_US = 1_000_000
_NEVER = 1 << 62


class TrackClock:
    """Where one track stands. Made by `Timeline.join`."""

    __slots__ = (
        "_broken_since",
        "_fastest",
        "_fastest_before",
        "_first_us",
        "_hz",
        "_last_rtp",
        "_offset",
        "_offset_us",
        "_reports",
        "_seen_rtp",
        "_slewing",
        "_timeline",
        "_window_end_us",
    )

    def __init__(self, *, timeline: Timeline, clock_hz: int) -> None:
        self._timeline = timeline
        self._hz = clock_hz
        self._first_us: int | None = None
        self._seen_rtp: int | None = None
        self._last_rtp = 0
        self._fastest = self._fastest_before = _NEVER  # arrival minus RTP time, the least of this window and the last
        self._window_end_us = 0
        self._reports: list[int] = []  # NTP minus RTP time, in µs
        self._offset_us: int | None = None  # RTP time plus this is the session's time; None until the track begins
        self._offset = 0  # the same in ticks
        self._slewing = False
        self._broken_since: int | None = None

    @property
    def offset_us(self) -> int | None:
        """What leads from this track's RTP time to the session's; None before its first frame was placed."""
        return self._offset_us

    @property
    def fastest_us(self) -> int | None:
        """Arrival minus RTP time of the packets that were the fastest lately."""
        fastest = min(self._fastest, self._fastest_before)
        return None if fastest == _NEVER else fastest

    @property
    def reported_us(self) -> int | None:
        """NTP minus RTP time, as the sender reports it."""
        return median_low(self._reports) if self._reports else None

    def observe(self, rtp: int, *, now_us: int) -> None:
        """The first packet of a timestamp arrived (not by retransmission)."""
        if rtp == self._seen_rtp:
            return
        self._seen_rtp = rtp
        if self._first_us is None:
            self._first_us = now_us
            self._window_end_us = now_us + _WINDOW_US
        elif now_us >= self._window_end_us:
            self._fastest_before, self._fastest = self._fastest, _NEVER
            self._window_end_us = now_us + _WINDOW_US
        transit_us = now_us - rtp * _US // self._hz
        if transit_us < self._fastest:
            self._fastest = transit_us

    def report(self, *, ntp_time: int, rtp_time: int) -> None:
        """A sender report: 64 bits of NTP, 32 of RTP. Zero, or one that comes before all packets, says nothing."""
        if not ntp_time or self._seen_rtp is None:
            return
        behind = (self._seen_rtp - rtp_time) & 0xFFFFFFFF
        rtp = self._seen_rtp - (behind - (1 << 32) if behind >> 31 else behind)
        self._reports.append((ntp_time * _US >> 32) - rtp * _US // self._hz)
        del self._reports[:-_REPORTS_COUNT]

    def ready(self, *, now_us: int) -> bool:
        """Whether frames can be placed: at once for a track that is alone, else when its way has been looked at."""
        if self._offset_us is not None or self._timeline.is_single:
            return True
        return self._first_us is not None and now_us - self._first_us >= _HOLD_US

    def place(self, rtp: int, *, now_us: int) -> int:
        """The place of a frame, in ticks of the track. Frames come in decode order; `observe` saw them."""
        if self._offset_us is None:
            self._begin(now_us)
        elif self._timeline.follows(self):
            self._follow(rtp, now_us)
        self._last_rtp = rtp
        return rtp + self._offset

    def _begin(self, now_us: int) -> None:
        target_us = self._timeline.target_us(self)
        if target_us is None:
            target_us = self.fastest_us if self.fastest_us is not None else now_us
        self._use(target_us)

    def _use(self, offset_us: int) -> None:
        self._offset_us = offset_us
        self._offset = rescale(offset_us, _US, self._hz)

    def _follow(self, rtp: int, now_us: int) -> None:
        """Draw nearer to where the sound is."""
        target_us = self._timeline.target_us(self)
        if target_us is None or self._offset_us is None:
            return
        error_us = target_us - self._offset_us
        size_us = abs(error_us)
        if size_us < _BROKEN_US:
            self._broken_since = None
        elif self._broken_since is None:
            self._broken_since = now_us
        elif now_us - self._broken_since >= _BROKEN_FOR_US:
            self._broken_since = None
            self._use(target_us)
            return
        if size_us <= _SLEW_TO_US or not (self._slewing or size_us > _SLEW_FROM_US):
            self._slewing = False
            return
        self._slewing = True
        passed_us = min((rtp - self._last_rtp) * _US // self._hz, _LONGEST_STEP_US)
        most_us = max(passed_us // _SLEW_DIVISOR, 0)
        self._use(self._offset_us + max(-most_us, min(most_us, error_us)))


class Timeline:
    """Made once for each session and handed to its tracks, one of sound and one of pictures at most.

    `tracks_count`: how many the answer accepted. A track that is alone is not held.
    """

    __slots__ = ("_picture", "_sound", "is_single")

    def __init__(self, *, tracks_count: int = 2) -> None:
        self.is_single = tracks_count < 2
        self._sound: TrackClock | None = None
        self._picture: TrackClock | None = None

    def join(self, *, clock_hz: int, is_video: bool) -> TrackClock:
        """The clock of a track that begins, or begins anew from another source: then it replaces the old one."""
        clock = TrackClock(timeline=self, clock_hz=clock_hz)
        if is_video:
            self._picture = clock
        else:
            self._sound = clock
        return clock

    def follows(self, clock: TrackClock) -> bool:
        """Whether a track goes by the other one: the picture does, once there is sound."""
        return clock is self._picture and self._sound is not None and self._sound.offset_us is not None

    def target_us(self, clock: TrackClock) -> int | None:
        """The offset that puts `clock` beside the other track; None as long as that one has not begun."""
        other = self._sound if clock is self._picture else self._picture
        if other is None or other.offset_us is None or other.fastest_us is None or clock.fastest_us is None:
            return None
        apart_us = clock.fastest_us - other.fastest_us
        ours, theirs = clock.reported_us, other.reported_us
        if ours is not None and theirs is not None and abs(ours - theirs - apart_us) < _BROKEN_US:
            apart_us = ours - theirs
        return other.offset_us + apart_us
